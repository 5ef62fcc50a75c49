/** Goal: a record is believed when it is whole and undamaged, and only then. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
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
  sealDeadRecord,
  sealRecord,
  targetsOf,
  userWord,
} from "./record.ts";

/** A sealed record at the given word of an otherwise random buffer, with its end. */
function makeRecord(
  word: number,
  queues: readonly number[],
  content: Uint8Array,
  kind: number = RecordKind.Message,
): { words: Int32Array; endWord: number } {
  const size = recordBytes(queues.length, content.length);
  const bytes = Buffer.alloc(word * 4 + size + 64, 0xa5);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  words[word + referencesWord] = 1;
  words[word + bytesWord] = size;
  words[word + kindWord] = kindAndTargets(kind, queues.length);
  for (let i = 0; i < 4; i++) words[word + userWord + i] = 0x1000 + i;
  words.set(queues, word + (headBytes >>> 2));
  bytes.set(content, word * 4 + headBytes + queues.length * 4);
  sealRecord(words, word);
  return { words, endWord: word + (size >>> 2) };
}

test("kind and targets share a word", () => {
  fc.assert(
    fc.property(fc.constantFrom(...Object.values(RecordKind)), fc.nat(0xffffff), (kind, count) => {
      const words = new Int32Array(8);
      words[kindWord] = kindAndTargets(kind, count);
      assert.equal(kindOf(words, 0), kind);
      assert.equal(targetsOf(words, 0), count);
    }),
  );
});

test("a record takes its head, targets and content, up to the next eight bytes", () => {
  assert.equal(recordBytes(0, 0), 32);
  assert.equal(recordBytes(1, 0), 40);
  assert.equal(recordBytes(1, 4), 40);
  assert.equal(recordBytes(1, 5), 48);
  assert.equal(recordBytes(1000, 1), 32 + 4008);
});

test("a sealed record is one, whatever it holds", () => {
  fc.assert(
    fc.property(
      fc.nat(5),
      fc.array(fc.nat(), { maxLength: 5 }),
      fc.uint8Array(),
      (place, queues, content) => {
        const { words, endWord } = makeRecord(place * 2, queues, content);
        assert.ok(isRecord(words, place * 2, endWord));
        assert.ok(isRecord(words, place * 2, words.length));
      },
    ),
  );
});

test("a record that does not end before the end is none", () => {
  const { words, endWord } = makeRecord(4, [7, 8], Buffer.from("all of it"));
  for (let end = 0; end < endWord; end++) assert.ok(!isRecord(words, 4, end), `end ${end}`);
});

test("a record with any bit flipped is none, but for the references", () => {
  const { words, endWord } = makeRecord(2, [3, 4], Buffer.from("a message"));
  for (let word = 2; word < endWord; word++) {
    for (let bit = 0; bit < 32; bit++) {
      words[word] = words[word]! ^ (1 << bit);
      const isReferences = word === 2 + referencesWord;
      assert.equal(isRecord(words, 2, words.length), isReferences, `word ${word - 2} bit ${bit}`);
      words[word] = words[word]! ^ (1 << bit);
    }
  }
});

test("a dead record is believed for its head alone, at every flipped bit", () => {
  const { words, endWord } = makeRecord(0, [3], Buffer.from("what nobody will read any more"));
  const size = words[bytesWord];
  sealDeadRecord(words, 0);
  assert.equal(kindOf(words, 0), RecordKind.Dead);
  assert.equal(words[bytesWord], size, "it still says where the next record begins");
  for (let word = 0; word < endWord; word++) {
    for (let bit = 0; bit < 32; bit++) {
      words[word] = words[word]! ^ (1 << bit);
      const isCovered = word !== referencesWord && word < headBytes >>> 2;
      assert.equal(isRecord(words, 0, words.length), !isCovered, `word ${word} bit ${bit}`);
      words[word] = words[word]! ^ (1 << bit);
    }
  }
});

test("lengths, kinds and targets that cannot be are refused even with a right checksum", () => {
  const forge = (change: (words: Int32Array) => void): boolean => {
    const { words } = makeRecord(0, [1], Buffer.from("content"));
    change(words);
    const claimed = words[bytesWord]!;
    if (claimed >= headBytes && claimed >>> 2 <= words.length) sealRecord(words, 0);
    return isRecord(words, 0, words.length);
  };
  assert.ok(forge(() => undefined));
  for (const bytes of [0, -8, 8, headBytes - 8, headBytes + 4, 0x7ffffff8]) {
    assert.ok(
      !forge((words) => {
        words[bytesWord] = bytes;
      }),
      `${bytes} bytes`,
    );
  }
  for (const kind of [0, 99, 255]) {
    assert.ok(
      !forge((words) => {
        words[kindWord] = kindAndTargets(kind, 1);
      }),
      `kind ${kind}`,
    );
  }
  for (const targets of [5, 1000, 0xffffff]) {
    assert.ok(
      !forge((words) => {
        words[kindWord] = kindAndTargets(RecordKind.Message, targets);
      }),
      `${targets} targets`,
    );
  }
});

test("memory that was never a record is none", () => {
  fc.assert(
    fc.property(fc.int32Array({ minLength: 8, maxLength: 40 }), (words) => {
      assert.ok(!isRecord(words, 0, words.length));
    }),
  );
  assert.ok(!isRecord(new Int32Array(64), 0, 64));
});
