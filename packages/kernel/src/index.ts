/** The kernel's door: data structures, clocks and randomness that know nothing of messaging. */

export { ByteCount } from "./byte-count.ts";
export { type Clock, SystemClock, VirtualClock } from "./clock.ts";
export { DigestTable } from "./digest-table.ts";
export { FloatRing } from "./float-ring.ts";
export { KeyedTurns } from "./keyed-turns.ts";
export { MinHeap } from "./min-heap.ts";
export { type NumberArray, PackedNumbers } from "./packed-numbers.ts";
export { type Random, SeededRandom, SystemRandom } from "./random.ts";
export { type Timer, TimingWheel } from "./timing-wheel.ts";
