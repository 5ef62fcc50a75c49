/** Goal: queues and keepers get a message stored once, and keepers may store one of their own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "@haremq/kernel";
import { DurableLog, MemoryDisk, RecordKind } from "@haremq/store";
import { queueSpec } from "../../test/queue-rig.ts";
import { TestHost } from "../../test/test-host.ts";
import { textMessage } from "../../test/text-message.ts";
import type { MessageKeeper } from "../exchange/message-tap.ts";
import { MessageStore } from "../message/message-store.ts";
import { unstored } from "../message/message-view.ts";
import { ClassicQueue } from "./classic-queue.ts";
import { Distributed, distribute } from "./distribute.ts";

interface TestKeeper extends MessageKeeper {
  /** The handles that messages came with. */
  readonly kept: number[];
}

function keeper(storeNumber: number, ownRecordBytes = 0): TestKeeper {
  const kept: number[] = [];
  const keep: MessageKeeper["keep"] = (view, kind) => {
    assert.equal(kind, RecordKind.Message);
    kept.push(view.handle);
  };
  return { storeNumber, ownRecordBytes, deleted: false, keep, kept };
}

async function given() {
  const log = await DurableLog.open({
    disk: new MemoryDisk(),
    directory: "/data",
    clock: new VirtualClock(),
    memoryBytes: 2 ** 26,
    onMessage: () => true,
    onWritten: () => undefined,
    onDurable: () => undefined,
    onFault: (error) => assert.fail(error),
    onDamage: (description) => assert.fail(description),
  });
  const messages = new MessageStore(log);
  const queue = new ClassicQueue(
    queueSpec({ durable: true, storeNumber: 1 }),
    messages,
    new TestHost(),
  );
  const message = (isPersistent: boolean) => Object.assign(textMessage("m"), { isPersistent });
  return { log, messages, queue, message };
}

test("what a keeper shares with queues is stored once, for all their numbers", async () => {
  const { log, messages, queue, message } = await given();
  const [sharing, passing] = [keeper(2), keeper(0)];
  const view = message(true);
  const outcome = distribute(messages, [queue], view, "disk", RecordKind.Message, [
    sharing,
    passing,
  ]);
  assert.equal(outcome, Distributed.Stored);
  assert.equal(view.handle, unstored, "the next publish begins anew");
  assert.equal(log.log.stats.liveRecords, 1);
  assert.equal(sharing.kept.length, 1);
  assert.ok(log.log.isDurable(sharing.kept[0]!));
  assert.deepEqual(passing.kept, sharing.kept);
  await log.close();
});

test("a confirm waits for a keeper's own record, if the message is persistent", async () => {
  const { log, messages, message } = await given();
  const cases = [
    [true, 10, Distributed.Stored],
    [false, 10, Distributed.Done],
    [true, 0, Distributed.Done],
  ] as const;
  for (const [isPersistent, ownRecordBytes, waits] of cases) {
    const apart = keeper(0, ownRecordBytes);
    assert.equal(
      distribute(messages, [], message(isPersistent), "disk", RecordKind.Message, [apart]),
      waits,
    );
    assert.deepEqual(apart.kept, [unstored]);
  }
  assert.equal(log.log.stats.liveRecords, 0);
  await log.close();
});
