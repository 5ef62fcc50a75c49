// Measures the metadata store as a broker with many durable queues uses it: declaring them from
// many connections at once and one by one, opening again, deleting. Not a test: it prints what this
// machine does.
//
//   node --conditions=source --import tsx bench/metadata-store.mjs [QUEUES [COMMITTERS [FOLDER]]]
//
// Each declaration is one commit of a queue and a binding, on condition that the queue is new. The
// first line is the disk's own speed: appends of 4 KiB, each with fdatasync.

import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  bindingRecords,
  LmdbMetadataStore,
  prepareTopology,
  queueRecords,
} from "../packages/store/src/index.ts";

const [queues = 50_000, committers = 50] = process.argv.slice(2, 4).map(Number);
const directory = mkdtempSync(join(process.argv[4] ?? tmpdir(), "haremq-bench-metadata-"));
const table = new Uint8Array([0, 0, 0, 17, 12, ...Buffer.from("x-max-length"), 73, 0, 0, 1]);

try {
  measureDisk();
  let store = await LmdbMetadataStore.open(directory);
  await prepareTopology(store);
  await declareAll(store);
  await declareOneByOne(store, 200);
  await store.close();
  print("file", `${Math.round(statSync(join(directory, "metadata.mdb")).size / 2 ** 20)} MiB`);
  store = await openAndScan();
  await deleteAll(store);
  await store.close();
} finally {
  rmSync(directory, { recursive: true });
}

function measureDisk() {
  const file = openSync(join(directory, "yardstick"), "w");
  const block = Buffer.alloc(4096, 1);
  const times = [];
  for (let count = 0; count < 200; count++) {
    const start = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    times.push(performance.now() - start);
  }
  closeSync(file);
  print("disk: append and fdatasync", latencies(times));
}

async function declareAll(store) {
  let next = 0;
  const elapsedMs = await timed(() =>
    Promise.all(
      Array.from({ length: committers }, async () => {
        while (next < queues) await declare(store, next++);
      }),
    ),
  );
  const perSecond = Math.round((queues / elapsedMs) * 1000);
  print(`declare ${queues} queues, ${committers} at once`, `${perSecond} commits/s`);
}

async function declareOneByOne(store, count) {
  const times = [];
  for (let index = queues; index < queues + count; index++) {
    times.push(await timed(() => declare(store, index)));
  }
  print(`declare ${count} queues, one at a time`, latencies(times));
}

async function declare(store, index) {
  const vhost = "/";
  const name = `service-${index % 100}.orders.${index}`;
  const queue = { vhost, name, id: index, type: "classic", autoDelete: false, arguments: table };
  const binding = {
    vhost,
    source: "amq.topic",
    destinationKind: "queue",
    destination: name,
    routingKey: `orders.${index}.#`,
    arguments: new Uint8Array(),
  };
  const changes = [queueRecords.put(queue), bindingRecords.put(binding)];
  const done = await store.commit(changes, [{ key: queueRecords.keyOf(queue), version: 0 }]);
  if (!done) throw new Error(`${name} was there already`);
}

async function openAndScan() {
  const rssBefore = process.memoryUsage.rss();
  let store;
  let found = 0;
  const openMs = await timed(async () => {
    store = await LmdbMetadataStore.open(directory);
    await prepareTopology(store);
  });
  const scanMs = await timed(async () => {
    for (const queue of queueRecords.scan(store)) found += queue.id >= 0 ? 1 : 0;
    for (const binding of bindingRecords.scan(store)) found += binding.source === "" ? 0 : 1;
  });
  const rssMiB = Math.round((process.memoryUsage.rss() - rssBefore) / 2 ** 20);
  print("open", `${Math.round(openMs)} ms`);
  print(`scan and decode ${found} records`, `${Math.round(scanMs)} ms, RSS +${rssMiB} MiB`);
  return store;
}

async function deleteAll(store) {
  const all = [...queueRecords.scan(store)];
  const elapsedMs = await timed(() =>
    Promise.all(
      Array.from({ length: committers }, async () => {
        for (let queue = all.pop(); queue !== undefined; queue = all.pop()) {
          await store.commit([queueRecords.remove(queue)]);
        }
      }),
    ),
  );
  print(
    `delete them, ${committers} at once`,
    `${Math.round((queues / elapsedMs) * 1000)} commits/s`,
  );
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function latencies(times) {
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(times.length * share)].toFixed(2);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

function print(what, result) {
  process.stdout.write(`${what.padEnd(48)}${result}\n`);
}
