/** Goal: the headers of dead letters are those of RabbitMQ, and tell cycles. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable, type FieldValue, fieldText, type Properties } from "@haremq/wire";
import { type Death, isCycle, noteDeath } from "./death-headers.ts";

const death = (given: Partial<Death> = {}): Death => ({
  queue: "q",
  reason: "rejected",
  exchange: "x",
  routingKeys: ["k"],
  timeSeconds: 100,
  ...given,
});

/** A table as "name=value", with tables in braces. */
function show(table: FieldTable | undefined): string {
  return (table?.entries ?? []).map(({ name, value }) => `${name}=${showField(value)}`).join(" ");
}

function showField(value: FieldValue): string {
  if (value.type === "A") return `[${value.value.map(showField).join(", ")}]`;
  if (value.type === "F") return `{${show(value.value)}}`;
  return fieldText(value) ?? String(value.value);
}

function headersAfter(...deaths: readonly Death[]): FieldTable {
  const properties: Properties = {};
  for (const each of deaths) noteDeath(properties, each);
  return properties.headers!;
}

test("the first death is told three times", () => {
  const properties: Properties = { expiration: "50", headers: FieldTable.from({ zz: 1, a: 2 }) };
  noteDeath(properties, death({ reason: "expired" }));
  assert.equal(properties.expiration, undefined);
  assert.equal(
    show(properties.headers),
    "a=2 x-death=[{count=1 reason=expired queue=q time=100 exchange=x routing-keys=[k] " +
      "original-expiration=50}] x-first-death-exchange=x x-first-death-queue=q " +
      "x-first-death-reason=expired x-last-death-exchange=x x-last-death-queue=q " +
      "x-last-death-reason=expired zz=1",
  );
});

test("deaths of one kind are counted, the last kind first, with the time of its first", () => {
  const headers = headersAfter(
    death(),
    death({ queue: "p", timeSeconds: 200 }),
    death({ timeSeconds: 300 }),
  );
  assert.equal(
    showField(headers.get("x-death")!),
    "[{count=2 reason=rejected queue=q time=100 exchange=x routing-keys=[k]}, " +
      "{count=1 reason=rejected queue=p time=200 exchange=x routing-keys=[k]}]",
  );
  assert.equal(fieldText(headers.get("x-first-death-queue")), "q");
  assert.equal(fieldText(headers.get("x-last-death-queue")), "q");
});

test("headers of that name that somebody made up do no harm", () => {
  for (const made of [1, "text", [1, "x"], [{ count: "much", queue: 3 }], [{ queue: "q" }]]) {
    const properties: Properties = { headers: FieldTable.from({ "x-death": made }) };
    noteDeath(properties, death());
    const entries = properties.headers!.get("x-death")!;
    assert.equal(entries.type, "A");
    assert.match(showField(entries), /^\[\{count=1 reason=rejected queue=q/);
    isCycle(FieldTable.from({ "x-death": made }), "q");
  }
});

test("a message remembers so many kinds of deaths, and no more", () => {
  const headers = headersAfter(...Array.from({ length: 300 }, (_, i) => death({ queue: `q${i}` })));
  const entries = headers.get("x-death")!;
  assert.equal(entries.type === "A" && entries.value.length, 256);
});

test("who has died in so many queues by itself goes no further", () => {
  const expired = (count: number): FieldTable =>
    headersAfter(
      ...Array.from({ length: count }, (_, i) => death({ queue: `q${i}`, reason: "expired" })),
    );
  assert.equal(isCycle(expired(255), "another"), false);
  assert.equal(isCycle(expired(256), "another"), true);
});

test("a queue that the message was in closes a cycle, unless it was rejected since", () => {
  const expired = (queue: string): Death => death({ queue, reason: "expired" });
  const round = headersAfter(expired("a"), expired("b"));
  assert.equal(isCycle(round, "a"), true);
  assert.equal(isCycle(round, "b"), true);
  assert.equal(isCycle(round, "c"), false);
  const rejected = headersAfter(expired("a"), death({ queue: "b" }), expired("c"));
  assert.equal(isCycle(rejected, "a"), false);
  assert.equal(isCycle(rejected, "c"), true);
});
