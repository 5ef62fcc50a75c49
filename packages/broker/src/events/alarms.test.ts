/** Goal: listeners hear of every change once, and clients are told why in RabbitMQ's words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Alarms } from "./alarms.ts";

function listenTo(alarms: Alarms): { heard: string[]; end: () => void } {
  const heard: string[] = [];
  const end = alarms.listen((active) => heard.push([...active].sort().join(" ")));
  return { heard, end };
}

test("without a shortage no alarm is active", () => {
  assert.equal(new Alarms().active.size, 0);
});

test("the reason names the shortages in RabbitMQ's words and order", () => {
  const alarms = new Alarms();
  alarms.set("memory", true);
  assert.equal(alarms.reason, "low on memory");
  alarms.set("disk", true);
  assert.equal(alarms.reason, "low on memory & disk");
  alarms.set("memory", false);
  assert.equal(alarms.reason, "low on disk");
  alarms.set("memory", true);
  assert.equal(alarms.reason, "low on memory & disk");
});

test("listeners hear what is active after each change, and nothing when nothing changes", () => {
  const alarms = new Alarms();
  const first = listenTo(alarms);
  const second = listenTo(alarms);
  alarms.set("disk", false);
  alarms.set("memory", true);
  alarms.set("memory", true);
  alarms.set("disk", true);
  alarms.set("memory", false);
  alarms.set("disk", false);
  alarms.set("disk", false);
  assert.deepEqual(first.heard, ["memory", "disk memory", "disk", ""]);
  assert.deepEqual(second.heard, first.heard);
  assert.deepEqual([...alarms.active], []);
});

test("who has ended listening hears nothing, and ends nobody else's", () => {
  const alarms = new Alarms();
  const ended = listenTo(alarms);
  const other = listenTo(alarms);
  ended.end();
  ended.end();
  alarms.set("memory", true);
  assert.deepEqual(ended.heard, []);
  assert.deepEqual(other.heard, ["memory"]);
});

test("a listener may end listening while it is told", () => {
  const alarms = new Alarms();
  const heard: string[] = [];
  const end = alarms.listen(() => {
    heard.push("first");
    end();
  });
  alarms.listen(() => heard.push("second"));
  alarms.set("memory", true);
  alarms.set("memory", false);
  assert.deepEqual(heard, ["first", "second", "second"]);
});
