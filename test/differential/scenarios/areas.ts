/** All areas of scenarios. Those that wait for a broker's time limits come first. */

import type { Area } from "../scenario.ts";
import { channels } from "./channels.ts";
import { consuming } from "./consuming.ts";
import { deadLetters } from "./dead-letters.ts";
import { directReplies } from "./direct-replies.ts";
import { exchanges } from "./exchanges.ts";
import { framing } from "./framing.ts";
import { handshake } from "./handshake.ts";
import { pluginExchanges } from "./plugin-exchanges.ts";
import { policies } from "./policies.ts";
import { publishing } from "./publishing.ts";
import { queueArguments } from "./queue-arguments.ts";
import { queueEquivalence } from "./queue-equivalence.ts";
import { queueLifecycle } from "./queue-lifecycle.ts";
import { queueLimits } from "./queue-limits.ts";
import { quorumQueues } from "./quorum-queues.ts";
import { routing } from "./routing.ts";
import { settling } from "./settling.ts";
import { streams } from "./streams.ts";
import { transactions } from "./transactions.ts";

export const areas: readonly Area[] = [
  handshake,
  framing,
  channels,
  queueLifecycle,
  queueArguments,
  queueEquivalence,
  exchanges,
  pluginExchanges,
  routing,
  publishing,
  consuming,
  settling,
  transactions,
  directReplies,
  queueLimits,
  deadLetters,
  policies,
  quorumQueues,
  streams,
];
