/** A policy for tests of what obeys one: `queue.applyPolicy(policyOf({ "max-length": 3 }))`. */

import { EffectivePolicy, type PolicyDefinition } from "../src/policy/effective-policy.ts";

export function policyOf(definition: PolicyDefinition): EffectivePolicy {
  return new EffectivePolicy("policy", undefined, new Map(Object.entries(definition)));
}
