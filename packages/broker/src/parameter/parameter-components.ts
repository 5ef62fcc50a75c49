/**
 * What runtime parameters there can be: each belongs to a component, which says what its values
 * may be. Features register theirs with the broker before anybody sets one; what was saved of a
 * component that is not there any more is kept.
 */

import type { JsonValue } from "./json-value.ts";

export interface ParameterComponent {
  /** Everything that is wrong, each as a text for operators. */
  check(name: string, value: JsonValue): readonly string[];
}

export class ParameterComponents {
  readonly #components = new Map<string, ParameterComponent>();

  register(name: string, component: ParameterComponent): void {
    if (this.#components.has(name)) throw new Error(`component ${name} registered twice`);
    this.#components.set(name, component);
  }

  get(name: string): ParameterComponent | undefined {
    return this.#components.get(name);
  }
}
