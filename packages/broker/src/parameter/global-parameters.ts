/** Values that operators set by name for the whole broker. Anything that JSON can say goes. */

import { globalParameterRecords, type MetadataStore } from "@haremq/store";
import { BrokerEvents } from "../events/broker-events.ts";
import type { JsonValue } from "./json-value.ts";
import { SavedTable } from "./saved-table.ts";

export interface GlobalParameter {
  readonly name: string;
  readonly value: JsonValue;
}

export class GlobalParameters {
  readonly #table: SavedTable<GlobalParameter>;

  constructor(store: MetadataStore | undefined, events = new BrokerEvents()) {
    const saved = store === undefined ? [] : globalParameterRecords.scan(store);
    this.#table = new SavedTable<GlobalParameter>(
      {
        keyOf: ({ name }) => name,
        put: (parameter) => globalParameterRecords.put(parameter),
        remove: ({ name }) => globalParameterRecords.removeAt(name),
      },
      store,
      Array.from(saved, ({ name, value }) => ({ name, value: value as JsonValue })),
      (before, after) => {
        if (!events.isHeard) return;
        const place = { vhost: undefined, component: "global", name: (after ?? before)!.name };
        if (after === undefined) events.tell({ type: "parameter.cleared", ...place });
        else events.tell({ type: "parameter.set", ...place, value: after.value });
      },
    );
  }

  get(name: string): JsonValue | undefined {
    return this.#table.get(name)?.value;
  }

  /** All of them, by name. */
  list(): GlobalParameter[] {
    return [...this.#table.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /** Resolves to whether it is new. */
  async set(name: string, value: JsonValue): Promise<boolean> {
    return this.#table.put({ name, value: structuredClone(value) });
  }

  /** Resolves to false if there was none. */
  async clear(name: string): Promise<boolean> {
    return this.#table.remove(name);
  }
}
