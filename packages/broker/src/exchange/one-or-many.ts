/**
 * A set that is the bare element while it holds only one: most routing keys have one binding, and a
 * Set of one costs more than all the rest of a binding. Nothing stands for the empty set.
 *
 * The elements must not be Sets themselves. To go through them, ask `instanceof Set` on the spot:
 * a generator would cost more than the elements.
 */

export type OneOrMany<T> = T | Set<T>;

export function withElement<T>(elements: OneOrMany<T> | undefined, element: T): OneOrMany<T> {
  if (elements === undefined || elements === element) return element;
  if (elements instanceof Set) return elements.add(element);
  return new Set<T>().add(elements).add(element);
}

/** What is left, undefined when that is nothing. */
export function withoutElement<T>(
  elements: OneOrMany<T> | undefined,
  element: T,
): OneOrMany<T> | undefined {
  if (elements instanceof Set) {
    elements.delete(element);
    return elements.size === 0 ? undefined : elements;
  }
  return elements === element ? undefined : elements;
}
