/**
 * Goal: what is read of a segment without an index is all that is whole and nothing else: tails are
 * cut, damage is told and replaced, groups are whole or dead, versions complement one another.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import {
  bytesWord,
  headBytes,
  isRecord,
  kindAndTargets,
  kindOf,
  kindWord,
  RecordKind,
  recordBytes,
  referencesWord,
  sealRecord,
  userWord,
} from "./record.ts";
import { type ScannedRecords, scanRecords, unpackedBytes, unpackRecords } from "./segment-scan.ts";

/** Builds a segment file in memory. */
class FileBuilder {
  readonly words = new Int32Array(4096);
  /** Where each record begins, and where the last one ends. */
  readonly starts: number[] = [0];

  add(kind: number, text = "", user = 0): this {
    const word = this.starts.at(-1)! >>> 2;
    const size = recordBytes(1, text.length);
    this.words[word + bytesWord] = size;
    this.words[word + kindWord] = kindAndTargets(kind, 1);
    this.words[word + userWord] = user;
    this.words[word + (headBytes >>> 2)] = 1;
    Buffer.from(this.words.buffer).write(text, (word << 2) + headBytes + 4);
    sealRecord(this.words, word);
    this.starts.push((word << 2) + size);
    return this;
  }

  message(text: string): this {
    return this.add(RecordKind.Message, text);
  }

  /** Says that everything before it had been synced. */
  mark(): this {
    return this.add(RecordKind.Mark, "", this.end);
  }

  get end(): number {
    return this.starts.at(-1)!;
  }

  get file(): Int32Array {
    return this.words.slice(0, this.end >>> 2);
  }
}

function scan(
  versions: readonly Int32Array[],
  isWhole = false,
): ScannedRecords & { texts: string[]; words: Int32Array } {
  const words = new Int32Array(Math.max(...versions.map((each) => each.length)));
  const scanned = scanRecords(versions, words, isWhole);
  const texts: string[] = [];
  const kinds: number[] = [RecordKind.Message, RecordKind.Grouped, RecordKind.GroupEnd];
  for (const unit of scanned.units) {
    if (kinds.includes(kindOf(words, unit << 1))) texts.push(textAt(words, unit));
  }
  checkChain(scanned, words);
  return { ...scanned, texts, words };
}

function textAt(words: Int32Array, unit: number): string {
  const start = unit * 8 + headBytes + 4;
  const bytes = Buffer.from(words.buffer, start, unit * 8 + words[unit * 2 + bytesWord]! - start);
  return bytes.toString("latin1").replaceAll("\0", "");
}

/** What comes out is a whole segment: record behind record, all of them sealed. */
function checkChain(scanned: ScannedRecords, words: Int32Array): void {
  let end = 0;
  for (const unit of scanned.units) {
    assert.equal(unit * 8, end);
    assert.ok(isRecord(words, unit * 2, scanned.tail >>> 2));
    end += words[unit * 2 + bytesWord]!;
  }
  assert.equal(scanned.tail, end);
}

function flipped(file: Int32Array, byte: number): Int32Array {
  const copy = file.slice();
  new Uint8Array(copy.buffer)[byte]! ^= 0x10;
  return copy;
}

/** As recovery reads it: whole words. */
function cutAt(file: Int32Array, byte: number): Int32Array {
  return file.slice(0, byte >>> 2);
}

const letters = new FileBuilder().message("a").message("bb").message("ccc");
const ended = new FileBuilder().message("a").message("bb").message("ccc").add(RecordKind.End);

test("a whole segment is clean, with its end", () => {
  const scanned = scan([ended.file], true);
  assert.deepEqual(scanned.texts, ["a", "bb", "ccc"]);
  assert.deepEqual([scanned.isClean, scanned.hasEnd], [true, true]);
  assert.deepEqual(scanned.damage, []);
});

test("a tail is cut at its last whole record, wherever it was torn, and nothing is said", () => {
  for (let length = 0; length <= letters.end; length++) {
    const whole = letters.starts.filter((start) => start > 0 && start <= length).length;
    const scanned = scan([cutAt(letters.file, length)]);
    assert.deepEqual(scanned.texts, ["a", "bb", "ccc"].slice(0, whole), `cut at ${length}`);
    assert.deepEqual(scanned.damage, []);
    assert.equal(scanned.hasEnd, false);
  }
});

