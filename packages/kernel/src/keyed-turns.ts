/**
 * Lets asynchronous work on the same thing take turns: whoever comes for a key while it is taken
 * waits until it is free, in the order of coming. Work on different keys does not wait for each
 * other.
 */

export class KeyedTurns {
  readonly #last = new Map<string, Promise<void>>();

  /** Does the work once all that was given for the same key before is over. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    let finish!: () => void;
    const mine = new Promise<void>((resolve) => {
      finish = resolve;
    });
    this.#last.set(key, mine);
    if (before !== undefined) await before;
    try {
      return await work();
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
      finish();
    }
  }
}
