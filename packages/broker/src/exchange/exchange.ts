/**
 * An exchange as everybody outside this folder sees it: what was declared, and whether it still
 * stands. Its bindings belong to the topology, which alone creates exchanges.
 */

import type { FieldTable } from "@haremq/wire";
import type { EffectivePolicy } from "../policy/effective-policy.ts";

export interface ExchangeSpec {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: FieldTable;
}

export interface Exchange extends ExchangeSpec {
  /** Where messages go for which this exchange finds no destination; it need not exist. */
  readonly alternateExchange: string | undefined;
  /** True once the exchange left the topology. An exchange declared anew is another object. */
  readonly deleted: boolean;
  /** What policies say about it; the topology's `applyPolicy` gives it another. */
  readonly policy: EffectivePolicy;
}
