/**
 * Goal: an inspection of a data directory says what is in it, finds damage wherever it is, leaves
 * everything as it was, and stays away from a directory in use.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { inspectStore } from "@haremq/store";
import { printInspection } from "../src/inspect-store.ts";
import { DurableBroker, persistent, scratchFolder } from "./durable-broker.ts";

const marker = "a message that is easy to find";

/** A directory at rest: ten messages in one queue of two, three of them gone again. */
async function givenDirectory(t: TestContext): Promise<string> {
  const broker = await DurableBroker.start(t);
  await broker.confirmed(async (channel) => {
    for (const name of ["full", "empty"]) await channel.queueDeclare(name, { durable: true });
    // In two goes, so that the second notes how far the first was safe.
    for (const from of [0, 5]) {
      for (let i = from; i < from + 5; i++) {
        channel.basicPublish("", "full", `${marker} ${i}`, persistent);
      }
      await channel.waitForConfirms();
    }
    for (let i = 0; i < 3; i++) await channel.basicGet("full", { noAck: true });
  });
  await broker.stop();
  return broker.directory;
}

interface Printed {
  readonly code: number;
  readonly out: string;
  readonly complaint: string;
}

async function inspect(directory: string, isJson = false): Promise<Printed> {
  let out = "";
  let complaint = "";
  const code = await printInspection(
    { directory, isJson },
    {
      stdout: { write: (text) => (out += text) },
      stderr: { write: (text) => (complaint += text) },
    },
  );
  return { code, out, complaint };
}

/** Every file with its content and time, and every directory with its time. */
function everything(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .sort()
    .concat(".")
    .map((name) => {
      const path = join(directory, name);
      const stat = statSync(path);
      const content = stat.isDirectory() ? "" : readFileSync(path).toString("base64");
      return `${name} ${stat.mtimeMs} ${createHash("sha256").update(content).digest("hex")}`;
    });
}

function logFile(directory: string, ending: RegExp): string {
  const folder = join(directory, "messages", "log");
  const name = readdirSync(folder).find((each) => ending.test(each));
  assert.ok(name !== undefined, `${ending} among ${readdirSync(folder)}`);
  return join(folder, name);
}

function damage(path: string, at: (bytes: Buffer) => number): void {
  const bytes = readFileSync(path);
  const position = at(bytes);
  assert.ok(position >= 0 && position < bytes.length, `${position} of ${bytes.length}`);
  bytes[position]! ^= 0x20;
  writeFileSync(path, bytes);
}

