/**
 * Connections with something to send, flushed together once per turn of the event loop, after all
 * sockets that had input were read: what a turn produced for one connection leaves in one write.
 * One per listener. This is a hot file.
 */

export interface Flushable {
  flush(): void;
}

export class FlushQueue {
  #waiting: Flushable[] = [];
  readonly #run = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let i = 0; i < waiting.length; i++) waiting[i]!.flush();
  };

  /** Called once per turn and connection, when its first byte is written. */
  add(flushable: Flushable): void {
    if (this.#waiting.length === 0) setImmediate(this.#run);
    this.#waiting.push(flushable);
  }
}
