/**
 * The user policies of one virtual host, or its operator policies: set and cleared by operators,
 * kept in the metadata store. At most one of a table applies to an object: of those that match, the
 * one of the highest priority, and among equals the first by name.
 */

import {
  type MetadataKind,
  type MetadataStore,
  operatorPolicyRecords,
  type PolicyRecord,
  policyRecords,
} from "@haremq/store";
import { SavedTable } from "../parameter/saved-table.ts";
import type { PolicyDefinition } from "./effective-policy.ts";
import { newPolicy, Policy, type PolicyInput, type PolicyScope } from "./policy.ts";

export type PolicyAudience = "user" | "operator";

export class PolicyTable {
  readonly #audience: PolicyAudience;
  readonly #table: SavedTable<Policy>;
  /** In the order in which they are asked whether they apply. */
  #ranked: readonly Policy[] = [];

  constructor(
    vhost: string,
    audience: PolicyAudience,
    store: MetadataStore | undefined,
    onChange: (before: Policy | undefined, after: Policy | undefined) => void,
  ) {
    this.#audience = audience;
    const kind: MetadataKind<PolicyRecord, [vhost: string, name: string]> =
      audience === "user" ? policyRecords : operatorPolicyRecords;
    const saved = store === undefined ? [] : Array.from(kind.scan(store, vhost), restored);
    this.#table = new SavedTable(
      {
        keyOf: ({ name }) => name,
        put: ({ name, pattern, applyTo, priority, definition }) =>
          kind.put({ vhost, name, pattern, applyTo, priority, definition }),
        remove: ({ name }) => kind.removeAt(vhost, name),
      },
      store,
      saved,
      (before, after) => {
        this.#rank();
        onChange(before, after);
      },
    );
    this.#rank();
  }

  get(name: string): Policy | undefined {
    return this.#table.get(name);
  }

  /** All of them, by name. */
  list(): Policy[] {
    return [...this.#table.values()].sort(byName);
  }

  /**
   * Adds a policy or replaces the one of that name; every object obeys it when this resolves.
   * Resolves to whether it is new. Throws a ParameterError for one that cannot be.
   */
  async set(name: string, input: PolicyInput): Promise<boolean> {
    return this.#table.put(newPolicy(name, input, this.#audience === "operator"));
  }

  /** Nothing obeys it any more when this resolves; to false if there was no such policy. */
  async clear(name: string): Promise<boolean> {
    return this.#table.remove(name);
  }

  ofExchange(name: string): Policy | undefined {
    return this.#ranked.find((policy) => policy.appliesToExchange(name));
  }

  ofQueue(name: string, type: string): Policy | undefined {
    return this.#ranked.find((policy) => policy.appliesToQueue(name, type));
  }

  #rank(): void {
    this.#ranked = this.list().sort((one, other) => other.priority - one.priority);
  }
}

function byName(one: Policy, other: Policy): number {
  return one.name < other.name ? -1 : 1;
}

/** What was saved has been checked before. */
function restored(record: PolicyRecord): Policy {
  const { applyTo, definition, ...others } = record;
  return new Policy({
    ...others,
    applyTo: applyTo as PolicyScope,
    definition: definition as PolicyDefinition,
  });
}
