/** Goal: a message carries its time there and back, in PerfTest's layout. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MessageClock, readStamp, writeStamp } from "./message-clock.ts";
import { carriesTime, messageSource, readBodies } from "./message-source.ts";
import { defaultOptions, type PerfOptions } from "./perf-options.ts";

function options(some: Partial<PerfOptions>): PerfOptions {
  return { ...defaultOptions(), ...some };
}

test("a stamp is a sequence number and a time, big-endian", () => {
  const body = Buffer.alloc(14, 0xff);
  writeStamp(body, 7, 2 ** 40 + 3);
  assert.equal(body.toString("hex"), "00000007" + "0000010000000003" + "ffff");
  assert.equal(readStamp(body), 2 ** 40 + 3);
  assert.equal(readStamp(body.subarray(0, 11)), undefined);
});

test("bodies have the size asked for, a sequence, and a time that does not run backwards", () => {
  for (const sizeBytes of [undefined, 12, 1000]) {
    const clock = new MessageClock(false);
    const source = messageSource(options({ sizeBytes }), [], clock);
    let last = 0;
    for (let sequence = 0; sequence < 10; sequence++) {
      const body = source.next();
      assert.equal(body.length, sizeBytes ?? 12);
      assert.equal(body.readUInt32BE(0), sequence);
      assert.equal(readStamp(body), source.time);
      assert.ok(source.time >= last);
      last = source.time;
    }
  }
});

test("small bodies are sent without a time", () => {
  for (const sizeBytes of [0, 11]) {
    const source = messageSource(options({ sizeBytes }), [], new MessageClock(false));
    assert.deepEqual(source.next(), Buffer.alloc(sizeBytes));
    assert.equal(carriesTime(options({ sizeBytes })), false);
  }
  assert.equal(carriesTime(options({ sizeBytes: 12 })), true);
  assert.equal(carriesTime(options({})), true);
});

test("files are sent in turn, with the time in a header beside the headers given", () => {
  const folder = mkdtempSync(join(tmpdir(), "haremq-perf-"));
  try {
    const files = ["one", "two"].map((text) => {
      const file = join(folder, text);
      writeFileSync(file, text);
      return file;
    });
    const given = options({ bodyFiles: files, properties: { headers: { colour: "red" } } });
    const source = messageSource(given, readBodies(given), new MessageClock(true));
    const sent = [source.next(), source.next(), source.next()].map(String);
    assert.deepEqual(sent, ["one", "two", "one"]);
    assert.deepEqual(source.properties, { headers: { colour: "red", timestamp: source.time } });
    assert.equal(source.sharedProperties, undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("latency is never negative, and unknown for a time that cannot be meant", () => {
  const clock = new MessageClock(false);
  assert.equal(clock.since(clock.now() + 1e6), 0);
  assert.equal(clock.since(clock.now() - 7200e9), undefined);
  const wall = new MessageClock(true);
  assert.equal(wall.since(12), undefined);
  assert.equal(wall.unit, "ms");
});