test("what is behind a torn record was not safe either, if no mark says so", () => {
  const scanned = scan([flipped(letters.file, letters.starts[1]! + 8)]);
  assert.deepEqual(scanned.texts, ["a"]);
  assert.deepEqual(scanned.damage, []);
});

test("damage in what was safe is told, and what follows keeps its place, at every byte", () => {
  const builder = new FileBuilder().message("a").message("bb").message("ccc").mark().message("d");
  for (let byte = builder.starts[1]!; byte < builder.starts[2]!; byte++) {
    if (byte < builder.starts[1]! + 4) continue; // the references, which mean nothing
    const scanned = scan([flipped(builder.file, byte)]);
    assert.deepEqual(scanned.texts, ["a", "ccc", "d"], `byte ${byte}`);
    assert.equal(scanned.damage.length, 1);
    assert.equal(scanned.damage[0]!.from, builder.starts[1]);
    assert.equal(scanned.damage[0]!.bytes.length, builder.starts[2]! - builder.starts[1]!);
    assert.equal(scanned.isClean, false);
  }
});

test("in a segment that is not the last, damage is always told, with the bytes", () => {
  const file = flipped(ended.file, ended.starts[0]! + 9);
  const [damage, ...others] = scan([file], true).damage;
  assert.deepEqual(others, []);
  assert.deepEqual(damage!.bytes, Buffer.from(file.buffer, 0, ended.starts[1]!));
});

test("a segment that is not the last and lacks its end has lost something", () => {
  assert.deepEqual(scan([letters.file], true).damage, [
    { from: letters.end, bytes: Buffer.alloc(0) },
  ]);
  const damaged = scan([flipped(ended.file, ended.starts[2]! + 8)], true);
  assert.equal(damaged.damage.length, 1);
  const cut = cutAt(ended.file, ended.starts[2]! + 20);
  assert.equal(scan([cut], true).damage.length, 1);
});

test("nothing behind the end is looked at", () => {
  const builder = new FileBuilder().message("a").add(RecordKind.End).message("older");
  const scanned = scan([builder.file], true);
  assert.deepEqual(scanned.texts, ["a"]);
  assert.equal(scanned.tail, builder.starts[2]);
});

test("a mark that speaks of what comes behind it is not believed", () => {
  const builder = new FileBuilder().message("a").add(RecordKind.Mark, "", 10_000).message("b");
  const scanned = scan([flipped(builder.file, 8)]);
  assert.deepEqual(scanned.texts, []);
  assert.deepEqual(scanned.damage, []);
});

test("zeros, and what was there before, are no records", () => {
  const random = new SeededRandom(5);
  for (let round = 0; round < 50; round++) {
    const file = new Int32Array(letters.words.length);
    file.set(letters.file);
    const from = letters.end >>> 2;
    for (let i = from; i < from + 64; i++) file[i] = round === 0 ? 0 : random.uint32() | 0;
    assert.deepEqual(scan([file]).texts, ["a", "bb", "ccc"]);
  }
});

// Groups

function grouped(): FileBuilder {
  return new FileBuilder()
    .message("before")
    .add(RecordKind.Grouped, "one")
    .add(RecordKind.Settlements)
    .add(RecordKind.Grouped, "two")
    .add(RecordKind.GroupEnd, "three");
}

test("a group is there as a whole or not at all, wherever the file was cut", () => {
  const builder = grouped();
  for (let length = 0; length <= builder.end; length++) {
    const scanned = scan([cutAt(builder.file, length)]);
    const settlements = scanned.units.some(
      (unit) => kindOf(scanned.words, unit * 2) === RecordKind.Settlements,
    );
    if (length < builder.starts[1]!) assert.deepEqual(scanned.texts, []);
    else if (length < builder.end) assert.deepEqual(scanned.texts, ["before"]);
    else assert.deepEqual(scanned.texts, ["before", "one", "two", "three"]);
    assert.equal(settlements, length === builder.end);
  }
});

test("a message behind a group without an end does not complete it", () => {
  const builder = new FileBuilder().add(RecordKind.Grouped, "one").message("other");
  assert.deepEqual(scan([builder.file]).texts, ["other"]);
});

test("if damage hides the end of a group, its messages are kept and its settlements are not", () => {
  const builder = grouped().message("after").mark();
  const file = flipped(builder.file, builder.starts[4]! + 8);
  const scanned = scan([file]);
  assert.deepEqual(scanned.texts, ["before", "one", "two", "after"]);
  assert.ok(
    !scanned.units.some((unit) => kindOf(scanned.words, unit * 2) === RecordKind.Settlements),
  );
  assert.equal(scanned.damage.length, 1);
});

