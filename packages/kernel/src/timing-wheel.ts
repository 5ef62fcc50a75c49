/**
 * A hierarchical timing wheel with ticks of one millisecond.
 *
 * Called by the clocks only; everybody else schedules through a `Clock`. Ten levels of 32 slots
 * hold any due time up to 2^50 ms ahead. A timer stands in the level of the highest base-32 digit
 * in which its due tick differs from the current tick, in the slot of that digit:
 *
 *   ┌ level 9 ┬ … ┬ level 1          ┬ level 0             ┐
 *   │ 32^9 ms │   │ 32 slots à 32 ms │ 32 slots à 1 ms     │    one bit per occupied slot
 *   └─────────┴───┴──────────────────┴─────────────────────┘
 *
 * Invariants:
 * - The place is a function of (current tick, due tick), so timers of one due tick always share a
 *   slot, and appending keeps them in order of insertion, through every cascade.
 * - An occupied slot lies ahead of the current tick's digit in its level. Hence the lowest level
 *   with an occupied slot holds the next thing to do, and empty time is skipped, not walked.
 * - A timer never fires early, nor in the tick that scheduled it: a timer that schedules its like
 *   cannot keep `advance` from returning.
 *
 * Schedule and cancel are O(1). A timer moves at most once per level before it fires.
 */

const LEVELS = 10;
const SLOTS = 32;
const LOW_LEVELS = 5;
const LOW_TICKS = SLOTS ** LOW_LEVELS;

/** The farthest due time ahead; later ones are brought forward to it (35,000 years). */
export const MAX_DELAY_MS = SLOTS ** LEVELS / 2;

/** A scheduled callback. `cancel` is O(1), harmless when repeated or after the timer fired. */
export interface Timer {
  cancel(): void;
}

class WheelTimer implements Timer {
  readonly dueTick: number;
  callback: (() => void) | null;
  wheel: TimingWheel;
  slot = 0;
  previous: WheelTimer | null = null;
  next: WheelTimer | null = null;

  constructor(wheel: TimingWheel, dueTick: number, callback: () => void) {
    this.wheel = wheel;
    this.dueTick = dueTick;
    this.callback = callback;
  }

  cancel(): void {
    if (this.callback === null) return;
    this.callback = null;
    this.wheel.forget(this);
  }
}

export class TimingWheel {
  #tick: number;
  #size = 0;
  #advancing = false;
  readonly #heads: (WheelTimer | null)[] = new Array(LEVELS * SLOTS).fill(null);
  readonly #tails: (WheelTimer | null)[] = new Array(LEVELS * SLOTS).fill(null);
  readonly #occupied = new Int32Array(LEVELS);

  constructor(nowMs = 0) {
    this.#tick = Math.floor(nowMs);
  }

  /** The number of timers that wait. */
  get size(): number {
    return this.#size;
  }

  /** Calls `callback` in the first `advance` to a time not before `atMs`. */
  schedule(atMs: number, callback: () => void): Timer {
    // The negated comparison also catches NaN, which must not reach the slot arithmetic.
    let dueTick = Math.ceil(atMs);
    if (!(dueTick > this.#tick)) dueTick = this.#tick + 1;
    else if (dueTick - this.#tick > MAX_DELAY_MS) dueTick = this.#tick + MAX_DELAY_MS;
    const timer = new WheelTimer(this, dueTick, callback);
    this.#place(timer);
    this.#size++;
    return timer;
  }

  /**
   * Fires every timer due by `nowMs`: by due tick, and within a tick in order of insertion. When a
   * callback throws, the error passes through, and the timers behind it fire in the next call.
   */
  advance(nowMs: number): void {
    if (this.#advancing) throw new Error("TimingWheel.advance called from a timer's callback");
    const target = Math.floor(nowMs);
    this.#advancing = true;
    try {
      for (;;) {
        const wakeTick = this.nextWakeMs();
        if (wakeTick > target) break;
        this.#tick = wakeTick;
        this.#cascade();
        this.#fire();
      }
      if (target > this.#tick) this.#tick = target;
    } finally {
      this.#advancing = false;
    }
  }

  /**
   * When `advance` has work to do next, Infinity if never: the due time of the next timer, or an
   * earlier time at which a coarse slot has to be spread over finer ones (at most once per level).
   */
  nextWakeMs(): number {
    let span = 1;
    for (let level = 0; level < LEVELS; level++) {
      const occupied = this.#occupied[level] as number;
      if (occupied !== 0) {
        const slot = 31 - Math.clz32(occupied & -occupied);
        const base = this.#tick - (this.#tick % (span * SLOTS));
        return base + slot * span;
      }
      span *= SLOTS;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Takes a cancelled timer out. For `Timer.cancel` only. */
  forget(timer: WheelTimer): void {
    this.#unlink(timer);
    this.#size--;
  }

  #place(timer: WheelTimer): void {
    const level = levelOf(this.#tick, timer.dueTick);
    const digit = Math.floor(timer.dueTick / SLOTS ** level) % SLOTS;
    const slot = level * SLOTS + digit;
    const tail = this.#tails[slot] as WheelTimer | null;
    timer.slot = slot;
    timer.previous = tail;
    timer.next = null;
    if (tail === null) {
      this.#heads[slot] = timer;
      this.#occupied[level] = (this.#occupied[level] as number) | (1 << digit);
    } else {
      tail.next = timer;
    }
    this.#tails[slot] = timer;
  }

  #unlink(timer: WheelTimer): void {
    const { previous, next, slot } = timer;
    if (previous === null) this.#heads[slot] = next;
    else previous.next = next;
    if (next === null) this.#tails[slot] = previous;
    else next.previous = previous;
    if (previous === null && next === null) this.#markEmpty(slot);
    timer.previous = null;
    timer.next = null;
  }

  #markEmpty(slot: number): void {
    const level = Math.floor(slot / SLOTS);
    this.#occupied[level] = (this.#occupied[level] as number) & ~(1 << (slot % SLOTS));
  }

  /** Spreads the slots that begin at the current tick, coarsest first, over the finer levels. */
  #cascade(): void {
    for (let level = LEVELS - 1; level > 0; level--) {
      const digit = Math.floor(this.#tick / SLOTS ** level) % SLOTS;
      if (((this.#occupied[level] as number) & (1 << digit)) === 0) continue;
      const slot = level * SLOTS + digit;
      let timer = this.#heads[slot] as WheelTimer | null;
      this.#heads[slot] = null;
      this.#tails[slot] = null;
      this.#markEmpty(slot);
      while (timer !== null) {
        const next: WheelTimer | null = timer.next;
        this.#place(timer);
        timer = next;
      }
    }
  }

  #fire(): void {
    const slot = this.#tick % SLOTS;
    for (;;) {
      // One at a time from the head, because a callback may cancel the timers behind it.
      const timer = this.#heads[slot] as WheelTimer | null;
      if (timer === null) return;
      const callback = timer.callback as () => void;
      timer.callback = null;
      this.forget(timer);
      callback();
    }
  }
}

/** The level of the highest base-32 digit in which the two differ; 0 when they are equal. */
function levelOf(tick: number, dueTick: number): number {
  const high = Math.floor(tick / LOW_TICKS) ^ Math.floor(dueTick / LOW_TICKS);
  if (high !== 0) {
    return LOW_LEVELS + Math.floor((31 - Math.clz32(high)) / 5);
  }
  const low = (tick % LOW_TICKS) ^ (dueTick % LOW_TICKS);
  return low === 0 ? 0 : Math.floor((31 - Math.clz32(low)) / 5);
}
