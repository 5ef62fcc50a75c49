/**
 * A metadata table in memory, for brokers without a data directory and for tests. Records are in a
 * Map; the order is kept in blocks of sorted keys, so that one more queue among a hundred thousand
 * costs a search and the shift of part of a block.
 */

import type { MetadataTable, StoredRecord, TableBatch } from "./metadata-table.ts";

const blockKeysMax = 512;

export class MemoryTable implements MetadataTable {
  readonly #records = new Map<string, StoredRecord>();
  /** Never empty; every block but a lone one holds a key; keys ascend within and across blocks. */
  readonly #blocks: string[][] = [[]];
  #lastVersion = 0;

  get lastVersion(): number {
    return this.#lastVersion;
  }

  read(key: string): StoredRecord | undefined {
    return this.#records.get(key);
  }

  readRange(start: string, end: string, limit: number): [key: string, record: StoredRecord][] {
    const found: [string, StoredRecord][] = [];
    const first = this.#blockOf(start);
    for (let index = first; index < this.#blocks.length; index++) {
      const block = this.#blocks[index] as string[];
      for (let at = index === first ? placeOf(block, start) : 0; at < block.length; at++) {
        const key = block[at] as string;
        if (key >= end || found.length === limit) return found;
        found.push([key, this.#records.get(key) as StoredRecord]);
      }
    }
    return found;
  }

  async write(batch: TableBatch, version: number): Promise<void> {
    for (const [key, record] of batch) {
      if (record === undefined) {
        if (this.#records.delete(key)) this.#removeKey(key);
      } else {
        if (!this.#records.has(key)) this.#insertKey(key);
        this.#records.set(key, record);
      }
    }
    this.#lastVersion = version;
  }

  async close(): Promise<void> {
    this.#records.clear();
    this.#blocks.splice(0, this.#blocks.length, []);
  }

  #insertKey(key: string): void {
    const index = this.#blockOf(key);
    const block = this.#blocks[index] as string[];
    block.splice(placeOf(block, key), 0, key);
    if (block.length > blockKeysMax) {
      this.#blocks.splice(index + 1, 0, block.splice(blockKeysMax / 2));
    }
  }

  #removeKey(key: string): void {
    const index = this.#blockOf(key);
    const block = this.#blocks[index] as string[];
    block.splice(placeOf(block, key), 1);
    if (block.length === 0 && this.#blocks.length > 1) this.#blocks.splice(index, 1);
  }

  /** The last block that begins with `key` or something less; the first if none does. */
  #blockOf(key: string): number {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const first = this.#blocks[middle]?.[0] as string;
      if (first <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Where `key` stands in a sorted block, or would stand. */
function placeOf(block: readonly string[], key: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
