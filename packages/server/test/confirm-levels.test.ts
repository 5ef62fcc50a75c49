/**
 * Goal: a confirm means what its virtual host promises, whatever the broker's default is and
 * whatever other virtual hosts promise; and the level of a virtual host survives a restart.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfirmLevel } from "@haremq/broker";
import type { Channel } from "@haremq/client";
import { DurableBroker, drain } from "./durable-broker.ts";
import { FaultyBroker } from "./faulty-broker.ts";

const persistent = { deliveryMode: 2 } as const;

async function openPublisher(broker: FaultyBroker, vhost: string): Promise<Channel> {
  const channel = await broker.open(vhost);
  await channel.queueDeclare("q", { durable: true });
  await channel.confirmSelect();
  return channel;
}

/** A publish, and whether it has been confirmed. */
function publish(channel: Channel, body: string) {
  const published = { isConfirmed: false, confirm: channel.publish("", "q", body, persistent) };
  published.confirm.then(
    () => {
      published.isConfirmed = true;
    },
    () => {},
  );
  return published;
}

async function left(broker: FaultyBroker, vhost: string): Promise<string[]> {
  return (await drain(await broker.open(vhost), "q")).map(({ body }) => String(body));
}

/** A broker of one level with a virtual host of the other; "os" and "disk" are both there. */
async function givenBoth(t: Parameters<typeof FaultyBroker.start>[0], brokers: ConfirmLevel) {
  const broker = await FaultyBroker.start(t, { confirm: brokers });
  const other = brokers === "disk" ? "os" : "disk";
  await broker.addVhost(other, { confirm: other });
  await broker.addVhost(brokers, {});
  return broker;
}

for (const brokers of ["disk", "os"] as const) {
  describe(`a broker of level ${brokers} with a virtual host of the other`, () => {
    it("confirms at level os what is written, at level disk what is synced", async (t) => {
      const broker = await givenBoth(t, brokers);
      const os = await openPublisher(broker, "os");
      const disk = await openPublisher(broker, "disk");
      broker.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO" });
      await publish(os, "written").confirm;
      const synced = publish(disk, "synced");
      await broker.pass(60_000);
      assert.equal(synced.isConfirmed, false);
      broker.disk.faults.clear();
      await broker.passUntil(synced.confirm);
    });

    it("keeps what was confirmed at level disk over a power loss", async (t) => {
      const broker = await givenBoth(t, brokers);
      const os = await openPublisher(broker, "os");
      const disk = await openPublisher(broker, "disk");
      const bodies = Array.from({ length: 20 }, (_, n) => `${n}`);
      for (const body of bodies) {
        await publish(os, body).confirm;
        await publish(disk, body).confirm;
      }
      await publish(os, "may be lost").confirm;
      await broker.crash(true);
      assert.deepEqual(await left(broker, "disk"), bodies);
      // They were stored before, so they went with the same syncs.
      assert.deepEqual((await left(broker, "os")).slice(0, 20), bodies);
    });

    it("keeps what was confirmed at level os when it is killed", async (t) => {
      const broker = await givenBoth(t, brokers);
      const os = await openPublisher(broker, "os");
      for (const body of ["a", "b", "c"]) await publish(os, body).confirm;
      await broker.crash(false);
      assert.deepEqual(await left(broker, "os"), ["a", "b", "c"]);
    });

    it("answers a transaction at level os once it is written", async (t) => {
      const broker = await givenBoth(t, brokers);
      const channels = [await broker.open("os"), await broker.open("disk")] as const;
      for (const channel of channels) {
        await channel.queueDeclare("q", { durable: true });
        await channel.txSelect();
        for (const body of ["a", "b"]) channel.basicPublish("", "q", body, persistent);
      }
      broker.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO" });
      await channels[0].txCommit();
      let isAnswered = false;
      const answer = channels[1].txCommit().then(() => {
        isAnswered = true;
      });
      await broker.pass(60_000);
      assert.equal(isAnswered, false);
      broker.disk.faults.clear();
      await broker.passUntil(answer);
      await broker.crash(true);
      assert.deepEqual(await left(broker, "disk"), ["a", "b"]);
    });
  });
}

describe("a level that is changed", () => {
  it("holds for confirms that wait, when it becomes stricter", async (t) => {
    const broker = await FaultyBroker.start(t);
    const vhost = await broker.addVhost("v", { confirm: "os" });
    const channel = await openPublisher(broker, "v");
    broker.disk.faults.inject({ operations: ["write"], path: /seg$/, fault: "EIO" });
    const published = publish(channel, "one");
    await broker.pass(1000);
    await vhost.setConfirmLevel("disk");
    broker.disk.faults.clear();
    broker.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO" });
    await broker.pass(60_000);
    assert.equal(published.isConfirmed, false);
    broker.disk.faults.clear();
    await broker.passUntil(published.confirm);
  });

  it("holds from the next message on, when it becomes looser", async (t) => {
    const broker = await FaultyBroker.start(t);
    const vhost = await broker.addVhost("v", {});
    const channel = await openPublisher(broker, "v");
    await publish(channel, "one").confirm;
    await vhost.setConfirmLevel("os");
    broker.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO" });
    await publish(channel, "two").confirm;
  });

  it("is what it was after a restart, or the broker's default", async (t) => {
    const broker = await DurableBroker.start(t);
    const levels = (): (string | undefined)[][] =>
      [...broker.running.broker.vhosts()].map((vhost) => [
        ...[vhost.name, vhost.confirmLevel, vhost.ownConfirmLevel],
      ]);
    await broker.running.broker.createVhost("os", { confirm: "os" });
    await broker.running.broker.createVhost("os", { confirm: "disk" });
    await (await broker.running.broker.createVhost("changed")).setConfirmLevel("disk");
    await (await broker.running.broker.createVhost("reset", { confirm: "disk" })).setConfirmLevel(
      undefined,
    );
    const expected = (brokers: ConfirmLevel) => [
      ["/", brokers, undefined],
      ["changed", "disk", "disk"],
      ["os", "os", "os"],
      ["reset", brokers, undefined],
    ];
    assert.deepEqual(levels().toSorted(), expected("disk"));
    await broker.restart({ "haremq.confirm": "os" });
    assert.deepEqual(levels().toSorted(), expected("os"));
    await broker.vhost.setConfirmLevel("disk");
    await broker.restart();
    assert.equal(broker.vhost.confirmLevel, "disk");
  });

  it("stays what it was if it cannot be saved, or is none", async (t) => {
    const broker = await FaultyBroker.start(t);
    const vhost = await broker.addVhost("v", {});
    broker.metadata.isFull = true;
    await assert.rejects(vhost.setConfirmLevel("os"), /no space left/);
    assert.equal(vhost.confirmLevel, "disk");
    broker.metadata.isFull = false;
    await assert.rejects(vhost.setConfirmLevel("disc" as ConfirmLevel), RangeError);
    await assert.rejects(broker.addVhost("w", { confirm: "" as ConfirmLevel }), RangeError);
    assert.equal(broker.broker.vhost("w"), undefined);
  });
});
