/** Goal: what operators say of a virtual host holds, and outlives the broker. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MemoryMetadataStore } from "@haremq/store";
import { FieldTable, fieldText } from "@haremq/wire";
import { givenBroker, outcomeOf, queueNamed } from "../../test/given-broker.ts";
import type { Session } from "./session.ts";
import { TopologyJournal } from "./topology-journal.ts";

async function typeOf(session: Session, name: string, given: object = {}): Promise<string> {
  const queue = await session.declareQueue(queueNamed(name, { durable: true, ...given }));
  return fieldText(queue.arguments.get("x-queue-type")) ?? "none";
}

describe("metadata", () => {
  test("are given at creation, or changed later", async () => {
    const { broker } = givenBroker();
    const vhost = await broker.createVhost("v", { description: "d", tags: ["a"] });
    assert.deepEqual(vhost.metadata, { description: "d", tags: ["a"], defaultQueueType: "" });
    await vhost.changeMetadata({ tags: ["b", "c"], defaultQueueType: "quorum" });
    const expected = { description: "d", tags: ["b", "c"], defaultQueueType: "quorum" };
    assert.deepEqual(vhost.metadata, expected);
    const refusal = { name: "ParameterError", message: "Unsupported default queue type: foo" };
    await assert.rejects(vhost.changeMetadata({ defaultQueueType: "foo" }), refusal);
    await assert.rejects(broker.createVhost("w", { defaultQueueType: "foo" }), refusal);
    assert.deepEqual(vhost.metadata, expected);
    assert.equal(broker.vhost("w"), undefined);
  });

  test("are saved without what was not mentioned being lost", async () => {
    const store = new MemoryMetadataStore();
    const journal = await TopologyJournal.open(store);
    await journal.saveVhost({ name: "v", description: "d" });
    await journal.saveVhost({ name: "v", tags: ["t"], defaultQueueType: "stream" });
    const [saved] = [...(await TopologyJournal.open(store)).vhosts()];
    const { description, tags, defaultQueueType } = saved!;
    assert.deepEqual([description, tags, defaultQueueType], ["d", ["t"], "stream"]);
  });
});

describe("the default queue type", () => {
  test("is that of queues that are declared without one, as if they had asked for it", async () => {
    const { broker, connect } = givenBroker();
    const session = connect();
    const vhost = broker.vhost("/")!;
    assert.equal(await typeOf(session, "before"), "none");
    await vhost.changeMetadata({ defaultQueueType: "quorum" });
    assert.equal(await typeOf(session, "q"), "quorum");
    assert.equal(await typeOf(session, "q"), "quorum", "declared again");
    const classic = FieldTable.from({ "x-queue-type": "classic" });
    assert.equal(await typeOf(session, "c", { arguments: classic }), "classic");
    assert.equal(await typeOf(session, "transient", { durable: false }), "classic");
    assert.equal(await typeOf(session, "exclusive", { exclusive: true }), "classic");
    assert.equal(await typeOf(session, "auto", { autoDelete: true }), "classic");
    assert.equal(
      await outcomeOf(() => typeOf(session, "")),
      "channel PRECONDITION_FAILED Cannot declare a server-named queue for type rabbit_quorum_queue",
    );
    await vhost.changeMetadata({ defaultQueueType: "" });
    assert.equal(await typeOf(session, "after"), "none");
  });

  test("leaves the arguments alone that a client has passed", async () => {
    const { broker, connect } = givenBroker();
    await broker.vhost("/")!.changeMetadata({ defaultQueueType: "classic" });
    const args = FieldTable.from({ "x-expires": 1000 });
    assert.equal(await typeOf(connect(), "q", { arguments: args }), "classic");
    assert.deepEqual(args.toObject(), { "x-expires": 1000 });
  });
});

describe("the limit on queues", () => {
  const refusal = (name: string, max: number): string =>
    `channel PRECONDITION_FAILED cannot declare queue '${name}': queue limit in vhost '/' ` +
    `(${max}) is reached`;

  test("holds for new queues only, before their arguments are looked at", async () => {
    const { broker, connect } = givenBroker();
    const session = connect();
    const { limits } = broker.vhost("/")!;
    await limits.set("max-queues", 1);
    const declare = (name: string, args: object = {}): Promise<string> =>
      outcomeOf(() =>
        session.declareQueue(
          queueNamed(name, { arguments: FieldTable.from(args as Record<string, unknown>) }),
        ),
      );
    assert.equal(await declare("q1"), "ok");
    assert.equal(await declare("q1"), "ok");
    assert.equal(await declare("q2"), refusal("q2", 1));
    assert.equal(await declare("q2", { "x-max-length": -1 }), refusal("q2", 1));
    await session.deleteQueue("q1", false, false);
    assert.equal(await declare("q2"), "ok");
    await limits.set("max-queues", -1);
    assert.equal(await declare("q3"), "ok");
    await limits.set("max-queues", 0);
    assert.equal(await declare("q4"), refusal("q4", 0));
  });

  test("counts queues that are still being made", async () => {
    const { broker, connect } = givenBroker();
    const session = connect();
    await broker.vhost("/")!.limits.set("max-queues", 2);
    const streams = FieldTable.from({ "x-queue-type": "stream" });
    const outcomes = await Promise.all(
      ["a", "b", "c"].map((name) =>
        outcomeOf(() =>
          session.declareQueue(queueNamed(name, { durable: true, arguments: streams })),
        ),
      ),
    );
    assert.deepEqual(outcomes, ["ok", "ok", refusal("c", 2)]);
  });
});
