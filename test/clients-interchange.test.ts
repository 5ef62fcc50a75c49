/**
 * Different clients on the two ends of a queue: whatever one of them publishes, with properties and
 * headers in its own encoding, each of the others reads with the same meaning.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Connection } from "rabbitmq-client";
import { getMessage, openConfirmChannel } from "./clients/amqplib-actions.ts";
import { openClient } from "./clients/cloudamqp-actions.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";

const bench = await openBench();

/** What all three clients can say; each number is of a width that they encode differently. */
const letter = {
  body: Buffer.from("Übermittlung 🐇"),
  contentType: "text/x-letter",
  contentEncoding: "identity",
  priority: 4,
  correlationId: "correlation",
  replyTo: "reply.to",
  expiration: "60000",
  messageId: "message",
  type: "letter",
  appId: "interchange",
  headers: {
    text: "zażółć",
    yes: true,
    nothing: null,
    small: 7,
    negative: -30_000,
    int: 70_000,
    wide: 5_000_000_000,
    real: 2.5,
    list: ["a", 1, [false], { deep: "er" }],
    table: { inner: { innermost: 1 } },
  },
};

type Letter = typeof letter;

interface Correspondent {
  send(bed: TestBed, queue: string): Promise<void>;
  read(bed: TestBed, queue: string): Promise<Letter>;
}

const { body, headers, ...properties } = letter;

const correspondents: Record<string, Correspondent> = {
  amqplib: {
    send: async (bed, queue) => {
      const channel = await openConfirmChannel(bed);
      channel.sendToQueue(queue, body, { ...properties, headers, persistent: true });
      await channel.waitForConfirms();
    },
    read: async (bed, queue) => {
      const message = await getMessage(await openConfirmChannel(bed), queue);
      assert.equal(message.properties.deliveryMode, 2);
      return pick({ ...message.properties, body: message.content });
    },
  },
  "@cloudamqp/amqp-client": {
    send: async (bed, queue) => {
      const channel = await (await openClient(bed)).channel();
      await channel.confirmSelect();
      const options = { ...properties, headers, deliveryMode: 2 };
      await channel.basicPublish("", queue, body, options);
    },
    read: async (bed, queue) => {
      const message = await (await (await openClient(bed)).channel()).basicGet(queue);
      assert.equal(message?.properties.deliveryMode, 2);
      return pick({ ...message.properties, body: Buffer.from(message.body as Uint8Array) });
    },
  },
  "rabbitmq-client": {
    send: async (bed, queue) => {
      const publisher = (await openRabbit(bed)).createPublisher({ confirm: true });
      await publisher.send({ ...properties, headers, routingKey: queue, durable: true }, body);
      await publisher.close();
    },
    read: async (bed, queue) => {
      const rabbit = await openRabbit(bed);
      const message = await rabbit.basicGet({ queue, noAck: true });
      assert.equal(message?.durable, true);
      return pick({ ...message });
    },
  },
};

describe("interchange", () => {
  for (const [sender, { send }] of Object.entries(correspondents)) {
    for (const [reader, { read }] of Object.entries(correspondents)) {
      test(
        `${reader} understands ${sender}`,
        bench.scenario(async (bed) => {
          const queue = bed.name("letters");
          await (await openConfirmChannel(bed)).assertQueue(queue);
          await send(bed, queue);
          assert.deepEqual(await read(bed, queue), letter);
        }),
      );
    }
  }
});

/** The fields of a letter, in its order, out of what a client makes of a message. */
function pick(message: object): Letter {
  const fields = Object.keys(letter) as (keyof Letter)[];
  const source = message as Letter;
  return Object.fromEntries(fields.map((field) => [field, source[field]])) as unknown as Letter;
}

async function openRabbit(bed: TestBed): Promise<Connection> {
  const rabbit = new Connection({ url: bed.url, noDelay: true });
  bed.defer(() => rabbit.close());
  await rabbit.onConnect(5000);
  return rabbit;
}
