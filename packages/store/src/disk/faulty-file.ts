/**
 * An open file of the faulty disk: the kernel calls behind each verb, and what each can do
 * wrong.
 */

import type { DiskFile, OpenMode } from "./disk.ts";
import { checkRange, DiskError, writeFully } from "./disk.ts";
import type { FileHistory } from "./file-history.ts";
import type { FileNode } from "./file-tree.ts";
import type { KernelCall, SimulatedProcess } from "./simulated-process.ts";

export class FaultyFile implements DiskFile {
  readonly path: string;
  readonly #process: SimulatedProcess;
  readonly #node: FileNode;
  readonly #history: FileHistory;
  readonly #mode: OpenMode;
  #closed = false;

  constructor(process: SimulatedProcess, node: FileNode, path: string, mode: OpenMode) {
    this.path = path;
    this.#process = process;
    this.#node = node;
    this.#history = process.machine.historyOf(node);
    this.#mode = mode;
  }

  async write(buffer: Uint8Array, start: number, length: number, position: number): Promise<void> {
    checkRange(buffer, start, length, position);
    if (this.#mode === "read") throw new DiskError("EBADF", "write", this.path);
    await writeFully(
      (done) => this.#writeSome(buffer, start + done, length - done, position + done),
      length,
    );
  }

  async read(buffer: Uint8Array, start: number, length: number, position: number): Promise<number> {
    checkRange(buffer, start, length, position);
    return await this.#call({
      operation: "read",
      act: () => this.#node.image.read(buffer, start, length, position),
    });
  }

  async sync(): Promise<void> {
    // What is written while the sync is under way need not be part of it.
    const mark = this.#history.mark();
    await this.#call({
      operation: "sync",
      act: () => this.#history.sync(mark),
      fail: (fault) => {
        const { random } = this.#process.machine.hardware;
        this.#history.failSync(mark, random);
        // Where memory is short, what could not be written is gone at once.
        const { image } = this.#node;
        if (random.below(4) === 0) image.become(this.#history.evicted(image.size));
        throw new DiskError(fault, "sync", this.path);
      },
    });
  }

  async truncate(length: number): Promise<void> {
    if (this.#mode === "read") throw new DiskError("EINVAL", "truncate", this.path);
    await this.#call({
      operation: "truncate",
      act: () => {
        this.#process.machine.tree.resize(this.#node, this.path, length);
        this.#history.noteResize(length);
      },
    });
  }

  async size(): Promise<number> {
    return await this.#call({ operation: "size", act: () => this.#node.image.size });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const act = (): void => this.#process.closeNode(this.#node);
    const closing = this.#call({
      operation: "close",
      act,
      fail: (fault) => {
        act();
        throw new DiskError(fault, "close", this.path);
      },
    });
    this.#closed = true;
    await closing;
  }

  /** write(2): returns how much it wrote. The bytes are taken when it takes effect, not before. */
  #writeSome(buffer: Uint8Array, start: number, length: number, position: number): Promise<number> {
    const { tree, hardware } = this.#process.machine;
    const write = (count: number): number => {
      const written = tree.write(this.#node, this.path, buffer, start, count, position);
      this.#history.noteWrite(buffer, start, written, position);
      return written;
    };
    return this.#call({
      operation: "write",
      act: () => write(length),
      fail: (fault) => {
        if (fault === "short")
          return write(length === 1 ? 1 : 1 + hardware.random.below(length - 1));
        write(hardware.random.below(length));
        throw new DiskError(fault, "write", this.path);
      },
      interrupt: () => write(hardware.random.below(length + 1)),
    });
  }

  #call<T>(call: Omit<KernelCall<T>, "path">): Promise<T> {
    if (this.#closed) throw new DiskError("EBADF", call.operation, this.path);
    return this.#process.call({ ...call, path: this.path });
  }
}
