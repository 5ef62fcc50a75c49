/** Goal: the classic queue keeps the contract of queues. */

import { ClassicQueue } from "./classic-queue.ts";
import { queueContract } from "./queue.contract.ts";

queueContract("classic queue", (spec, messages) => new ClassicQueue(spec, messages));
