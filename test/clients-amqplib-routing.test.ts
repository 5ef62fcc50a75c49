/**
 * amqplib, routing: every type of exchange, bindings between exchanges, alternate exchanges, CC and
 * BCC.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConfirmChannel } from "amqplib";
import {
  assertChannelClosed,
  getMessage,
  openChannel,
  openConfirmChannel,
  text,
} from "./clients/amqplib-actions.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";

const bench = await openBench();

describe("routing", () => {
  test(
    "direct: equal keys, several queues, several keys",
    bench.scenario(async (bed) => {
      const routes = await openRoutes(bed, "direct");
      const a = await routes.bind("a", "red");
      const b = await routes.bind("b", "red", "blue");
      assert.deepEqual(await routes.reached("red"), [a, b]);
      assert.deepEqual(await routes.reached("blue"), [b]);
      assert.deepEqual(await routes.reached("Red"), []);
      assert.deepEqual(await routes.reached(""), []);
    }),
  );

  test(
    "fanout: every bound queue once, whatever the key, however often bound",
    bench.scenario(async (bed) => {
      const routes = await openRoutes(bed, "fanout");
      const a = await routes.bind("a", "", "again", "and again");
      const b = await routes.bind("b", "ignored");
      assert.deepEqual(await routes.reached("anything"), [a, b]);
    }),
  );

  test(
    "topic: words, stars and hashes",
    bench.scenario(async (bed) => {
      const routes = await openRoutes(bed, "topic");
      const exact = await routes.bind("exact", "a.b.c");
      const star = await routes.bind("star", "a.*.c");
      const trailing = await routes.bind("trailing", "a.#");
      const middle = await routes.bind("middle", "a.#.c");
      const all = await routes.bind("all", "#");
      const two = await routes.bind("two", "*.*");
      assert.deepEqual(await routes.reached("a.b.c"), [exact, star, trailing, middle, all]);
      assert.deepEqual(await routes.reached("a"), [trailing, all]);
      assert.deepEqual(await routes.reached("a.c"), [trailing, middle, all, two]);
      assert.deepEqual(await routes.reached("a.b.b.c"), [trailing, middle, all]);
      assert.deepEqual(await routes.reached("a..c"), [star, trailing, middle, all]);
      assert.deepEqual(await routes.reached(""), [all]);
      assert.deepEqual(await routes.reached("."), [all, two], "two empty words");
      assert.deepEqual(await routes.reached("b.a"), [all, two]);
    }),
  );

  test(
    "headers: all, any, and their variants that look at x- headers",
    bench.scenario(async (bed) => {
      const routes = await openRoutes(bed, "headers");
      const all = await routes.bindHeaders("all", { "x-match": "all", color: "red", size: 5 });
      const any = await routes.bindHeaders("any", { "x-match": "any", color: "red", size: 5 });
      const implicit = await routes.bindHeaders("implicit", { color: "red" });
      const present = await routes.bindHeaders("present", { "x-match": "all", color: null });
      const extra = { "x-match": "all-with-x", "x-kind": "k" };
      const withX = await routes.bindHeaders("with-x", extra);
      const everything = await routes.bindHeaders("everything", {});
      assert.deepEqual(await routes.reached("", { color: "red", size: 5 }), [
        all,
        any,
        implicit,
        present,
        everything,
      ]);
      assert.deepEqual(await routes.reached("", { color: "blue", size: 5 }), [
        any,
        present,
        everything,
      ]);
      assert.deepEqual(await routes.reached("", { "x-kind": "k" }), [withX, everything]);
      assert.deepEqual(await routes.reached("", { color: "red", "x-kind": "other" }), [
        any,
        implicit,
        present,
        everything,
      ]);
      assert.deepEqual(await routes.reached(""), [everything]);
    }),
  );

  test(
    "headers: an invalid x-match is refused",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const queue = bed.name("q");
      await channel.assertQueue(queue);
      await assertChannelClosed(
        channel,
        () => channel.bindQueue(queue, "amq.headers", "", { "x-match": "some" }),
        {
          code: 406,
          text:
            'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; ' +
            "expected all, any, all-with-x, or any-with-x",
          blames: [50, 20],
        },
      );
    }),
  );

  test(
    "unbinding takes away exactly the binding named, and a missing one is no error",
    bench.scenario(async (bed) => {
      const routes = await openRoutes(bed, "direct");
      const queue = await routes.bind("q", "one", "two");
      await routes.channel.unbindQueue(queue, routes.exchange, "one");
      assert.deepEqual(await routes.reached("one"), []);
      assert.deepEqual(await routes.reached("two"), [queue]);
      await routes.channel.unbindQueue(queue, routes.exchange, "one");
      await routes.channel.unbindQueue(queue, routes.exchange, "two", { other: "arguments" });
      assert.deepEqual(await routes.reached("two"), [queue]);
    }),
  );

  test(
    "CC and BCC route to further keys; BCC is taken out of what consumers see",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const [to, copied, blind] = [bed.name("to"), bed.name("cc"), bed.name("bcc")];
      for (const queue of [to, copied, blind]) await channel.assertQueue(queue);
      channel.sendToQueue(to, Buffer.from("letter"), { CC: [copied], BCC: blind });
      await channel.waitForConfirms();
      for (const queue of [to, copied, blind]) {
        const message = await getMessage(channel, queue);
        assert.deepEqual(message.properties.headers, { CC: [copied] }, queue);
        assert.equal(message.fields.routingKey, to);
      }
    }),
  );
});

describe("exchanges bound to exchanges", () => {
  test(
    "a chain delivers, a loop ends, and each queue gets one copy",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const [first, second, third] = [bed.name("first"), bed.name("second"), bed.name("third")];
      const queue = bed.name("q");
      for (const exchange of [first, second, third]) {
        await channel.assertExchange(exchange, "fanout");
      }
      await channel.bindExchange(second, first, "");
      await channel.bindExchange(third, second, "");
      await channel.bindExchange(first, third, "");
      await channel.assertQueue(queue);
      await channel.bindQueue(queue, first, "");
      await channel.bindQueue(queue, third, "");
      channel.publish(first, "key", Buffer.from("round"));
      await channel.waitForConfirms();
      const message = await getMessage(channel, queue);
      assert.deepEqual(
        [message.fields.exchange, message.fields.routingKey, message.fields.messageCount],
        [first, "key", 0],
        "the exchange published to, once",
      );
      await channel.unbindExchange(second, first, "");
      await channel.unbindQueue(queue, first, "");
      channel.publish(first, "key", Buffer.from("nowhere"));
      await channel.waitForConfirms();
      assert.equal(await channel.get(queue), false);
    }),
  );

  test(
    "bindings between exchanges filter by the source's type",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const [source, destination, queue] = [bed.name("source"), bed.name("dest"), bed.name("q")];
      await channel.assertExchange(source, "topic");
      await channel.assertExchange(destination, "direct");
      await channel.bindExchange(destination, source, "*.wanted");
      await channel.assertQueue(queue);
      await channel.bindQueue(queue, destination, "a.wanted");
      for (const key of ["a.wanted", "b.wanted", "a.other"]) {
        channel.publish(source, key, Buffer.from(key));
      }
      await channel.waitForConfirms();
      assert.equal(text(await getMessage(channel, queue)), "a.wanted");
      assert.equal(await channel.get(queue), false);
    }),
  );

  test(
    "deleting an exchange takes its bindings along, and routes change at once",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const [source, destination, queue] = [bed.name("source"), bed.name("dest"), bed.name("q")];
      await channel.assertExchange(source, "fanout");
      await channel.assertExchange(destination, "fanout");
      await channel.assertQueue(queue);
      await channel.bindExchange(destination, source, "");
      await channel.bindQueue(queue, destination, "");
      channel.publish(source, "", Buffer.from("before"));
      await channel.waitForConfirms();
      await channel.deleteExchange(destination);
      await channel.assertExchange(destination, "fanout");
      channel.publish(source, "", Buffer.from("after"));
      await channel.waitForConfirms();
      assert.equal(text(await getMessage(channel, queue)), "before");
      assert.equal(await channel.get(queue), false);
    }),
  );
});

describe("alternate exchanges", () => {
  test(
    "what an exchange cannot route its alternate gets, along chains, and mandatory is content",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const [front, middle, last] = [bed.name("front"), bed.name("middle"), bed.name("last")];
      const [wanted, rest] = [bed.name("wanted"), bed.name("rest")];
      await channel.assertExchange(last, "fanout");
      await channel.assertExchange(middle, "direct", { alternateExchange: last });
      await channel.assertExchange(front, "direct", { alternateExchange: middle });
      await channel.assertQueue(wanted);
      await channel.assertQueue(rest);
      await channel.bindQueue(wanted, front, "wanted");
      await channel.bindQueue(rest, last, "");
      const returned: string[] = [];
      channel.on("return", (message) => returned.push(text(message)));
      channel.publish(front, "wanted", Buffer.from("1"), { mandatory: true });
      channel.publish(front, "unwanted", Buffer.from("2"), { mandatory: true });
      await channel.waitForConfirms();
      assert.equal(text(await getMessage(channel, wanted)), "1");
      const stray = await getMessage(channel, rest);
      assert.equal(text(stray), "2");
      assert.deepEqual([stray.fields.exchange, stray.fields.routingKey], [front, "unwanted"]);
      assert.deepEqual(returned, []);
    }),
  );

  test(
    "a cycle of alternates ends, a missing alternate drops, and mandatory messages come back",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const [one, two, lost] = [bed.name("one"), bed.name("two"), bed.name("lost")];
      await channel.assertExchange(one, "direct", { alternateExchange: two });
      await channel.assertExchange(two, "direct", { alternateExchange: one });
      await channel.assertExchange(lost, "direct", { alternateExchange: bed.name("never") });
      const returned: string[] = [];
      channel.on("return", (message) => returned.push(text(message)));
      channel.publish(one, "k", Buffer.from("circling"), { mandatory: true });
      channel.publish(lost, "k", Buffer.from("falling"), { mandatory: true });
      channel.publish(lost, "k", Buffer.from("forgotten"));
      await channel.waitForConfirms();
      assert.deepEqual(returned, ["circling", "falling"]);
    }),
  );
});

interface Routes {
  channel: ConfirmChannel;
  exchange: string;
  bind(stem: string, ...keys: string[]): Promise<string>;
  bindHeaders(stem: string, wanted: Record<string, unknown>): Promise<string>;
  /** Publishes one message and tells which queues got it, in the order they were bound. */
  reached(key: string, headers?: Record<string, unknown>): Promise<string[]>;
}

async function openRoutes(bed: TestBed, type: string): Promise<Routes> {
  const channel = await openConfirmChannel(bed);
  const exchange = bed.name(type);
  const queues: string[] = [];
  await channel.assertExchange(exchange, type);
  const newQueue = async (stem: string) => {
    const queue = bed.name(stem);
    await channel.assertQueue(queue, { exclusive: true });
    queues.push(queue);
    return queue;
  };
  return {
    channel,
    exchange,
    bind: async (stem, ...keys) => {
      const queue = await newQueue(stem);
      for (const key of keys) await channel.bindQueue(queue, exchange, key);
      return queue;
    },
    bindHeaders: async (stem, wanted) => {
      const queue = await newQueue(stem);
      await channel.bindQueue(queue, exchange, "", wanted);
      return queue;
    },
    reached: async (key, headers = {}) => {
      channel.publish(exchange, key, Buffer.from(key), { headers });
      await channel.waitForConfirms();
      const counts = await Promise.all(queues.map((queue) => channel.purgeQueue(queue)));
      for (const { messageCount } of counts) assert.ok(messageCount <= 1, "one copy a queue");
      return queues.filter((_, index) => counts[index]?.messageCount === 1);
    },
  };
}
