/**
 * Looks at an LMDB data file without LMDB, which trusts what it maps into memory: a file that is
 * too short would end the process with SIGBUS, and a page of garbage can too. Called before a file
 * is opened, and by whoever wants to know whether a data directory at rest is sound. It reads every
 * page in use once and checks all that LMDB takes for granted; what the records say has checksums
 * of its own.
 *
 *   page 0, 1   meta: magic, version, where the trees are; the greater transaction number is valid
 *   others      branch, leaf and overflow pages of two trees: free pages, and the data
 *
 *   0        8        16       18       20       22       24
 *   ┌────────┬────────┬────────┬────────┬────────┬────────┬─────────────────┬───────┬──────────┐
 *   │ number │ trans- │ -      │ flags  │ lower  │ upper  │ offsets of nodes│ space │ nodes    │
 *   │        │ action │        │        │        │        │ 2 bytes each    │       │          │
 *   └────────┴────────┴────────┴────────┴────────┴────────┴─────────────────┴───────┴──────────┘
 *
 * Offsets count from byte 24, and so does `lower`, the end of the offsets. All is little-endian.
 * The layout is data version 2 of LMDB's mdb.c.
 */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { MetadataError } from "./metadata-error.ts";

const magic = 0xbeefc0de;
const dataVersion = 2;
const headBytes = 24;
const nodeHeadBytes = 8;
const metaBytes = headBytes + 136;
const noPage = 2 ** 64;
const depthMax = 32;

const flagBranch = 0x01;
const flagLeaf = 0x02;
const flagOverflow = 0x04;
const flagMeta = 0x08;
const flagBigValue = 0x01;

export interface LmdbFileReport {
  readonly fileBytes: number;
  readonly pageBytes: number;
  /** Pages that hold something, the two meta pages included. */
  readonly usedPages: number;
  readonly entries: number;
  readonly transaction: number;
}

interface Tree {
  readonly depth: number;
  readonly entries: number;
  readonly root: number;
}

interface Meta {
  readonly pageBytes: number;
  readonly transaction: number;
  readonly lastPage: number;
  readonly trees: readonly [free: Tree, main: Tree];
}

/** Throws a MetadataError that says what is wrong with the file, if something is. */
export function checkLmdbFile(path: string): LmdbFileReport {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    throw new MetadataError("failed", `Cannot open ${path}`, error);
  }
  try {
    return new FileCheck(descriptor, path).run();
  } finally {
    closeSync(descriptor);
  }
}

class FileCheck {
  readonly #descriptor: number;
  readonly #path: string;
  readonly #fileBytes: number;
  #pageBytes = 0;
  #lastPage = 1;
  #usedPages = 2;

  constructor(descriptor: number, path: string) {
    this.#descriptor = descriptor;
    this.#path = path;
    this.#fileBytes = fstatSync(descriptor).size;
  }

  run(): LmdbFileReport {
    const first = this.#parseMeta(this.#read(0, metaBytes), 0);
    const second = this.#parseMeta(this.#read(first.pageBytes, metaBytes), 1);
    const meta = first.transaction >= second.transaction ? first : second;
    this.#pageBytes = meta.pageBytes;
    this.#lastPage = meta.lastPage;
    const [free, main] = meta.trees;
    this.#checkTree(free);
    this.#checkTree(main);
    return {
      fileBytes: this.#fileBytes,
      pageBytes: meta.pageBytes,
      usedPages: this.#usedPages,
      entries: main.entries,
      transaction: meta.transaction,
    };
  }

