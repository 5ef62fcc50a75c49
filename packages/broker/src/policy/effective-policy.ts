/**
 * What policies say about one queue or exchange: the user policy and the operator policy that apply
 * to it, merged into one set of keys and values. The virtual host makes one and gives it to the
 * object before it is used, and another whenever policies have changed. It never changes itself.
 *
 * How an object's own arguments and its policy add up is for the object to say.
 */

import type { JsonValue } from "../parameter/json-value.ts";

export type PolicyValue = JsonValue;

export type PolicyDefinition = Readonly<Record<string, PolicyValue>>;

export class EffectivePolicy {
  /** The user policy that applies, if one does. */
  readonly name: string | undefined;
  /** The operator policy that applies, if one does. */
  readonly operatorName: string | undefined;
  readonly #values: ReadonlyMap<string, PolicyValue>;

  constructor(
    name: string | undefined,
    operatorName: string | undefined,
    values: ReadonlyMap<string, PolicyValue>,
  ) {
    this.name = name;
    this.operatorName = operatorName;
    this.#values = values;
  }

  get(key: string): PolicyValue | undefined {
    return this.#values.get(key);
  }

  /** All keys with their values, as management shows them. */
  toDefinition(): PolicyDefinition {
    return Object.fromEntries(this.#values);
  }
}

/** Of objects that no policy applies to. */
export const noPolicy = new EffectivePolicy(undefined, undefined, new Map());
