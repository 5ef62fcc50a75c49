/**
 * Watches how much the outputs of all connections of this process hold back for peers that do not
 * read. For tests of bounds, which look at the most that was ever held, not at the moment.
 */

import { Output } from "../src/output.ts";

export class OutputWatch {
  /** The most bytes that one output has held since the watch began. */
  mostBytes = 0;
  readonly #flush = Output.prototype.flush;

  constructor() {
    const { flush } = Output.prototype;
    const note = (bytes: number): void => {
      if (bytes > this.mostBytes) this.mostBytes = bytes;
    };
    Output.prototype.flush = function (this: Output): void {
      note(this.pendingBytes);
      flush.call(this);
    };
  }

  stop(): void {
    Output.prototype.flush = this.#flush;
  }
}
