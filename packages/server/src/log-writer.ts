/**
 * Puts log lines into a file descriptor without ever making the broker wait for whoever reads them.
 * (Node's own process.stdout writes to a pipe synchronously: a log collector that stalls would
 * stall every client.)
 *
 * Lines gather while one write is under way and go out together in the next. When they gather
 * faster than they are taken, beyond a bound, they are dropped, and a line says how many. drained()
 * is for an orderly end, flushSync() for a sudden one.
 */

import { write as fsWrite, writeSync as fsWriteSync } from "node:fs";

/** What of node:fs is used, so that tests can have a slow or a broken file. */
export interface LogFile {
  write(
    fd: number,
    data: Buffer,
    done: (error: NodeJS.ErrnoException | null, bytes: number) => void,
  ): void;
  writeSync(fd: number, data: Buffer): number;
  /** Calls back a little later: the descriptor said that it can take nothing now. */
  retryLater(callback: () => void): void;
}

const realFile: LogFile = {
  write: (fd, data, done) => fsWrite(fd, data, 0, data.length, null, done),
  writeSync: (fd, data) => fsWriteSync(fd, data),
  retryLater: (callback) => {
    setTimeout(callback, 10);
  },
};

export class LogWriter {
  readonly #fd: number;
  readonly #file: LogFile;
  readonly #limitBytes: number;
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** What is being written, undefined when nothing is. */
  #current: Buffer | undefined;
  /** True while the write is in another thread, false while it waits to be tried again. */
  #underWay = false;
  #onDrained: (() => void)[] = [];
  #droppedLines = 0;
  #closed = false;

  constructor(fd: number, limitBytes = 1024 * 1024, file: LogFile = realFile) {
    this.#fd = fd;
    this.#limitBytes = limitBytes;
    this.#file = file;
  }

  write(line: string): void {
    if (this.#closed) return;
    if (this.#waitingBytes + line.length > this.#limitBytes) {
      this.#droppedLines++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    if (this.#current === undefined) this.#writeNext();
  }

  /** Resolves when everything written so far has been taken, or never will be. */
  drained(): Promise<void> {
    if (this.#closed || this.#current === undefined) return Promise.resolve();
    return new Promise((resolve) => this.#onDrained.push(resolve));
  }

  /**
   * Writes what is left, as far as the descriptor takes it at once. Nothing can be written after
   * it.
   */
  flushSync(): void {
    if (this.#closed) return;
    // The bytes of a write that is under way are left to it: they would come twice.
    const current = this.#underWay ? undefined : this.#current;
    const rest = Buffer.concat([current ?? Buffer.alloc(0), this.#takeWaiting()]);
    this.#close();
    let attempts = 0;
    for (let offset = 0; offset < rest.length && attempts < 1000; ) {
      try {
        offset += this.#file.writeSync(this.#fd, rest.subarray(offset));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
        attempts++;
      }
    }
  }

  #writeNext(): void {
    if (this.#waiting.length === 0 && this.#droppedLines === 0) {
      for (const resolve of this.#onDrained.splice(0)) resolve();
      return;
    }
    this.#writeChunk(this.#takeWaiting());
  }

  #writeChunk(data: Buffer): void {
    this.#current = data;
    this.#underWay = true;
    this.#file.write(this.#fd, data, (error, bytes) => {
      this.#underWay = false;
      if (this.#closed) return;
      if (error?.code === "EAGAIN") {
        this.#file.retryLater(() => {
          if (!this.#closed) this.#writeChunk(data);
        });
      } else if (error) {
        this.#close(); // The reader is gone, or the disk is full: no place is left to complain to.
      } else if (bytes < data.length) {
        this.#writeChunk(data.subarray(bytes));
      } else {
        this.#current = undefined;
        this.#writeNext();
      }
    });
  }

  #close(): void {
    this.#closed = true;
    this.#waiting = [];
    for (const resolve of this.#onDrained.splice(0)) resolve();
  }

  #takeWaiting(): Buffer {
    if (this.#droppedLines > 0) {
      this.#waiting.push(
        `(${this.#droppedLines} log lines were dropped, the log was not read fast enough)\n`,
      );
      this.#droppedLines = 0;
    }
    const data = Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#waitingBytes = 0;
    return data;
  }
}
