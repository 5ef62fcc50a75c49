/**
 * Goal: whatever a real broker process has confirmed is there after SIGKILL, at whatever moment it
 * comes: once, in order, unless it was acknowledged. A client publishes and consumes as fast as it
 * can; the process is killed after a random number of confirms, started again on the same
 * directory, and asked for everything. HAREMQ_KILL_ROUNDS says how often.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "@haremq/client";
import { SeededRandom } from "@haremq/kernel";
import { drain, persistent, scratchFolder } from "./durable-broker.ts";

const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url));
const seed = Number(process.env.HAREMQ_SEED ?? 20_261_120);
const rounds = Number(process.env.HAREMQ_KILL_ROUNDS ?? 4);
const window = 100;

/** A broker process that is ready, and its address. */
async function startProcess(directory: string): Promise<{ child: ChildProcess; url: string }> {
  const flags = ["--conditions=source", "--import", import.meta.resolve("tsx")];
  const options = ["--port", "0", "--data-dir", directory];
  const child = spawn(process.execPath, [...flags, bin, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout! })) {
    const [, port] = /ready for AMQP 0-9-1 at amqp:\/\/\S+:(\d+)/.exec(line) ?? [];
    if (port !== undefined) return { child, url: `amqp://guest:guest@127.0.0.1:${port}` };
  }
  return assert.fail("the broker ended before it was ready");
}

/** What clients know of the messages in one queue, by number. */
class Account {
  published = 0;
  readonly confirmed = new Set<number>();
  readonly acknowledged = new Set<number>();
}

/** Publishes and consumes until so many more are confirmed; then the process is dead. */
async function useAndKill(directory: string, confirms: number, account: Account): Promise<void> {
  const { child, url } = await startProcess(directory);
  const ended = once(child, "exit");
  const connection = await connect(url);
  connection.on("error", () => {});
  const publisher = await connection.openChannel();
  const consumer = await connection.openChannel();
  for (const channel of [publisher, consumer]) channel.on("error", () => {});
  await publisher.queueDeclare("q", { durable: true });
  await publisher.confirmSelect();
  await consumer.basicQos(20);
  await consumer.basicConsume("q", {}, (delivery) => {
    const number = Number(delivery.body.toString());
    // Two of three are acknowledged, the others stay.
    if (number % 3 === 0) return;
    account.acknowledged.add(number);
    consumer.ack(delivery);
  });

  let left = confirms;
  const publishOne = async (): Promise<void> => {
    while (left > 0) {
      const number = ++account.published;
      await publisher.publish("", "q", String(number).padEnd(10 + (number % 2000)), persistent);
      account.confirmed.add(number);
      if (--left === 0) child.kill("SIGKILL");
    }
  };
  await Promise.allSettled(Array.from({ length: window }, publishOne));
  assert.deepEqual(await ended, [null, "SIGKILL"]);
}

/** Takes everything that is there after a start, and compares. */
async function check(directory: string, account: Account): Promise<void> {
  const { child, url } = await startProcess(directory);
  const connection = await connect(url);
  const channel = await connection.openChannel();
  const numbers = (await drain(channel, "q")).map(({ body }) => Number(body.toString()));
  await connection.close();
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);

  const found = new Set(numbers);
  assert.equal(found.size, numbers.length, "nothing comes twice");
  assert.deepEqual(
    numbers,
    [...numbers].sort((a, b) => a - b),
    "the order is kept",
  );
  for (const number of account.confirmed) {
    if (!account.acknowledged.has(number)) assert.ok(found.has(number), `${number} is missing`);
  }
  for (const number of numbers) assert.ok(number <= account.published, `${number} is unknown`);
  account.confirmed.clear();
}

it(`keeps what it has confirmed when it is killed, ${rounds} times (seed ${seed})`, async (t) => {
  const random = new SeededRandom(seed);
  const directory = scratchFolder(t);
  const account = new Account();
  for (let round = 0; round < rounds; round++) {
    await useAndKill(directory, 1 + random.below(3000), account);
    await check(directory, account);
  }
});
