/**
 * Things that operators set by name, as a projection of the metadata store: all of them in memory,
 * and where there is a store, on disk as well. A change is shown once it has been saved; changes of
 * the same thing take turns.
 */

import { KeyedTurns } from "@haremq/kernel";
import type { MetadataChange, MetadataStore } from "@haremq/store";

export interface TableFormat<T> {
  /** What one is called; no two have the same key. */
  keyOf(thing: T): string;
  put(thing: T): MetadataChange;
  remove(thing: T): MetadataChange;
}

export class SavedTable<T> {
  readonly #format: TableFormat<T>;
  readonly #store: MetadataStore | undefined;
  readonly #things = new Map<string, T>();
  readonly #turns = new KeyedTurns();
  readonly #onChange: (before: T | undefined, after: T | undefined) => void;

  constructor(
    format: TableFormat<T>,
    store: MetadataStore | undefined,
    saved: Iterable<T>,
    onChange: (before: T | undefined, after: T | undefined) => void = () => undefined,
  ) {
    this.#format = format;
    this.#store = store;
    this.#onChange = onChange;
    for (const thing of saved) this.#things.set(format.keyOf(thing), thing);
  }

  get(key: string): T | undefined {
    return this.#things.get(key);
  }

  values(): Iterable<T> {
    return this.#things.values();
  }

  /** Adds one or replaces the one of that key; resolves to whether there was none. */
  async put(thing: T): Promise<boolean> {
    return this.change(this.#format.keyOf(thing), () => thing);
  }

  /** The same with one made of what is there when its turn comes. */
  async change(key: string, make: (before: T | undefined) => T): Promise<boolean> {
    return this.#turns.take(key, async () => {
      const before = this.#things.get(key);
      const thing = make(before);
      await this.#store?.commit([this.#format.put(thing)]);
      this.#things.set(key, thing);
      this.#onChange(before, thing);
      return before === undefined;
    });
  }

  /** Resolves to false if there was none. */
  async remove(key: string): Promise<boolean> {
    return this.#turns.take(key, async () => {
      const before = this.#things.get(key);
      if (before === undefined) return false;
      await this.#store?.commit([this.#format.remove(before)]);
      this.#things.delete(key);
      this.#onChange(before, undefined);
      return true;
    });
  }
}
