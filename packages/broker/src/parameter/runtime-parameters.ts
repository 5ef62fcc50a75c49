/**
 * The runtime parameters of one virtual host: values that operators set under a component and a
 * name, such as the upstreams of federation. Policies are kept elsewhere, and are not set here.
 */

import { type MetadataStore, parameterRecords } from "@haremq/store";
import { BrokerEvents } from "../events/broker-events.ts";
import type { JsonValue } from "./json-value.ts";
import type { ParameterComponents } from "./parameter-components.ts";
import { ParameterError, validationFailed } from "./parameter-error.ts";
import { SavedTable } from "./saved-table.ts";

export interface RuntimeParameter {
  readonly component: string;
  readonly name: string;
  readonly value: JsonValue;
}

export class RuntimeParameters {
  readonly #components: ParameterComponents;
  readonly #table: SavedTable<RuntimeParameter>;

  constructor(
    vhost: string,
    components: ParameterComponents,
    store: MetadataStore | undefined,
    events = new BrokerEvents(),
  ) {
    this.#components = components;
    const saved = store === undefined ? [] : parameterRecords.scan(store, vhost);
    this.#table = new SavedTable<RuntimeParameter>(
      {
        keyOf: ({ component, name }) => keyOf(component, name),
        put: (parameter) => parameterRecords.put({ vhost, ...parameter }),
        remove: ({ component, name }) => parameterRecords.removeAt(vhost, component, name),
      },
      store,
      Array.from(saved, ({ component, name, value }) => ({
        component,
        name,
        value: value as JsonValue,
      })),
      (before, after) => {
        if (!events.isHeard) return;
        const { component, name } = (after ?? before)!;
        const place = { vhost, component, name };
        if (after === undefined) events.tell({ type: "parameter.cleared", ...place });
        else events.tell({ type: "parameter.set", ...place, value: after.value });
      },
    );
  }

  get(component: string, name: string): JsonValue | undefined {
    return this.#table.get(keyOf(component, name))?.value;
  }

  /** All of them, or those of a component, by component and name. */
  list(component?: string): RuntimeParameter[] {
    const all = [...this.#table.values()].sort((one, other) =>
      keyOf(one.component, one.name) < keyOf(other.component, other.name) ? -1 : 1,
    );
    return component === undefined ? all : all.filter((each) => each.component === component);
  }

  /** Resolves to whether it is new. Throws a ParameterError for one that cannot be. */
  async set(component: string, name: string, value: JsonValue): Promise<boolean> {
    return this.change(component, name, () => value);
  }

  /** The same with a value made of the present one. */
  async change(
    component: string,
    name: string,
    make: (before: JsonValue | undefined) => JsonValue,
  ): Promise<boolean> {
    if (isPolicy(component)) throw new ParameterError("policies may not be set using this method");
    const known = this.#components.get(component);
    if (known === undefined) throw validationFailed([`component ${component} not found`]);
    return this.#table.change(keyOf(component, name), (before) => {
      const value = structuredClone(make(before?.value));
      const complaints = known.check(name, value);
      if (complaints.length > 0) throw validationFailed(complaints);
      return { component, name, value };
    });
  }

  /** Resolves to false if there was none. */
  async clear(component: string, name: string): Promise<boolean> {
    if (isPolicy(component)) {
      throw new ParameterError("policies may not be cleared using this method");
    }
    return this.#table.remove(keyOf(component, name));
  }
}

function keyOf(component: string, name: string): string {
  return JSON.stringify([component, name]);
}

function isPolicy(component: string): boolean {
  return component === "policy" || component === "operator_policy";
}
