/**
 * The policies of one virtual host, and what they come to: for each queue and exchange the user
 * policy and the operator policy that apply to it, merged. Has what there is obey whenever one is
 * set or cleared; the virtual host asks before it shows anything new.
 *
 * Objects that the same two policies apply to share one EffectivePolicy.
 */

import type { MetadataStore } from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import type { BrokerEvents } from "../events/broker-events.ts";
import type { Topology } from "../exchange/topology.ts";
import type { Queue } from "../queue/queue.ts";
import { queueTypeOf } from "../queue/queue-types.ts";
import { EffectivePolicy, noPolicy, type PolicyValue } from "./effective-policy.ts";
import type { Policy } from "./policy.ts";
import { policyKey } from "./policy-keys.ts";
import { type PolicyAudience, PolicyTable } from "./policy-table.ts";

export class VirtualHostPolicies {
  readonly user: PolicyTable;
  readonly operator: PolicyTable;
  readonly #topology: Topology<Queue>;
  readonly #merged = new WeakMap<Policy, WeakMap<Policy, EffectivePolicy>>();
  readonly #alone = new WeakMap<Policy, EffectivePolicy>();

  constructor(
    vhost: string,
    topology: Topology<Queue>,
    store: MetadataStore | undefined,
    events: BrokerEvents,
  ) {
    this.#topology = topology;
    const tableFor = (audience: PolicyAudience): PolicyTable =>
      new PolicyTable(vhost, audience, store, (before, after) => {
        this.#apply([before, after].filter((policy) => policy !== undefined));
        if (!events.isHeard) return;
        if (after !== undefined)
          events.tell({ type: "policy.set", vhost, audience, policy: after });
        else if (before !== undefined) {
          events.tell({ type: "policy.cleared", vhost, audience, policy: before });
        }
      });
    this.user = tableFor("user");
    this.operator = tableFor("operator");
  }

  ofExchange(name: string): EffectivePolicy {
    return this.#effective(this.user.ofExchange(name), this.operator.ofExchange(name));
  }

  ofQueue(name: string, args: FieldTable): EffectivePolicy {
    const type = queueTypeOf(args).name;
    return this.#effective(this.user.ofQueue(name, type), this.operator.ofQueue(name, type));
  }

  /** Has everything obey that these policies, which have come or gone, apply to. */
  #apply(changed: readonly Policy[]): void {
    const topology = this.#topology;
    for (const exchange of [...topology.exchanges()]) {
      if (!changed.some((policy) => policy.appliesToExchange(exchange.name))) continue;
      const policy = this.ofExchange(exchange.name);
      if (policy !== exchange.policy) topology.applyPolicy(exchange, policy);
    }
    for (const queue of [...topology.queues()]) {
      const type = queueTypeOf(queue.arguments).name;
      if (!changed.some((policy) => policy.appliesToQueue(queue.name, type))) continue;
      const policy = this.ofQueue(queue.name, queue.arguments);
      // Obeying one policy may have ended another queue.
      if (policy !== queue.policy && !queue.deleted) queue.applyPolicy(policy);
    }
  }

  #effective(user: Policy | undefined, operator: Policy | undefined): EffectivePolicy {
    if (user === undefined && operator === undefined) return noPolicy;
    if (user === undefined || operator === undefined) {
      const only = (user ?? operator)!;
      return remembered(this.#alone, only, () => merge(user, operator));
    }
    const withOperators = remembered(this.#merged, user, () => new WeakMap());
    return remembered(withOperators, operator, () => merge(user, operator));
  }
}

function remembered<V>(known: WeakMap<Policy, V>, policy: Policy, make: () => V): V {
  const found = known.get(policy);
  if (found !== undefined) return found;
  const made = make();
  known.set(policy, made);
  return made;
}

/** Keys in the order of their names. */
function merge(user: Policy | undefined, operator: Policy | undefined): EffectivePolicy {
  const values = new Map<string, PolicyValue>(Object.entries(user?.definition ?? {}));
  for (const [name, value] of Object.entries(operator?.definition ?? {})) {
    const users = values.get(name);
    const merged = users === undefined ? value : policyKey(name)?.merge?.(users, value);
    values.set(name, merged ?? value);
  }
  const sorted = [...values].sort(([one], [other]) => (one < other ? -1 : 1));
  return new EffectivePolicy(user?.name, operator?.name, new Map(sorted));
}
