/**
 * What outlives a process on the machine that the faulty disk simulates: the files as the operating
 * system shows them, what of them is surely on the disk, and the faults of the drive.
 */

import type { SeededRandom } from "@haremq/kernel";
import type { DiskScheduler } from "./disk-scheduler.ts";
import { FaultPlan } from "./fault-plan.ts";
import { FileHistory } from "./file-history.ts";
import type { TreeEntry } from "./file-tree.ts";
import { FileNode, FileTree } from "./file-tree.ts";
import { NameHistory } from "./name-history.ts";

/** The parts that neither a crash nor a power loss changes. */
export interface Hardware {
  readonly random: SeededRandom;
  readonly scheduler: DiskScheduler;
  readonly faults: FaultPlan;
}

export function createHardware(random: SeededRandom, scheduler: DiskScheduler): Hardware {
  return { random, scheduler, faults: new FaultPlan(random) };
}

export class SimulatedMachine {
  readonly hardware: Hardware;
  readonly tree: FileTree;
  readonly names: NameHistory;
  readonly #histories = new WeakMap<FileNode, FileHistory>();

  /** Begins with files that are all on the disk. */
  constructor(
    hardware: Hardware,
    capacityBytes: number,
    entries: ReadonlyMap<string, TreeEntry> = new Map(),
  ) {
    this.hardware = hardware;
    this.tree = new FileTree(capacityBytes, entries);
    this.names = new NameHistory(entries);
    for (const entry of entries.values()) {
      if (entry === "directory") continue;
      this.#histories.set(entry, new FileHistory(entry.image.clone()));
    }
  }

  historyOf(node: FileNode): FileHistory {
    let history = this.#histories.get(node);
    if (history === undefined) {
      history = new FileHistory();
      this.#histories.set(node, history);
    }
    return history;
  }

  /**
   * Between two processes memory may have been short. Then the pages that a failed sync gave up are
   * gone, and what the next process reads is what is on the disk.
   */
  evict(): void {
    for (const node of this.tree.files()) {
      if (this.hardware.random.below(2) === 0) continue;
      node.image.become(this.historyOf(node).evicted(node.image.size));
    }
  }

  /** The machine as it comes up again. */
  afterPowerLoss(): SimulatedMachine {
    const { random } = this.hardware;
    const entries = new Map<string, TreeEntry>();
    for (const [name, entry] of this.names.afterPowerLoss(random)) {
      const survivor =
        entry === "directory" ? entry : new FileNode(this.historyOf(entry).afterPowerLoss(random));
      entries.set(name, survivor);
    }
    return new SimulatedMachine(this.hardware, this.tree.capacityBytes, entries);
  }
}
