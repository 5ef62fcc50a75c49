/**
 * The headers of one message, looked up by name, for the headers exchange. It is filled anew for
 * each message. A few headers are searched one by one; a sender who sends many gets a Map, so that
 * bindings do not multiply with headers.
 */

import type { FieldEntry, FieldValue } from "@haremq/wire";

const searchedMax = 16;
const noEntries: readonly FieldEntry[] = [];

export class MessageHeaders {
  #entries: readonly FieldEntry[] = noEntries;
  #byName: Map<string, FieldValue[]> | null = null;

  reset(entries: readonly FieldEntry[]): void {
    this.#entries = entries;
    this.#byName = null;
  }

  /** The value of the header that is the one with this name for the `turn`th time, from 0. */
  get(name: string, turn: number): FieldValue | undefined {
    const entries = this.#entries;
    if (entries.length > searchedMax) return this.#map().get(name)?.[turn];
    let left = turn;
    for (const entry of entries) {
      if (entry.name === name && left-- === 0) return entry.value;
    }
    return undefined;
  }

  #map(): Map<string, FieldValue[]> {
    if (this.#byName !== null) return this.#byName;
    const byName = new Map<string, FieldValue[]>();
    for (const { name, value } of this.#entries) {
      const values = byName.get(name);
      if (values === undefined) byName.set(name, [value]);
      else values.push(value);
    }
    this.#byName = byName;
    return byName;
  }
}
