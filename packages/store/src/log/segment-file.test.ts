/** Goal: indexes and settlements come back from disk as they were written, or not at all. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { kindAndTargets, noQueue, RecordKind } from "./record.ts";
import {
  decodeSettlements,
  encodeSettlements,
  IndexFlag,
  IndexWriter,
  indexHeadBytes,
  parseSegmentFileName,
  readIndexFlags,
  SegmentIndex,
  segmentFileName,
} from "./segment-file.ts";

interface Entry {
  readonly unit: number;
  readonly bytes: number;
  readonly kind: number;
  readonly noted: number[];
  readonly queues: readonly number[];
}

const entries = fc.array(
  fc.record(
    {
      unit: fc.nat(),
      bytes: fc.nat(),
      kind: fc.constantFrom(RecordKind.Message, RecordKind.Grouped, RecordKind.Settlements),
      noted: fc.tuple(fc.integer(), fc.integer(), fc.integer()),
      queues: fc.array(fc.nat(), { maxLength: 4 }),
    },
    { noNullPrototype: true },
  ),
  { maxLength: 50 },
);

function encodeIndex(all: readonly Entry[], tail: number, isCompact: boolean): Buffer {
  const writer = new IndexWriter();
  for (const { unit, bytes, kind, noted, queues } of all) {
    const words = Int32Array.of(-1, ...noted, -1, ...queues);
    writer.add(unit, bytes, kindAndTargets(kind, queues.length), words, 1, 5);
  }
  return Buffer.from(writer.finish(tail, isCompact));
}

function entriesOf(index: SegmentIndex): Entry[] {
  const all: Entry[] = [];
  index.forEach((unit, bytes, kindWord, words, notedAt, queuesAt) => {
    const queues = [...words.subarray(queuesAt, queuesAt + (kindWord >>> 8))];
    const noted = [words[notedAt]!, words[notedAt + 1]!, words[notedAt + 2]!] as const;
    all.push({ unit, bytes, kind: kindWord & 0xff, noted: [...noted], queues });
  });
  return all;
}

const someEntries: Entry[] = [
  { unit: 0, bytes: 40, kind: RecordKind.Message, noted: [-5, 1, 2], queues: [7] },
  { unit: 5, bytes: 64, kind: RecordKind.Message, noted: [9, 0, -1], queues: [7, 8, 9] },
];

test("an index leaves out the queues that have settled a record", () => {
  const queues = [noQueue, 7, noQueue, 8];
  const bytes = encodeIndex([{ ...someEntries[0]!, queues }, someEntries[1]!], 200, false);
  const read = entriesOf(SegmentIndex.read(bytes)!);
  assert.deepEqual(read, [{ ...someEntries[0]!, queues: [7, 8] }, someEntries[1]]);
});

const pairs = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 20 });

function decodeAll(bytes: Buffer): { pairs: number[]; end: number } {
  const taken: number[] = [];
  const end = decodeSettlements(bytes, (unit, queue) => taken.push(unit, queue));
  return { pairs: taken, end };
}

test("names say number, generation and kind, and nothing else is one", () => {
  for (const kind of ["seg", "pak", "idx"] as const) {
    const name = segmentFileName(42, 3, kind);
    assert.equal(name, `00000042.3.${kind}`);
    assert.deepEqual(parseSegmentFileName(name), { number: 42, generation: 3, kind });
  }
  assert.equal(segmentFileName(7, 3, "ack"), "00000007.ack");
  assert.deepEqual(parseSegmentFileName("00000007.ack"), {
    number: 7,
    generation: 0,
    kind: "ack",
  });
  assert.deepEqual(parseSegmentFileName("123456789012.0.seg")?.number, 123_456_789_012);
  for (const name of [
    "7.0.seg",
    "00000007.seg",
    "00000007.0.ack",
    "00000007.0.seg.new",
    "00000007.-1.seg",
    "00000007.0.txt",
    "lock",
  ]) {
    assert.equal(parseSegmentFileName(name), undefined, name);
  }
});

test("an index comes back entry by entry", () => {
  fc.assert(
    fc.property(entries, fc.nat(), fc.boolean(), (all, tail, isCompact) => {
      const index = SegmentIndex.read(encodeIndex(all, tail, isCompact));
      assert.ok(index);
      assert.equal(index.tail, tail);
      assert.equal(index.isCompact, isCompact);
      assert.equal(index.count, all.length);
      assert.equal(index.bytes, encodeIndex(all, tail, isCompact).length);
      const hasSettlements = all.some(({ kind }) => kind === RecordKind.Settlements);
      assert.equal(index.hasSettlements, hasSettlements);
      assert.deepEqual(entriesOf(index), all);
    }),
  );
});

test("an index grows past its first buffer", () => {
  const all = Array.from({ length: 3000 }, (_, i) => ({ ...someEntries[1]!, unit: i }));
  const index = SegmentIndex.read(encodeIndex(all, 0, false));
  assert.deepEqual(entriesOf(index!), all);
});

test("an index that lies at any address is read", () => {
  const encoded = encodeIndex(someEntries, 104, false);
  for (let shift = 0; shift < 8; shift++) {
    const bytes = Buffer.concat([Buffer.alloc(shift), encoded]).subarray(shift);
    assert.deepEqual(entriesOf(SegmentIndex.read(bytes)!), someEntries);
  }
});

test("an index with any bit flipped is refused", () => {
  const encoded = encodeIndex(someEntries, 104, true);
  for (let bit = 0; bit < encoded.length * 8; bit++) {
    encoded[bit >>> 3]! ^= 1 << (bit & 7);
    assert.equal(SegmentIndex.read(encoded), undefined, `bit ${bit}`);
    encoded[bit >>> 3]! ^= 1 << (bit & 7);
  }
});

test("an index that is cut or goes on is refused, at every byte", () => {
  const encoded = encodeIndex(someEntries, 104, false);
  for (let length = 0; length < encoded.length; length++) {
    assert.equal(SegmentIndex.read(encoded.subarray(0, length)), undefined, `length ${length}`);
  }
  for (let more = 1; more <= 16; more++) {
    const longer = Buffer.concat([encoded, Buffer.alloc(more)]);
    assert.equal(SegmentIndex.read(longer), undefined, `${more} more bytes`);
  }
});

test("the head alone says the flags, and nothing once it is damaged", () => {
  const encoded = encodeIndex([{ ...someEntries[0]!, kind: RecordKind.Settlements }], 40, true);
  const head = encoded.subarray(0, indexHeadBytes);
  const flags = IndexFlag.Compact | IndexFlag.Settlements;
  assert.equal(readIndexFlags(head, encoded.length), flags);
  assert.equal(readIndexFlags(head, encoded.length + 1), undefined);
  assert.equal(readIndexFlags(head.subarray(1), encoded.length), undefined);
  for (let bit = 0; bit < head.length * 8; bit++) {
    head[bit >>> 3]! ^= 1 << (bit & 7);
    assert.equal(readIndexFlags(head, encoded.length), undefined, `bit ${bit}`);
    head[bit >>> 3]! ^= 1 << (bit & 7);
  }
});

test("zeros are no index", () => {
  for (const length of [0, 8, 24, 4096]) {
    assert.equal(SegmentIndex.read(Buffer.alloc(length)), undefined);
  }
});

test("settlements come back batch by batch", () => {
  fc.assert(
    fc.property(fc.array(pairs, { maxLength: 5 }), (batches) => {
      const bytes = Buffer.concat(batches.map((batch) => encodeSettlements(batch.flat())));
      assert.deepEqual(decodeAll(bytes), { pairs: batches.flat(2), end: bytes.length });
    }),
  );
});

test("a cut at any byte leaves the whole batches before it", () => {
  const first = encodeSettlements([1, 7]);
  const second = encodeSettlements([2, 7, 3, 8]);
  const bytes = Buffer.concat([first, second]);
  for (let length = 0; length < bytes.length; length++) {
    const expected =
      length < first.length ? { pairs: [], end: 0 } : { pairs: [1, 7], end: first.length };
    assert.deepEqual(decodeAll(bytes.subarray(0, length)), expected, `length ${length}`);
  }
});

test("a flipped bit anywhere takes its batch and what follows, not what is before", () => {
  const first = encodeSettlements([1, 7]);
  const second = encodeSettlements([2, 7, 3, 8]);
  const bytes = Buffer.concat([first, second]);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    const expected =
      bit < first.length * 8 ? { pairs: [], end: 0 } : { pairs: [1, 7], end: first.length };
    assert.deepEqual(decodeAll(bytes), expected, `bit ${bit}`);
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
  }
});

test("zeros behind the settlements, as a power loss leaves them, are none", () => {
  const first = encodeSettlements([1, 7]);
  const bytes = Buffer.concat([first, Buffer.alloc(64)]);
  assert.deepEqual(decodeAll(bytes), { pairs: [1, 7], end: first.length });
});
