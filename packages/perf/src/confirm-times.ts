/**
 * When each unconfirmed publish of a channel was sent, by delivery tag, so that the answer gives
 * its latency. A ring of numbers that doubles when it is full; 0 stands for answered.
 *
 * This is a hot file.
 */
export class ConfirmTimes {
  #times = new Float64Array(1024);
  #mask = 1023;
  #oldest = 1;
  #next = 1;
  #unanswered = 0;

  get unanswered(): number {
    return this.#unanswered;
  }

  /** When the oldest unanswered publish was sent; 0 if there is none. */
  get oldestTime(): number {
    return this.#unanswered === 0 ? 0 : (this.#times[this.#oldest & this.#mask] as number);
  }

  /** The next delivery tag was sent at `time`, which is not 0. */
  add(time: number): void {
    if (this.#next - this.#oldest > this.#mask) this.#grow();
    this.#times[this.#next & this.#mask] = time;
    this.#next++;
    this.#unanswered++;
  }

  /** Calls `visit` with the time of each publish that this answer is for. */
  answer(tag: number, multiple: boolean, visit: (time: number) => void): void {
    if (!multiple && (tag < this.#oldest || tag >= this.#next)) return;
    const last = multiple && tag === 0 ? this.#next - 1 : Math.min(tag, this.#next - 1);
    for (let at = multiple ? this.#oldest : tag; at <= last; at++) {
      const time = this.#times[at & this.#mask] as number;
      if (time === 0) continue;
      this.#times[at & this.#mask] = 0;
      this.#unanswered--;
      visit(time);
    }
    while (this.#oldest < this.#next && this.#times[this.#oldest & this.#mask] === 0) {
      this.#oldest++;
    }
  }

  #grow(): void {
    const grown = new Float64Array(this.#times.length * 2);
    const mask = grown.length - 1;
    for (let at = this.#oldest; at < this.#next; at++) {
      grown[at & mask] = this.#times[at & this.#mask] as number;
    }
    this.#times = grown;
    this.#mask = mask;
  }
}
