/**
 * rascal: a virtual host's topology from configuration, publications and subscriptions, recovery
 * strategies, redelivery limits, shovels, encryption, and lost connections. Rascal prefixes every
 * name with a namespace of the scenario, and `nuke` removes it all again.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Message } from "amqplib";
import rascal, {
  type AckOrNack,
  type Publication,
  type RascalBroker,
  type Subscription,
} from "rascal";
import { openChannel } from "./clients/amqplib-actions.ts";
import { nextEvent, within, withResolvers } from "./clients/deadline.ts";
import { Mailbox } from "./clients/mailbox.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";
import { WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();

interface Delivery {
  message: Message;
  content: unknown;
  ackOrNack: AckOrNack;
}

describe("configuration", () => {
  test(
    "exchanges, queues, bindings, publications and subscriptions from one description",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, {
        exchanges: { orders: { type: "topic" }, audit: { type: "fanout" } },
        queues: { placed: {}, everything: { options: { durable: false } } },
        bindings: [
          "orders[order.placed.#,order.changed] -> placed",
          { source: "orders", destination: "audit", destinationType: "exchange", bindingKey: "#" },
          "audit -> everything",
        ],
        publications: {
          order: { exchange: "orders", routingKey: "order.placed.eu" },
          straight: { queue: "placed" },
          quick: { exchange: "orders", routingKey: "order.changed", confirm: false },
        },
        subscriptions: { placed: { queue: "placed" }, audit: { queue: "everything" } },
      });
      const placed = await subscribe(broker, "placed");
      const audit = await subscribe(broker, "audit");
      await published(broker.publish("order", { id: 1 }));
      await published(broker.publish("straight", "plain text"));
      await published(broker.publish("quick", Buffer.from("bytes")));
      const contents = [];
      for (const { content, ackOrNack } of await placed.take(3)) {
        contents.push(content);
        ackOrNack();
      }
      assert.deepEqual(contents, [{ id: 1 }, "plain text", Buffer.from("bytes")]);
      const seen = await audit.take(2);
      seen[1]?.ackOrNack();
      seen[0]?.ackOrNack();
      assert.deepEqual(
        seen.map(({ message }) => message.fields.routingKey),
        ["order.placed.eu", "order.changed"],
      );
    }),
  );

  test(
    "what is marked for checking must be there",
    bench.scenario(async (bed) => {
      await assert.rejects(
        openRascal(bed, { queues: { absent: { assert: false, check: true } } }),
        /NOT_FOUND - no queue/,
      );
    }),
  );

  test(
    "purge empties and nuke deletes",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, {
        queues: ["q"],
        publications: { send: { queue: "q" } },
      });
      const queue = broker.qualify("/", "q");
      await published(broker.publish("send", "x"));
      const channel = await openChannel(bed);
      assert.equal((await channel.checkQueue(queue)).messageCount, 1);
      await within(broker.purge(), "the purge");
      assert.equal((await channel.checkQueue(queue)).messageCount, 0);
      await within(broker.nuke(), "the nuke");
      channel.on("error", () => {});
      await assert.rejects(channel.checkQueue(queue), /NOT_FOUND/);
    }),
  );
});

describe("publishing", () => {
  test(
    "an unroutable message is returned",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, {
        exchanges: ["lonely"],
        publications: { shout: { exchange: "lonely", routingKey: "anyone" } },
      });
      const publication = await broker.publish("shout", "hello");
      const [message] = await nextEvent<[Message]>(publication, "return");
      assert.equal(message.content.toString(), "hello");
      assert.equal((message.fields as unknown as { replyText: string }).replyText, "NO_ROUTE");
    }),
  );

  test(
    "options and headers are passed on, and a message can be forwarded",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, {
        exchanges: ["next"],
        queues: ["first", "second"],
        bindings: ["next[moved.on] -> second"],
        publications: { in: { queue: "first" }, on: { exchange: "next" } },
        subscriptions: { first: { queue: "first" }, second: { queue: "second" } },
      });
      const first = await subscribe(broker, "first");
      const second = await subscribe(broker, "second");
      const options = { messageId: "id-1", priority: 3, headers: { kept: "yes" } };
      await published(broker.publish("in", "text", { options }));
      const { message, ackOrNack } = await first.next();
      await published(broker.forward("on", message, "moved.on"));
      ackOrNack();
      const forwarded = await second.next();
      forwarded.ackOrNack();
      const { properties } = forwarded.message;
      assert.deepEqual([properties.messageId, properties.priority], ["id-1", 3]);
      assert.equal(properties.headers?.kept, "yes");
      assert.equal(forwarded.content, "text");
    }),
  );

  test(
    "encrypted bodies survive",
    bench.scenario(async (bed) => {
      const broker = await openRascal(
        bed,
        {
          queues: ["q"],
          publications: { send: { queue: "q", encryption: "profile" } },
          subscriptions: { read: { queue: "q" } },
        },
        {
          encryption: {
            profile: {
              key: "f81db52a3b2c717fe65d9a3b7dd04d2a08793e1a28e3083db3ea08db56e7c315",
              ivLength: 16,
              algorithm: "aes-256-cbc",
            },
          },
        },
      );
      const read = await subscribe(broker, "read");
      await published(broker.publish("send", { secret: "🐇" }));
      const { message, content, ackOrNack } = await read.next();
      assert.deepEqual(content, { secret: "🐇" });
      assert.equal(message.properties.contentType, "application/octet-stream");
      ackOrNack();
    }),
  );
});

describe("recovery", () => {
  const oneQueue = (subscription = {}) => ({
    exchanges: ["errors"],
    queues: ["q", "failed"],
    bindings: ["errors[#] -> failed"],
    publications: { send: { queue: "q" }, fail: { exchange: "errors" } },
    subscriptions: {
      read: { queue: "q", prefetch: 1, ...subscription },
      failed: { queue: "failed" },
    },
  });

  test(
    "nack with requeue brings a message back, nack without drops it",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, oneQueue());
      const read = await subscribe(broker, "read");
      await published(broker.publish("send", "1"));
      await published(broker.publish("send", "2"));
      const first = await read.next();
      first.ackOrNack(new Error("not now"), { strategy: "nack", requeue: true });
      const again = await read.next();
      assert.deepEqual([again.content, again.message.fields.redelivered], ["1", true]);
      again.ackOrNack(new Error("not at all"));
      const second = await read.next();
      assert.deepEqual([second.content, second.message.fields.redelivered], ["2", false]);
      second.ackOrNack();
    }),
  );

  test(
    "republish counts its attempts, then the next strategy forwards",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, oneQueue());
      const read = await subscribe(broker, "read");
      const failed = await subscribe(broker, "failed");
      await published(broker.publish("send", "doomed"));
      for (let attempt = 0; attempt < 3; attempt++) {
        const { message, ackOrNack } = await read.next();
        assert.equal(message.fields.redelivered, false, "a republished message is a new one");
        ackOrNack(new Error(`attempt ${attempt}`), [
          { strategy: "republish", attempts: 2 },
          { strategy: "forward", publication: "fail", options: { routingKey: "q.failed" } },
        ]);
      }
      const { message, content, ackOrNack } = await failed.next();
      ackOrNack();
      assert.equal(content, "doomed");
      assert.equal(message.properties.headers?.rascal.error.message, "attempt 2");
    }),
  );

  test(
    "a message that is redelivered too often is set aside",
    bench.scenario(async (bed) => {
      const limited = { redeliveries: { limit: 3, counter: "inMemory" } };
      const broker = await openRascal(bed, oneQueue(limited));
      const exceeded = withResolvers<AckOrNack>();
      let deliveries = 0;
      const subscription = await broker.subscribe("read");
      subscription.on("message", (_message, _content, ackOrNack: AckOrNack) => {
        deliveries++;
        ackOrNack(new Error("poison"), { strategy: "nack", requeue: true });
      });
      subscription.on("redeliveries_exceeded", (_error, _message, ackOrNack: AckOrNack) =>
        exceeded.resolve(ackOrNack),
      );
      await published(broker.publish("send", "poison"));
      const ackOrNack = await within(exceeded.promise, "the limit");
      ackOrNack();
      assert.equal(deliveries, 4, "the first delivery and three more");
    }),
  );

  test(
    "an invalid body is reported with the means to refuse it",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, oneQueue());
      const subscription = await broker.subscribe("read");
      const invalid = withResolvers<[Error, AckOrNack]>();
      subscription.on("invalid_content", (error, _message, ackOrNack) =>
        invalid.resolve([error, ackOrNack]),
      );
      subscription.on("message", () => {});
      const options = { contentType: "application/json" };
      await published(broker.publish("send", Buffer.from("{oops"), { options }));
      const [error, ackOrNack] = await within(invalid.promise, "invalid_content");
      assert.match(error.message, /JSON/);
      ackOrNack();
    }),
  );
});

describe("running", () => {
  test(
    "a shovel moves messages from a subscription to a publication",
    bench.scenario(async (bed) => {
      const broker = await openRascal(
        bed,
        {
          exchanges: ["there"],
          queues: ["here", "arrived"],
          bindings: ["there[there.key] -> arrived"],
          publications: {
            send: { queue: "here" },
            there: { exchange: "there", routingKey: "there.key" },
          },
          subscriptions: { here: { queue: "here" }, arrived: { queue: "arrived" } },
        },
        { shovels: ["here -> there"] },
      );
      const arrived = await subscribe(broker, "arrived");
      for (let i = 0; i < 10; i++) await published(broker.publish("send", String(i)));
      const contents = [];
      for (const { content, ackOrNack } of await arrived.take(10)) {
        contents.push(content);
        ackOrNack();
      }
      assert.deepEqual(contents.sort(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }),
  );

  test(
    "a subscription whose queue is deleted is told",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, {
        queues: ["q"],
        subscriptions: { read: { queue: "q" } },
      });
      const subscription = await broker.subscribe("read");
      subscription.on("error", () => {});
      subscription.on("message", () => {});
      await nextEvent(subscription, "subscribed");
      const cancelled = nextEvent<[Error]>(subscription, "cancelled");
      await (await openChannel(bed)).deleteQueue(broker.qualify("/", "q"));
      assert.match((await cancelled)[0].message, /was cancelled by the broker/);
    }),
  );

  test(
    "after the line was cut, subscriptions and publications go on",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const broker = await openRascal(
        bed,
        {
          // Rascal's test configuration empties queues whenever it connects.
          queues: { q: { purge: false } },
          publications: { send: { queue: "q" } },
          subscriptions: { read: { queue: "q" } },
        },
        {},
        tap.url,
      );
      const errors: Error[] = [];
      broker.on("error", (error) => errors.push(error));
      const read = await subscribe(broker, "read");
      await published(broker.publish("send", "before"));
      const before = await read.next();
      assert.equal(before.content, "before");
      const back = nextEvent(broker, "vhost_initialised");
      tap.cut();
      await back;
      await published(broker.publish("send", "after"));
      const contents = [];
      for (const { content, message, ackOrNack } of await read.take(2)) {
        contents.push([content, message.fields.redelivered]);
        ackOrNack();
      }
      assert.deepEqual(contents.sort(), [
        ["after", false],
        ["before", true],
      ]);
      assert.ok(errors.length > 0, "the loss was reported");
    }),
  );

  test(
    "200 publications through the channel pool all succeed",
    bench.scenario(async (bed) => {
      const broker = await openRascal(bed, {
        queues: ["q"],
        publications: { send: { queue: "q" } },
        subscriptions: { read: { queue: "q", prefetch: 50 } },
      });
      const read = await subscribe(broker, "read");
      await Promise.all(
        Array.from({ length: 200 }, (_, i) => published(broker.publish("send", String(i)))),
      );
      const contents = new Set<unknown>();
      for (let i = 0; i < 200; i++) {
        const { content, ackOrNack } = await read.next();
        contents.add(content);
        ackOrNack();
      }
      assert.equal(contents.size, 200);
    }),
  );
});

/** Rascal hides the broker that could not be started in its error, under a symbol of its own. */
interface FailedStart extends Error {
  broker?: symbol;
  [broker: symbol]: RascalBroker;
}

