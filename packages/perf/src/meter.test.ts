/** Goal: rates and latencies of intervals and of the whole test are what was put in. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { csvHeader, csvLine } from "./csv-format.ts";
import { formatRate, LineFormat } from "./line-format.ts";
import { Meter } from "./meter.ts";
import { defaultOptions, type PerfOptions } from "./perf-options.ts";

const nothing = { sent: 0, confirmed: 0, nacked: 0, returned: 0, received: 0 };

test("an interval has what happened in it, the summary everything", () => {
  const meter = new Meter(1000, 0);
  meter.begin(10_000);
  meter.sent = 100;
  meter.received = 50;
  for (let us = 1; us <= 100; us++) meter.recordConsumerLatency(us * 1000);
  const first = meter.read(12_000);
  assert.equal(first.elapsedSeconds, 2);
  assert.deepEqual(first.counts, { ...nothing, sent: 100, received: 50 });
  assert.deepEqual(first.rates, { ...nothing, sent: 50, received: 25 });
  meter.sent = 200;
  meter.recordConsumerLatency(200_000);
  const second = meter.read(13_000);
  assert.deepEqual(second.counts, { ...nothing, sent: 100 });
  assert.equal(second.consumerLatency.count, 1);
  meter.recordConsumerLatency(300_000);
  const summary = meter.summary(14_000);
  assert.equal(summary.elapsedSeconds, 4);
  assert.deepEqual(summary.rates, { ...nothing, sent: 50, received: 12.5 });
  assert.equal(summary.consumerLatency.count, 102);
  assert.equal(summary.confirmLatency.count, 0);
});

test("percentiles are right to a thousandth", () => {
  const meter = new Meter(1000, 0);
  for (let us = 1; us <= 1000; us++) meter.recordConfirmLatency(us * 1000);
  const { count, min, mean, median, p75, p95, p99, p999, max } = meter.read(1000).confirmLatency;
  assert.equal(count, 1000);
  const figures = { min, mean, median, p75, p95, p99, p999, max };
  const expected = {
    min: 1,
    mean: 500.5,
    median: 500,
    p75: 750,
    p95: 950,
    p99: 990,
    p999: 999,
    max: 1000,
  };
  for (const [name, value] of Object.entries(expected)) {
    const figure = figures[name as keyof typeof figures];
    assert.ok(Math.abs(figure - value) <= value / 500, `${name} is ${figure}, not ${value}`);
  }
});

test("what takes no time at all is recorded all the same", () => {
  const meter = new Meter(1, 0);
  meter.recordConsumerLatency(0);
  assert.equal(meter.read(1000).consumerLatency.count, 1);
});

/** A test in which each second so and so much happened, with one latency each. */
function reading(): ReturnType<Meter["read"]> {
  const meter = new Meter(1000, 0);
  meter.sent = 2468;
  meter.confirmed = 1234;
  meter.nacked = 9;
  meter.returned = 1;
  meter.received = 2000;
  meter.recordConsumerLatency(5000);
  meter.recordConfirmLatency(7000);
  return meter.read(2000);
}

function format(options: Partial<PerfOptions>): LineFormat {
  return new LineFormat({ ...defaultOptions(), id: "t", ...options });
}

test("lines are PerfTest's", () => {
  assert.equal(
    format({}).line(reading()),
    "id: t, time 2.000 s, sent: 1234 msg/s, received: 1000 msg/s, " +
      "min/median/75th/95th/99th consumer latency: 5/5/5/5/5 µs",
  );
  assert.equal(
    format({ confirmWindow: 10, mandatory: true }).line(reading()),
    "id: t, time 2.000 s, sent: 1234 msg/s, returned: 0.50 msg/s, confirmed: 617 msg/s, " +
      "nacked: 4.5 msg/s, received: 1000 msg/s, min/median/75th/95th/99th " +
      "consumer latency: 5/5/5/5/5 µs, confirm latency: 7/7/7/7/7 µs",
  );
  assert.equal(
    format({ consumers: 0, confirmWindow: 10 }).line(reading()),
    "id: t, time 2.000 s, sent: 1234 msg/s, confirmed: 617 msg/s, nacked: 4.5 msg/s, " +
      "min/median/75th/95th/99th confirm latency: 7/7/7/7/7 µs",
  );
  assert.equal(
    format({ producers: 0, legacyMetrics: true }).line(reading()),
    "id: t, time 2.000 s, received: 1000 msg/s, min/avg/max consumer latency: 5/5/5 µs",
  );
});

test("messages too small for a time have no latency", () => {
  assert.equal(
    format({ sizeBytes: 11 }).line(reading()),
    "id: t, time 2.000 s, sent: 1234 msg/s, received: 1000 msg/s",
  );
});

test("the summary is PerfTest's", () => {
  assert.deepEqual(format({ confirmWindow: 1 }).summary(reading()), [
    "id: t, sending rate avg: 1234 msg/s",
    "id: t, receiving rate avg: 1000 msg/s",
    "id: t, consumer latency min/median/75th/95th/99th 5/5/5/5/5 µs",
    "id: t, confirm latency min/median/75th/95th/99th 7/7/7/7/7 µs",
  ]);
});

test("rates have digits where they are small", () => {
  assert.deepEqual([0, 0.123, 1.26, 9.94, 10.9, 123456.7].map(formatRate), [
    "0 msg/s",
    "0.12 msg/s",
    "1.3 msg/s",
    "9.9 msg/s",
    "10 msg/s",
    "123456 msg/s",
  ]);
});

test("a CSV line has a value, or nothing, for every column", () => {
  const options = { ...defaultOptions(), id: "t", confirmWindow: 1 };
  const columns = csvHeader(options).split(",");
  const values = csvLine(options, new LineFormat(options), reading()).split(",");
  assert.equal(columns.length, 17);
  assert.deepEqual(values, [
    "t",
    "2.000",
    "1234.0",
    "",
    "617.0",
    "4.5",
    "1000.0",
    ..."55555",
    ..."77777",
  ]);
  const silent = { ...options, consumers: 0, producers: 0 };
  const blank = csvLine(silent, new LineFormat(silent), reading()).split(",");
  assert.deepEqual(blank, ["t", "2.000", ...Array(15).fill("")]);
});
