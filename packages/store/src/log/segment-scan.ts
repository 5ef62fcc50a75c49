/**
 * Reads the records of a segment that has no index: one that was not full when the broker ended, or
 * whose index is damaged. Called by recovery.
 *
 * The file may be there in several versions, where one was given up after a fault; a record is
 * whole if any version has it whole. A tail that was never finished is cut at its last whole
 * record. Damage anywhere else is told, and a dead record put in its place, so that what follows
 * keeps its unit.
 *
 *     | record | record | damaged | record | torn tail        |
 *     | record | record | dead    | record |   what comes out
 *
 * A full segment ends with a record that says so, which it has got before the next one was begun.
 * What an older version has behind it was never finished.
 *
 * A group of which the end is missing is dead, and its settlements were never made. If it is damage
 * that hides the end, its messages are kept and its settlements are not: too much is better than
 * too little.
 */

import {
  bytesWord,
  headBytes,
  headWords,
  isRecord,
  kindAndTargets,
  kindOf,
  kindWord,
  RecordKind,
  referencesWord,
  sealDeadRecord,
  sealFiller,
  sealRecord,
  targetsOf,
  unitBits,
  userWord,
} from "./record.ts";

export interface Damage {
  readonly from: number;
  readonly bytes: Buffer;
}

/** What a scan has found. */
export interface ScannedRecords {
  /** The units of all records, dead ones as well: one lies behind the other. */
  readonly units: Uint32Array;
  readonly tail: number;
  /** The last of them says that it is. */
  readonly hasEnd: boolean;
  readonly damage: readonly Damage[];
  /** Nothing had to be cut or changed, and there was one version only. */
  readonly isClean: boolean;
}

/**
 * Puts the records together in `into`, which is as large as the largest version. Versions come
 * newest first. A segment that was safe as a whole cannot have a torn tail; of another that much is
 * safe that its marks tell of.
 */
export function scanRecords(
  versions: readonly Int32Array[],
  into: Int32Array,
  isWhole: boolean,
): ScannedRecords {
  return new SegmentScan(versions, into, isWhole).run();
}

class SegmentScan {
  readonly #versions: readonly Int32Array[];
  readonly #into: Int32Array;
  readonly #endWord: number;
  readonly #isWhole: boolean;
  #safeWord: number | undefined;
  readonly #units: number[] = [];
  readonly #damage: Damage[] = [];
  /** Units of the group whose end has not come yet. */
  #group: number[] = [];
  #isChanged = false;
  #hasEnd = false;

  constructor(versions: readonly Int32Array[], into: Int32Array, isWhole: boolean) {
    this.#versions = versions;
    this.#into = into;
    this.#endWord = Math.max(0, ...versions.map((words) => words.length));
    this.#isWhole = isWhole;
  }