test("a group that damage has torn does not become part of the next one", () => {
  const builder = new FileBuilder()
    .add(RecordKind.Grouped, "lost end")
    .add(RecordKind.GroupEnd, "end")
    .add(RecordKind.Settlements)
    .add(RecordKind.Grouped, "next")
    .mark();
  // The second group has no end: its first members must not stand on the first group's.
  const scanned = scan([flipped(builder.file, builder.starts[1]! + 8)]);
  assert.deepEqual(scanned.texts, ["lost end"]);
});

// Versions

test("a record is whole if any version has it whole", () => {
  const file = ended.file;
  const older = flipped(file, ended.starts[0]! + 8);
  const newer = flipped(file, ended.starts[1]! + 8);
  const scanned = scan([newer, older], true);
  assert.deepEqual(scanned.texts, ["a", "bb", "ccc"]);
  assert.deepEqual(scanned.damage, []);
  assert.equal(scanned.isClean, false, "it has to be written to one file again");
});

test("versions may be of any length", () => {
  for (let length = 0; length <= ended.end; length++) {
    for (const versions of [
      [cutAt(ended.file, length), ended.file],
      [ended.file, cutAt(ended.file, length)],
    ]) {
      assert.deepEqual(scan(versions, true).texts, ["a", "bb", "ccc"], `length ${length}`);
    }
  }
});

test("what an unfinished version has behind the end of another is not looked at", () => {
  const finished = new FileBuilder().message("a").add(RecordKind.End);
  const unfinished = cutAt(letters.file, letters.end - 4);
  const scanned = scan([finished.file, unfinished], true);
  assert.deepEqual(scanned.texts, ["a"]);
  assert.deepEqual(scanned.damage, []);
});

test("of a record that died in between, the newer version counts", () => {
  const newer = new FileBuilder().add(RecordKind.Dead, "a").message("bb").add(RecordKind.End);
  const older = new FileBuilder().message("a").message("bb");
  const scanned = scan([newer.file, older.file], true);
  assert.deepEqual(scanned.texts, ["bb"]);
});

// Packed files

function packed(records: readonly { unit: number; text: string }[]): Int32Array {
  const builder = new FileBuilder();
  for (const { unit, text } of records) {
    const word = builder.end >>> 2;
    builder.message(text);
    builder.words[word + referencesWord] = unit;
  }
  return builder.file;
}

function unpack(file: Int32Array): { texts: Map<number, string>; damaged: number } {
  const words = new Int32Array(unpackedBytes(file) >>> 2).fill(-1);
  const scanned = unpackRecords(file, words);
  checkChain(scanned, words);
  const texts = new Map<number, string>();
  for (const unit of scanned.units) {
    if (kindOf(words, unit * 2) === RecordKind.Message) texts.set(unit, textAt(words, unit));
  }
  return { texts, damaged: scanned.damage.length };
}

const scattered = [
  { unit: 4, text: "four" },
  { unit: 13, text: "ten" },
  { unit: 30, text: "thirty" },
];

test("packed records go back to their units", () => {
  const { texts, damaged } = unpack(packed(scattered));
  assert.deepEqual(
    [...texts.entries()],
    scattered.map(({ unit, text }) => [unit, text]),
  );
  assert.equal(damaged, 0);
});

test("a packed record at unit zero, and one right behind another, have no gap before them", () => {
  const { texts } = unpack(
    packed([
      { unit: 0, text: "zero" },
      { unit: 5, text: "five" },
    ]),
  );
  assert.deepEqual([...texts.keys()], [0, 5]);
});

test("a damaged packed record is told and takes no other with it, at every byte", () => {
  const file = packed(scattered);
  const size = recordBytes(1, 4);
  for (let byte = size; byte < 2 * size; byte++) {
    const { texts, damaged } = unpack(flipped(file, byte));
    assert.equal(texts.get(4), "four");
    if (byte >= size + 4) {
      assert.deepEqual([...texts.keys()], [4, 30], `byte ${byte}`);
      assert.equal(damaged, 1);
    }
  }
});

test("an empty packed file has nothing", () => {
  assert.deepEqual(unpack(new Int32Array(0)), { texts: new Map(), damaged: 0 });
});