describe("haremq store inspect", () => {
  it("tells what is in a sound directory, and changes nothing", async (t) => {
    const directory = await givenDirectory(t);
    const before = everything(directory);
    const { code, out, complaint } = await inspect(directory, true);
    assert.deepEqual(everything(directory), before);
    assert.deepEqual([code, complaint], [0, ""], out);
    const report = JSON.parse(out);
    assert.equal(report.isSound, true);
    assert.equal(report.format, 1);
    assert.match(report.nodeId, /^[0-9a-f]{32}$/);
    assert.equal(report.metadata.entries.queue, 2);
    assert.deepEqual(
      report.queues.map(({ vhost, name, ready, delivered }: Record<string, unknown>) => {
        return [vhost, name, ready, delivered];
      }),
      [
        ["/", "full", 7, 0],
        ["/", "empty", 0, 0],
      ],
    );
    assert.equal(report.log.liveRecords, 7);
    const [segment] = report.log.segments;
    assert.equal(segment.isIndexed, true);
    assert.equal(segment.liveBytes, report.log.liveBytes);
    assert.ok(segment.garbageBytes > 0 && segment.sidecarBytes > 0, out);
    assert.equal(report.spaceAmplification, report.log.diskBytes / report.log.liveBytes);
    assert.ok(report.spaceAmplification > 1);
    assert.deepEqual(report.damage, []);

    const text = await inspect(directory);
    assert.equal(text.code, 0);
    assert.match(text.out, /^ +\d+ +"\/" +"full" +7 +0$/m);
    assert.match(text.out, /\nsound\n$/);
  });

  it("finds a damaged message, and counts it as lost", async (t) => {
    const directory = await givenDirectory(t);
    damage(logFile(directory, /\.seg$/), (bytes) => bytes.indexOf(`${marker} 7`));
    const before = everything(directory);
    const { code, out } = await inspect(directory);
    assert.equal(code, 1);
    assert.match(out, /damaged: 1 messages are lost\n {2}segment \d+ has a damaged record of/);
    assert.deepEqual(everything(directory), before);
  });

  it("finds damage that costs nothing yet", async (t) => {
    const directory = await givenDirectory(t);
    damage(logFile(directory, /\.seg$/), (bytes) => bytes.indexOf(`${marker} 1`));
    const { code, out } = await inspect(directory);
    assert.equal(code, 1);
    assert.match(out, /damaged: 0 messages are lost\n.*which nobody wants/);
  });

  it("finds damage in a segment without an index", async (t) => {
    const directory = await givenDirectory(t);
    rmSync(logFile(directory, /\.idx$/));
    const sound = await inspectStore(directory);
    assert.deepEqual([sound.damage, sound.log.liveRecords], [[], 7]);
    assert.equal(sound.log.segments[0]?.isIndexed, false);
    damage(logFile(directory, /\.seg$/), (bytes) => bytes.indexOf(`${marker} 4`));
    const { code, out } = await inspect(directory);
    assert.equal(code, 1);
    assert.match(out, /segment \d+ is damaged from byte \d+ to \d+/);
  });

  it("finds a damaged index, without which everything is still there", async (t) => {
    const directory = await givenDirectory(t);
    damage(logFile(directory, /\.idx$/), (bytes) => bytes.length - 1);
    const { damage: found, log } = await inspectStore(directory);
    assert.equal(log.liveRecords, 7);
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0] ?? "", /damaged index/);
  });

  it("tells what streams have, and finds what is damaged of it", async (t) => {
    const broker = await DurableBroker.start(t);
    for (const from of [0, 5]) {
      await broker.confirmed(async (channel) => {
        await channel.queueDeclare("s", { durable: true, arguments: { "x-queue-type": "stream" } });
        for (let i = from; i < from + 5; i++) channel.basicPublish("", "s", `${marker} ${i}`);
      });
      await broker.restart();
    }
    await broker.stop();
    const { directory } = broker;
    const before = everything(directory);
    const { code, out } = await inspect(directory, true);
    assert.equal(code, 0);
    const { streams, queues } = JSON.parse(out);
    const [{ number, bytes: _, ...stream }] = streams;
    assert.deepEqual(stream, { segments: 1, firstOffset: 0, endOffset: 10, lostMessages: 0 });
    assert.deepEqual(queues, [{ number, vhost: "/", name: "s", ready: 0, delivered: 0 }]);
    assert.deepEqual(everything(directory), before);
    const folder = join(directory, "streams");
    const name = readdirSync(folder).find((each) => each.endsWith(".chunks"))!;
    damage(join(folder, name), (content) => content.indexOf(`${marker} 3`));
    const early = await inspect(directory);
    assert.equal(early.code, 1);
    assert.match(early.out, /damaged: 5 messages are lost/);
    assert.match(early.out, new RegExp(`${name} is damaged in the chunk at 0`));
    damage(join(folder, name), (content) => content.indexOf(`${marker} 8`));
    const late = await inspect(directory);
    assert.match(late.out, /damaged: 10 messages are lost/);
    assert.match(late.out, /the end of stream \d+ is damaged/);
  });

  it("takes an index that was never finished for no damage", async (t) => {
    const directory = await givenDirectory(t);
    const path = logFile(directory, /\.idx$/);
    const bytes = readFileSync(path);
    for (const length of [0, 10, bytes.length - 8]) {
      writeFileSync(path, bytes.subarray(0, length));
      const { damage: found, log } = await inspectStore(directory);
      assert.deepEqual([found, log.liveRecords], [[], 7], `${length} bytes`);
    }
  });

  it("finds damaged settlements, unless they are the last and were never finished", async (t) => {
    const directory = await givenDirectory(t);
    const path = logFile(directory, /\.ack$/);
    const bytes = readFileSync(path);
    writeFileSync(path, Buffer.concat([bytes, bytes.subarray(0, 12)]));
    assert.deepEqual((await inspectStore(directory)).damage, []);
    writeFileSync(path, Buffer.concat([Buffer.alloc(8), bytes]));
    assert.match((await inspectStore(directory)).damage.join(), /settlements that are damaged/);
  });

  it("counts messages of queues that damaged metadata cannot name", async (t) => {
    const directory = await givenDirectory(t);
    damage(join(directory, "metadata", "metadata.mdb"), () => 24);
    const { damage: found, queues, metadata } = await inspectStore(directory);
    assert.equal(metadata, undefined);
    assert.match(found.join(), /metadata\.mdb is damaged/);
    assert.deepEqual(
      queues.map(({ name, ready }) => [name, ready]),
      [[undefined, 7]],
    );
  });

  it("stays away from a directory that a broker has open, or that is none", async (t) => {
    const broker = await DurableBroker.start(t);
    const open = await inspect(broker.directory);
    assert.deepEqual([open.code, open.out], [2, ""]);
    assert.match(open.complaint, /^haremq: The data directory .* is in use by .*\n$/);
    const empty = scratchFolder(t);
    const none = await inspect(empty);
    assert.deepEqual([none.code, none.out], [2, ""]);
    assert.match(none.complaint, /is no data directory of HareMQ\.\n$/);
    assert.deepEqual(readdirSync(empty), []);
    assert.equal((await inspect(join(empty, "missing"))).code, 2);
  });
});
