/**
 * The memory that readers of streams share, all streams of a node together: a few loads go on at a
 * time, and who rests with a block in memory loses it when others need the room. So it is bounded
 * whatever the number of readers; with a few of them each keeps what it reads.
 */

import { SlabPool } from "../log/slab-pool.ts";

/** Who has memory that it can do without for a while. */
export interface RestingReader {
  giveUpMemory(): void;
}

export class ReadMemory {
  readonly #pool: SlabPool;
  readonly #budgetBytes: number;
  readonly #loadsMax: number;
  #loads = 0;
  readonly #waiting: (() => void)[] = [];
  /** Those that have rested longest come first. */
  readonly #resting = new Set<RestingReader>();

  constructor(budgetBytes: number, loadsMax: number, slabBytes: number) {
    this.#budgetBytes = budgetBytes;
    this.#loadsMax = loadsMax;
    this.#pool = new SlabPool(budgetBytes / 4, [slabBytes]);
  }

  get takenBytes(): number {
    return this.#pool.takenBytes;
  }

  /** Whether there is room for what is not needed at once. */
  get hasRoom(): boolean {
    return this.#pool.takenBytes < this.#budgetBytes && this.#waiting.length === 0;
  }

  /** Resolves when it is this load's turn. */
  begin(): Promise<void> | undefined {
    if (this.#loads < this.#loadsMax) {
      this.#loads++;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#loads--;
    else next();
  }

  take(bytes: number): Buffer {
    for (const reader of this.#resting) {
      if (this.#pool.takenBytes + bytes <= this.#budgetBytes) break;
      this.#resting.delete(reader);
      reader.giveUpMemory();
    }
    return this.#pool.take(bytes);
  }

  give(slab: Buffer): void {
    this.#pool.give(slab);
  }

  noteResting(reader: RestingReader): void {
    this.#resting.add(reader);
  }

  noteActive(reader: RestingReader): void {
    this.#resting.delete(reader);
  }
}
