/** Goal: queue numbers are never given twice, and the journal reads back what it saved. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryMetadataStore, MetadataError, queueRecords } from "@haremq/store";
import { FieldTable } from "@haremq/wire";
import type { Queue } from "../queue/queue.ts";
import { type SavedBinding, TopologyJournal } from "./topology-journal.ts";

function queueNamed(name: string, number: number) {
  return { vhost: "/", name, number, autoDelete: false, arguments: new FieldTable() };
}

test("a number is not given again, even if its queue was the last and is gone", async () => {
  const store = new MemoryMetadataStore();
  const journal = await TopologyJournal.open(store);
  const first = journal.newStoreNumber();
  await journal.saveQueue(queueNamed("a", first));
  const second = journal.newStoreNumber();
  await journal.saveQueue(queueNamed("b", second));
  await journal.remove("/", { queues: [{ name: "b", durable: true } as Queue] });
  const reopened = await TopologyJournal.open(store);
  assert.deepEqual(
    [...reopened.queues()].map(({ name }) => name),
    ["a"],
  );
  const third = reopened.newStoreNumber();
  assert.deepEqual([first, second, third], [1, 2, 3]);
});

test("saving queues out of turn does not turn the counter back", async () => {
  const store = new MemoryMetadataStore();
  const journal = await TopologyJournal.open(store);
  const [low, high] = [journal.newStoreNumber(), journal.newStoreNumber()];
  await Promise.all([
    journal.saveQueue(queueNamed("high", high)),
    journal.saveQueue(queueNamed("low", low)),
  ]);
  await journal.remove("/", { queues: [{ name: "high", durable: true } as Queue] });
  assert.equal((await TopologyJournal.open(store)).newStoreNumber(), high + 1);
});

test("a counter that lags behind the queues is not believed", async () => {
  const store = new MemoryMetadataStore();
  await TopologyJournal.open(store);
  const record = { vhost: "/", name: "q", id: 9, type: "classic", autoDelete: false };
  await store.commit([queueRecords.put({ ...record, arguments: new Uint8Array() })]);
  assert.equal((await TopologyJournal.open(store)).newStoreNumber(), 10);
});

test("bindings that differ in their arguments only are told apart, and removed apart", async () => {
  const store = new MemoryMetadataStore();
  const journal = await TopologyJournal.open(store);
  const binding: SavedBinding = {
    vhost: "/",
    source: "x",
    destinationKind: "queue",
    destination: "q",
    routingKey: "k",
    arguments: new FieldTable(),
  };
  const other = { ...binding, arguments: FieldTable.from({ n: 1 }) };
  await journal.saveBinding(binding);
  await journal.saveBinding(other);
  assert.deepEqual([...journal.bindings()], [binding, other]);
  await journal.remove("/", {
    bindings: [
      {
        source: { name: "x", durable: true },
        destination: { name: "q", durable: true },
        destinationKind: "queue",
        routingKey: "k",
        arguments: FieldTable.from({ n: 1 }),
      } as never,
    ],
  });
  assert.deepEqual([...journal.bindings()], [binding]);
});

test("a store that something else has written is refused", async () => {
  const store = new MemoryMetadataStore();
  await store.commit([{ key: ["queue", "/", "q"], value: {} }]);
  await assert.rejects(TopologyJournal.open(store), (error: MetadataError) => {
    return error instanceof MetadataError && error.code === "damaged";
  });
});

test("a binding that a crash has left without one of its ends is not there any more", async () => {
  const store = new MemoryMetadataStore();
  const journal = await TopologyJournal.open(store);
  await journal.saveQueue(queueNamed("q", journal.newStoreNumber()));
  const rest = { vhost: "/", destinationKind: "queue", routingKey: "k" } as const;
  const args = new FieldTable();
  const bindings: SavedBinding[] = [
    { ...rest, source: "amq.direct", destination: "q", arguments: args },
    { ...rest, source: "amq.direct", destination: "gone", arguments: args },
    { ...rest, source: "gone", destination: "q", arguments: args },
    {
      ...rest,
      source: "amq.topic",
      destinationKind: "exchange",
      destination: "q",
      arguments: args,
    },
  ];
  for (const binding of bindings) await journal.saveBinding(binding);
  const reopened = await TopologyJournal.open(store);
  assert.deepEqual([...reopened.bindings()], bindings.slice(0, 1));
});
