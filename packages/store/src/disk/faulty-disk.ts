/**
 * A disk in memory for tests and the crash simulator, as bad as a real one can be: it tears, drops
 * and reorders what was not synced when the power goes, fails where it is told to, fills up, writes
 * short, and forgets what a failed sync should have written. Everything it does follows from a seed
 * and the order of the calls.
 *
 * Each FaultyDisk is one process's view of the machine. `crash` ends that process and returns the
 * view of the next.
 */

import type { SeededRandom } from "@haremq/kernel";
import type { Disk, DiskFile, DiskSpace, OpenMode } from "./disk.ts";
import type { DiskScheduler } from "./disk-scheduler.ts";
import { PromptScheduler } from "./disk-scheduler.ts";
import type { FaultPlan } from "./fault-plan.ts";
import { FaultyFile } from "./faulty-file.ts";
import { createHardware, SimulatedMachine } from "./simulated-machine.ts";
import { SimulatedProcess } from "./simulated-process.ts";

export interface FaultyDiskOptions {
  readonly random: SeededRandom;
  /** Default: each operation at once. */
  readonly scheduler?: DiskScheduler;
  /** Default: unlimited. */
  readonly capacityBytes?: number;
}

export interface Crash {
  /** False: only the process dies, and what it had written stays, as after kill -9. */
  readonly powerLoss: boolean;
}

export class FaultyDisk implements Disk {
  readonly #process: SimulatedProcess;

  constructor(options: FaultyDiskOptions | SimulatedMachine) {
    this.#process = new SimulatedProcess(
      options instanceof SimulatedMachine ? options : createMachine(options),
    );
  }

  /** Where faults are injected. They stay over crashes. */
  get faults(): FaultPlan {
    return this.#machine.hardware.faults;
  }

  /** Can be set at any time, also to less than what is in use. */
  get capacityBytes(): number {
    return this.#machine.tree.capacityBytes;
  }

  set capacityBytes(capacityBytes: number) {
    this.#machine.tree.capacityBytes = capacityBytes;
  }

  get #machine(): SimulatedMachine {
    return this.#process.machine;
  }

  /**
   * Ends the process at this moment and returns the disk as the next one finds it. Operations under
   * way may have taken effect, or in part, or not. Nothing that is still asked of this disk does
   * anything, and no promise of it ever settles.
   */
  crash({ powerLoss }: Crash): FaultyDisk {
    this.#process.end();
    if (powerLoss) return new FaultyDisk(this.#machine.afterPowerLoss());
    this.#machine.evict();
    return new FaultyDisk(this.#machine);
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const { tree, names } = this.#machine;
    const node = await this.#process.call({
      operation: "open",
      path,
      act: () => {
        const opened = tree.open(path, mode);
        this.#process.noteOpen(opened);
        if (mode === "create") names.noteCreation(path, opened);
        return opened;
      },
    });
    return new FaultyFile(this.#process, node, path, mode);
  }

  async list(directory: string): Promise<string[]> {
    const act = (): string[] => this.#machine.tree.list(directory);
    return await this.#process.call({ operation: "list", path: directory, act });
  }

  async makeDirectory(path: string): Promise<void> {
    const { tree, names } = this.#machine;
    const act = (): void => {
      for (const made of tree.makeDirectory(path)) names.noteCreation(made, "directory");
    };
    await this.#process.call({ operation: "makeDirectory", path, act });
  }

  async remove(path: string): Promise<void> {
    const { tree, names } = this.#machine;
    const act = (): void => {
      if (tree.remove(path)) names.noteRemoval(path);
    };
    await this.#process.call({ operation: "remove", path, act });
  }

  async rename(from: string, to: string): Promise<void> {
    const { tree, names } = this.#machine;
    const act = (): void => names.noteRename(from, to, tree.rename(from, to));
    await this.#process.call({ operation: "rename", path: from, act });
  }

  async syncDirectory(path: string): Promise<void> {
    const { tree, names } = this.#machine;
    const mark = names.mark();
    const act = (): void => {
      tree.demandDirectory(path, "syncDirectory");
      names.sync(path, mark);
    };
    await this.#process.call({ operation: "syncDirectory", path, act });
  }

  async space(directory: string): Promise<DiskSpace> {
    const { tree } = this.#machine;
    const act = (): DiskSpace => {
      tree.demandDirectory(directory, "space");
      return tree.space;
    };
    return await this.#process.call({ operation: "space", path: directory, act });
  }
}

function createMachine({ random, scheduler, capacityBytes }: FaultyDiskOptions): SimulatedMachine {
  return new SimulatedMachine(
    createHardware(random, scheduler ?? new PromptScheduler()),
    capacityBytes ?? Number.MAX_SAFE_INTEGER,
  );
}
