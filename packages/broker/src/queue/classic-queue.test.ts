/** Goal: the classic queue keeps the contract of queues, and does what the naive queue does. */

import type { QueueFactory } from "../../test/queue-rig.ts";
import { ClassicQueue } from "./classic-queue.ts";
import { queueContract } from "./queue.contract.ts";
import { queueModelContract } from "./queue-model.contract.ts";

const create: QueueFactory = (spec, messages, host) => new ClassicQueue(spec, messages, host);

queueContract("classic queue", create);
queueModelContract("classic queue", create);