  #parseMeta(page: Buffer, number: number): Meta {
    const body = page.subarray(headBytes);
    if ((page.readUInt16LE(18) & flagMeta) === 0 || body.readUInt32LE(0) !== magic) {
      throw this.#damaged(`meta page ${number} is not one`);
    }
    const version = body.readUInt32LE(4) & 0xffff;
    if (version !== dataVersion) throw this.#damaged(`it has LMDB's data version ${version}`);
    const pageBytes = body.readUInt32LE(24);
    if (pageBytes < 512 || pageBytes > 65536 || (pageBytes & (pageBytes - 1)) !== 0) {
      throw this.#damaged(`meta page ${number} tells of pages of ${pageBytes} bytes`);
    }
    return {
      pageBytes,
      lastPage: readUint64(body, 120),
      transaction: readUint64(body, 128),
      trees: [parseTree(body, 24), parseTree(body, 72)],
    };
  }

  #checkTree({ depth, entries, root }: Tree): void {
    if ((depth === 0) !== (root === noPage) || depth > depthMax) {
      throw this.#damaged(`a tree of depth ${depth} has its root in page ${root}`);
    }
    const found = depth === 0 ? 0 : this.#checkPage(root, depth);
    if (found !== entries) throw this.#damaged(`a tree has ${found} entries, not ${entries}`);
  }

  /** Checks all that is below a page, which stands `depth` levels above nothing; counts entries. */
  #checkPage(number: number, depth: number): number {
    const page = this.#readPage(number, 1);
    const flags = page.readUInt16LE(18);
    if (flags !== (depth === 1 ? flagLeaf : flagBranch)) {
      throw this.#damaged(`page ${number} has flags ${flags} at depth ${depth}`);
    }
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const count = lower >>> 1;
    if (lower > upper || headBytes + upper > this.#pageBytes || count === 0) {
      throw this.#damaged(`page ${number} has bounds ${lower} and ${upper}`);
    }
    let entries = 0;
    for (let index = 0; index < count; index++) {
      const at = headBytes + page.readUInt16LE(headBytes + 2 * index);
      if (at < headBytes + upper || at + nodeHeadBytes > this.#pageBytes) {
        throw this.#damaged(`page ${number} has a node at ${at}`);
      }
      if (depth === 1) this.#checkLeafNode(page, number, at);
      entries += depth === 1 ? 1 : this.#checkPage(childOf(page, at), depth - 1);
    }
    return entries;
  }

  #checkLeafNode(page: Buffer, number: number, at: number): void {
    const valueBytes = page.readUInt32LE(at);
    const isBig = (page.readUInt16LE(at + 4) & flagBigValue) !== 0;
    const valueAt = at + nodeHeadBytes + page.readUInt16LE(at + 6);
    const end = valueAt + (isBig ? 24 : valueBytes);
    if (end > this.#pageBytes) throw this.#damaged(`page ${number} has a node that ends at ${end}`);
    if (!isBig) return;
    const pages = Math.ceil((headBytes + valueBytes) / this.#pageBytes);
    const first = readUint64(page, valueAt);
    const head = this.#readPage(first, pages);
    if (head.readUInt16LE(18) !== flagOverflow || head.readUInt32LE(20) < pages) {
      throw this.#damaged(`page ${first} does not hold a value of ${valueBytes} bytes`);
    }
  }

  /** The first of `count` pages in a row, which must all be there. */
  #readPage(number: number, count: number): Buffer {
    if (number < 2 || number + count - 1 > this.#lastPage) {
      throw this.#damaged(`it refers to page ${number} of ${this.#lastPage + 1}`);
    }
    if ((number + count) * this.#pageBytes > this.#fileBytes) {
      throw this.#damaged(`it ends at ${this.#fileBytes} bytes, before page ${number}`);
    }
    this.#usedPages += count;
    if (this.#usedPages > this.#lastPage + 1) throw this.#damaged("pages are used twice");
    const page = this.#read(number * this.#pageBytes, this.#pageBytes);
    if (readUint64(page, 0) !== number) throw this.#damaged(`page ${number} is another one`);
    return page;
  }

  #read(position: number, length: number): Buffer {
    const buffer = Buffer.allocUnsafe(length);
    let bytes: number;
    try {
      bytes = readSync(this.#descriptor, buffer, 0, length, position);
    } catch (error) {
      throw new MetadataError("failed", `Cannot read ${this.#path}`, error);
    }
    if (bytes < length) throw this.#damaged(`it ends at ${this.#fileBytes} bytes`);
    return buffer;
  }

  #damaged(what: string): MetadataError {
    return new MetadataError("damaged", `The metadata file ${this.#path} is damaged: ${what}`);
  }
}

function parseTree(body: Buffer, at: number): Tree {
  return {
    depth: body.readUInt16LE(at + 6),
    entries: readUint64(body, at + 32),
    root: readUint64(body, at + 40),
  };
}

function childOf(page: Buffer, at: number): number {
  return page.readUInt32LE(at) + page.readUInt16LE(at + 4) * 2 ** 32;
}

/** Numbers beyond 2^53 are not exact, but still too large for whatever they say. */
function readUint64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32;
}
