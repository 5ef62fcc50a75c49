/**
 * A process on the simulated machine, as far as disks see one: its calls into the kernel, each of
 * which takes effect some time after it was made, and its open files. When it ends, calls under way
 * are cut short, files are closed, and no promise of it ever settles: nobody is left to hear of it.
 */

import type { DiskOperation } from "./disk.ts";
import { DiskError } from "./disk.ts";
import type { FileNode } from "./file-tree.ts";
import type { SimulatedMachine } from "./simulated-machine.ts";

export interface KernelCall<T> {
  readonly operation: DiskOperation;
  readonly path: string;
  /** What the call does, at the moment it takes effect. */
  readonly act: () => T;
  /** What it does if it meets a fault; by default nothing but throw it. */
  readonly fail?: (fault: string) => T;
  /** What it does if the process dies on the way; by default all, or nothing. */
  readonly interrupt?: () => void;
}

export class SimulatedProcess {
  readonly machine: SimulatedMachine;
  readonly #underWay = new Set<KernelCall<unknown>>();
  readonly #openNodes: FileNode[] = [];
  #ended = false;

  constructor(machine: SimulatedMachine) {
    this.machine = machine;
  }

  call<T>(call: KernelCall<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return;
      this.#underWay.add(call);
      this.machine.hardware.scheduler.defer(() => {
        if (!this.#underWay.delete(call)) return;
        try {
          resolve(this.#takeEffect(call));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Keeps account of the files to close at the end. */
  noteOpen(node: FileNode): void {
    this.#openNodes.push(node);
  }

  closeNode(node: FileNode): void {
    const index = this.#openNodes.indexOf(node);
    if (index < 0) return;
    this.#openNodes.splice(index, 1);
    this.machine.tree.close(node);
  }

  end(): void {
    this.#ended = true;
    for (const call of this.#underWay) this.#interrupt(call);
    this.#underWay.clear();
    for (const node of this.#openNodes) this.machine.tree.close(node);
  }

  #takeEffect<T>({ operation, path, act, fail }: KernelCall<T>): T {
    const fault = this.machine.hardware.faults.draw(operation, path);
    if (fault === undefined) return act();
    if (fail !== undefined) return fail(fault);
    throw new DiskError(fault, operation, path);
  }

  #interrupt({ act, interrupt }: KernelCall<unknown>): void {
    if (this.machine.hardware.random.below(2) === 0) return;
    try {
      (interrupt ?? act)();
    } catch (error) {
      // The kernel could not do it, and there is nobody to tell.
      if (!(error instanceof DiskError)) throw error;
    }
  }
}
