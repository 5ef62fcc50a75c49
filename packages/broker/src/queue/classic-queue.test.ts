/** Goal: the classic queue keeps the contract of queues, and does what the naive queue does. */

import { ClassicQueue } from "./classic-queue.ts";
import { queueContract } from "./queue.contract.ts";
import { queueModelContract } from "./queue-model.contract.ts";

queueContract("classic queue", (spec, messages) => new ClassicQueue(spec, messages));
queueModelContract("classic queue", (spec, messages) => new ClassicQueue(spec, messages));