  run(): ScannedRecords {
    let word = 0;
    while (word < this.#endWord) {
      const version = this.#wholeAt(word);
      if (version === undefined) {
        const next = this.#passDamage(word);
        if (next === undefined) break;
        word = next;
        continue;
      }
      const length = version[word + bytesWord]! >>> 2;
      this.#into.set(version.subarray(word, word + length), word);
      this.#units.push(word >>> 1);
      this.#follow(word);
      word += length;
      if (kindOf(version, word - length) === RecordKind.End) {
        this.#hasEnd = true;
        break;
      }
    }
    for (const unit of this.#group) this.#kill(unit);
    if (!this.#hasEnd && this.#isWhole && this.#damage.length === 0) {
      this.#damage.push({ from: word << 2, bytes: Buffer.alloc(0) });
    }
    return {
      units: Uint32Array.from(this.#units),
      tail: word << 2,
      hasEnd: this.#hasEnd,
      damage: this.#damage,
      isClean: this.#hasEnd && !this.#isChanged && this.#versions.length === 1,
    };
  }

  #wholeAt(word: number): Int32Array | undefined {
    return this.#versions.find((words) => isRecord(words, word, words.length));
  }

  /** Returns where it goes on, or nothing if the rest was never safe. */
  #passDamage(word: number): number | undefined {
    if (word >= this.#wordsOnceSafe()) return undefined;
    let next: number | undefined = word + headWords;
    while (next < this.#endWord && this.#wholeAt(next) === undefined) next += 2;
    const to = Math.min(next, this.#endWord);
    const longest = this.#versions.find((words) => words.length >= to)!;
    const bytes = Buffer.from(longest.slice(word, to).buffer);
    this.#damage.push({ from: word << 2, bytes });
    this.#isChanged = true;
    for (const unit of this.#group) this.#believe(unit);
    this.#group = [];
    if (next >= this.#endWord) return undefined;
    sealFiller(this.#into, word, (next - word) << 2);
    this.#units.push(word >>> 1);
    return next;
  }

  /** Keeps account of groups. */
  #follow(word: number): void {
    const kind = kindOf(this.#into, word);
    if (kind === RecordKind.Grouped || kind === RecordKind.Settlements) {
      this.#group.push(word >>> 1);
      return;
    }
    // Between the members of a group there is nothing else, or it has been torn.
    if (kind !== RecordKind.GroupEnd) for (const unit of this.#group) this.#kill(unit);
    this.#group = [];
  }

  #kill(unit: number): void {
    sealDeadRecord(this.#into, unit << 1);
    this.#isChanged = true;
  }

  #believe(unit: number): void {
    const word = unit << 1;
    if (kindOf(this.#into, word) === RecordKind.Settlements) {
      this.#kill(unit);
      return;
    }
    this.#into[word + kindWord] = kindAndTargets(RecordKind.Message, targetsOf(this.#into, word));
    sealRecord(this.#into, word);
  }

  /** How much of the segment is known to have been synced. */
  #wordsOnceSafe(): number {
    if (this.#isWhole) return this.#endWord;
    this.#safeWord ??= Math.max(0, ...this.#versions.map(highestMark)) >>> 2;
    return this.#safeWord;
  }
}

/** Whether it has a mark, which it was not given before all segments before it were safe. */
export function hasMark(words: Int32Array): boolean {
  return highestMark(words) >= 0;
}

/** A mark can only speak of what lies before it. Less than nothing without one. */
function highestMark(words: Int32Array): number {
  let highest = -1;
  for (let word = 0; word + headWords <= words.length; word += 2) {
    if (kindOf(words, word) !== RecordKind.Mark || !isRecord(words, word, words.length)) continue;
    const syncedTo = words[word + userWord]!;
    if (syncedTo <= word << 2) highest = Math.max(highest, syncedTo);
  }
  return highest;
}

// Packed files whose index is damaged: every record says which it is

/** How many bytes the records of a packed file take at their units. */
export function unpackedBytes(packed: Int32Array): number {
  let end = 0;
  forEachPacked(packed, (word) => {
    const unit = packed[word + referencesWord]!;
    end = Math.max(end, (unit << unitBits) + packed[word + bytesWord]!);
  });
  return end;
}

/**
 * Puts the records of a packed file at their units, with dead ones between them. `into` has room
 * for `unpackedBytes`.
 */
export function unpackRecords(packed: Int32Array, into: Int32Array): ScannedRecords {
  const units: number[] = [];
  let end = 0;
  const fill = (toWord: number): void => {
    if (toWord === end) return;
    units.push(end >>> 1);
    sealFiller(into, end, (toWord - end) << 2);
  };
  const damage = forEachPacked(packed, (word) => {
    const at = packed[word + referencesWord]! << 1;
    const length = packed[word + bytesWord]! >>> 2;
    fill(at);
    into.set(packed.subarray(word, word + length), at);
    units.push(at >>> 1);
    end = at + length;
  });
  return { tail: end << 2, units: Uint32Array.from(units), hasEnd: false, damage, isClean: false };
}

/** Visits the records that are whole and whose units make sense; returns what lies between them. */
function forEachPacked(packed: Int32Array, visit: (word: number) => void): Damage[] {
  const damage: Damage[] = [];
  let endUnit = 0;
  let damagedFrom: number | undefined;
  const report = (to: number): void => {
    if (damagedFrom === undefined) return;
    const bytes = Buffer.from(packed.slice(damagedFrom, to).buffer);
    damage.push({ from: damagedFrom << 2, bytes });
    damagedFrom = undefined;
  };
  let word = 0;
  while (word < packed.length) {
    const unit = packed[word + referencesWord]!;
    const gap = unit - endUnit;
    const isPlausible = gap === 0 || (gap >= headBytes >>> unitBits && unit < maxUnit);
    if (!isPlausible || !isRecord(packed, word, packed.length)) {
      damagedFrom ??= word;
      word += 2;
      continue;
    }
    report(word);
    visit(word);
    const bytes = packed[word + bytesWord]!;
    endUnit = unit + (bytes >>> unitBits);
    word += bytes >>> 2;
  }
  report(packed.length);
  return damage;
}

/** Beyond it no segment goes. */
const maxUnit = 2 ** 27;