async function openRascal(
  bed: TestBed,
  vhost: object,
  rest: object = {},
  url = bed.url,
): Promise<RascalBroker> {
  const retry = { min: 1, max: 50, factor: 2, strategy: "exponential" };
  const connection = { url, socketOptions: { noDelay: true, timeout: 5000 }, retry };
  const config = rascal.withTestConfig({
    vhosts: { "/": { connection, namespace: true, ...vhost } },
    defaults: { subscriptions: { retry } },
    ...rest,
  });
  const creating = rascal.BrokerAsPromised.create(config).catch((error: FailedStart) => {
    // A broker that fails to start keeps the process alive until it is shut down all the same.
    const halfStarted = error.broker === undefined ? undefined : error[error.broker];
    bed.defer(() => halfStarted?.shutdown());
    throw error;
  });
  const broker = await within(creating, "rascal to start");
  broker.on("error", () => {});
  bed.defer(() => broker.nuke());
  return broker;
}

async function subscribe(broker: RascalBroker, name: string): Promise<Mailbox<Delivery>> {
  const mailbox = new Mailbox<Delivery>();
  const subscription: Subscription = await broker.subscribe(name);
  const subscribed = nextEvent(subscription, "subscribed");
  subscription.on("error", () => {});
  subscription.on("message", (message: Message, content: unknown, ackOrNack: AckOrNack) =>
    mailbox.put({ message, content, ackOrNack }),
  );
  await subscribed;
  return mailbox;
}

/** Waits until the broker has confirmed a publication, and fails if it came back instead. */
async function published(publishing: Promise<Publication>): Promise<void> {
  const publication = await publishing;
  const { promise, resolve, reject } = withResolvers<void>();
  publication.once("success", () => resolve());
  publication.once("error", reject);
  publication.once("return", () => reject(new Error("the message was returned")));
  await within(promise, "the publication to succeed");
}
