/** Which channel numbers of a connection are free. Numbers given back are used again first. */
export class ChannelNumbers {
  readonly #max: number;
  readonly #free: number[] = [];
  #highest = 0;

  constructor(channelMax: number) {
    this.#max = channelMax;
  }

  /** Throws RangeError when all are taken: that is the limit agreed on with the broker. */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#highest === this.#max) {
      throw new RangeError(`all ${this.#max} channels of the connection are in use`);
    }
    this.#highest++;
    return this.#highest;
  }

  give(number: number): void {
    this.#free.push(number);
  }
}
