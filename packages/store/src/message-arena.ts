/**
 * Where message bytes live in memory: fixed-size slabs that records are appended to, behind numeric
 * handles. It knows nothing of AMQP: a record is a head of a few words and a run of bytes. The
 * broker's message room lays out what is in them.
 *
 *     slab 0  | head | bytes ......... | head | bytes .. | free          |
 *     slab 1  | head | bytes . | free                                    |
 *
 *     head:  0            4        8        12       16
 *            +------------+--------+--------+--------+
 *            | references | word 1 | word 2 | word 3 |
 *            +------------+--------+--------+--------+
 *
 * Invariants:
 * - A handle is slab number x units a slab + offset in units of eight bytes, so it is an integer
 *   that a Float64Array can hold (a queue of a million messages is eight million bytes, not a
 *   million objects) and, up to 16 GiB, one that the engine passes around unboxed.
 * - A record lives while its reference count is above zero. A slab whose records are all dead is
 *   reused at once, hottest first, so that a broker in step with its consumers works in memory that
 *   the processor still has in its cache.
 * - A record larger than a slab gets a slab of its own, which is given back to the operating system
 *   when the record dies.
 * - Spare slabs are kept up to a limit; beyond it memory is given back.
 *
 * This is a hot file.
 */

/** What an operator may know of the arena. */
export interface ArenaStats {
  /** Bytes in slabs that hold at least one live record, and in the one being filled. */
  readonly usedBytes: number;
  /** Bytes in spare slabs. */
  readonly spareBytes: number;
  /** Records with references. */
  readonly liveRecords: number;
}

const slabBits = 20;
const slabBytes = 1 << slabBits;
/** Handles count in units of eight bytes, to which records are aligned. */
const unitBits = 3;
const slabUnits = slabBytes >>> unitBits;
/** What every record begins with: its reference count and three words for its writer. */
export const recordHeadBytes = 16;
const maxSpareSlabs = 32;

class Slab {
  readonly bytes: Buffer;
  readonly words: Int32Array;
  /** Records of this slab that have references. */
  liveRecords = 0;

  constructor(length: number) {
    this.bytes = Buffer.allocUnsafeSlow(length);
    this.words = new Int32Array(this.bytes.buffer, 0, length >>> 2);
  }
}

export class MessageArena {
  readonly #slabs: (Slab | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  readonly #spare: Slab[] = [];
  #current: Slab;
  #currentNumber: number;
  #tail = 0;
  #usedBytes = 0;
  #liveRecords = 0;

  /** Where the record last reserved or opened lies: its slab's bytes and words... */
  bytes: Buffer;
  words: Int32Array;
  /** ...and the byte offset of its head. */
  offset = 0;

  constructor() {
    this.#current = new Slab(slabBytes);
    this.#currentNumber = this.#place(this.#current);
    this.bytes = this.#current.bytes;
    this.words = this.#current.words;
  }

  /**
   * Makes room for a record of `length` bytes after its head, with one reference, and leaves
   * `bytes`, `words` and `offset` standing on it. Returns its handle.
   */
  reserve(length: number): number {
    const size = (recordHeadBytes + length + 7) & ~7;
    if (size > slabBytes) return this.#reserveOversize(size);
    if (this.#tail + size > slabBytes) this.#turnSlab();
    const slab = this.#current;
    const offset = this.#tail;
    this.#tail = offset + size;
    this.#liveRecords++;
    slab.liveRecords++;
    slab.words[offset >>> 2] = 1;
    this.bytes = slab.bytes;
    this.words = slab.words;
    this.offset = offset;
    return this.#currentNumber * slabUnits + (offset >>> unitBits);
  }

  /** Leaves `bytes`, `words` and `offset` standing on the record. */
  open(handle: number): void {
    const number = Math.floor(handle / slabUnits);
    const slab = this.#slabs[number]!;
    this.bytes = slab.bytes;
    this.words = slab.words;
    this.offset = (handle - number * slabUnits) << unitBits;
  }

  /** One more reference to the record. */
  retain(handle: number): void {
    const number = Math.floor(handle / slabUnits);
    const word = (handle - number * slabUnits) << 1;
    const words = this.#slabs[number]!.words;
    words[word] = words[word]! + 1;
  }

  /** One reference less; the record is dead when none is left. */
  release(handle: number): void {
    const number = Math.floor(handle / slabUnits);
    const slab = this.#slabs[number]!;
    const word = (handle - number * slabUnits) << 1;
    const references = slab.words[word]! - 1;
    slab.words[word] = references;
    if (references > 0) return;
    this.#liveRecords--;
    if (--slab.liveRecords === 0) this.#reclaim(slab, number);
  }

  get stats(): ArenaStats {
    return {
      usedBytes: this.#usedBytes,
      spareBytes: this.#spare.length * slabBytes,
      liveRecords: this.#liveRecords,
    };
  }

  /** Bytes in slabs that cannot be given back now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  #place(slab: Slab): number {
    const number = this.#freeNumbers.pop() ?? this.#slabs.length;
    this.#slabs[number] = slab;
    this.#usedBytes += slab.bytes.length;
    return number;
  }

  /** Goes on in another slab. The one left holds live records, or else it would be empty. */
  #turnSlab(): void {
    this.#current = this.#spare.pop() ?? new Slab(slabBytes);
    this.#currentNumber = this.#place(this.#current);
    this.#tail = 0;
  }

  #reserveOversize(size: number): number {
    // Handles advance by whole slabs, so an oversize record's offset is always zero.
    const slab = new Slab(size);
    const number = this.#place(slab);
    slab.liveRecords = 1;
    slab.words[0] = 1;
    this.#liveRecords++;
    this.bytes = slab.bytes;
    this.words = slab.words;
    this.offset = 0;
    return number * slabUnits;
  }

  #reclaim(slab: Slab, number: number): void {
    if (slab === this.#current) {
      // Everything written so far is dead: start over in the same, warm memory.
      this.#tail = 0;
      return;
    }
    this.#slabs[number] = undefined;
    this.#freeNumbers.push(number);
    this.#usedBytes -= slab.bytes.length;
    if (slab.bytes.length === slabBytes && this.#spare.length < maxSpareSlabs)
      this.#spare.push(slab);
  }
}
