/**
 * The clients of the kill simulator, all at work until the broker is gone: publishers with
 * confirms, consumers that acknowledge one by one and many at a time, one with transactions, one
 * that rejects everything, so that it is dead-lettered, one that declares and deletes queues, those
 * of a stream, and one that beats the time. Each tells the world what it does and is told.
 */

import { type Channel, type Connection, connect, type Delivery } from "@haremq/client";
import type { SeededRandom } from "@haremq/kernel";
import { type KillWorld, passingNames, type QueueName, queueNames } from "./kill-world.ts";
import type { ModelMessage } from "./message-model.ts";
import { encodeBody } from "./simulated-message.ts";

const persistent = { deliveryMode: 2 } as const;
/** Messages of one publisher that wait for their confirm. */
const window = 50;

export interface Publisher {
  readonly exchange: string;
  readonly routingKey: string;
  readonly queues: readonly QueueName[];
  /** Numbers the publishers, for each is promised an order of its own. */
  readonly number: number;
}

const publishers: readonly Publisher[] = [
  { exchange: "", routingKey: "work", queues: ["work"], number: 1 },
  { exchange: "", routingKey: "work", queues: ["work"], number: 2 },
  { exchange: "copies", routingKey: "", queues: ["copy-1", "copy-2"], number: 3 },
  { exchange: "", routingKey: "tx-in", queues: ["tx-in"], number: 4 },
  { exchange: "", routingKey: "poison", queues: ["poison"], number: 6 },
];
const transactionNumber = 5;
const deadNumber = 7;
const toDead = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" };

/** Declares what has to be there before anything else. */
export async function declareFixtures(url: string, world: KillWorld): Promise<void> {
  const connection = await connect(url);
  const channel = await connection.openChannel();
  await channel.exchangeDeclare("copies", "fanout", { durable: true });
  for (const queue of [...queueNames, "beat"]) {
    const isPoison = queue === "poison";
    await channel.queueDeclare(queue, { durable: true, ...(isPoison && { arguments: toDead }) });
  }
  for (const queue of ["copy-1", "copy-2"]) await channel.queueBind(queue, "copies");
  await world.stream.declare(channel);
  await connection.close();
}

export class KillLoad {
  readonly #world: KillWorld;
  readonly #random: SeededRandom;
  readonly #onProgress: () => void;
  readonly #connections: Connection[] = [];
  readonly #work: Promise<void>[] = [];
  /** Something has been told that must not be. */
  onBroken: (error: unknown) => void = () => {};

  constructor(world: KillWorld, random: SeededRandom, onProgress: () => void) {
    this.#world = world;
    this.#random = random;
    this.#onProgress = onProgress;
  }

  async start(url: string): Promise<void> {
    const open = async (): Promise<Channel> => {
      const connection = await connect(url, { heartbeatSeconds: 0 });
      connection.on("error", () => {});
      this.#connections.push(connection);
      const channel = await connection.openChannel();
      channel.on("error", () => {});
      return channel;
    };
    const channels: Channel[] = [];
    for (let count = 0; count < publishers.length + 11; count++) channels.push(await open());
    const next = (): Channel => channels.pop()!;
    for (const publisher of publishers) this.#run(this.#publish(next(), publisher));
    this.#run(this.#consume(next(), "work", 1));
    this.#run(this.#consume(next(), "copy-1", 10));
    this.#run(this.#consume(next(), "tx-out", 3));
    this.#run(this.#consume(next(), "dead", 5));
    this.#run(this.#reject(next()));
    this.#run(this.#transact(next()));
    this.#run(this.#declare(next()));
    this.#run(this.#beat(next()));
    const { stream } = this.#world;
    const onBroken = (error: unknown): void => this.onBroken(error);
    this.#run(stream.publish(next(), this.#random, this.#onProgress));
    this.#run(stream.follow(next(), onBroken));
    this.#run(stream.followOn(next(), onBroken));
  }

  /** Resolves when the broker is gone and everything that it had sent is read. */
  async ended(): Promise<void> {
    await Promise.all(this.#work);
  }

  /** What a client does ends with its connection, and is only to end so. */
  #run(work: Promise<void>): void {
    this.#work.push(
      work.catch((error: Error) => {
        if (error.name !== "ConnectionLostError") this.onBroken(error);
      }),
    );
  }

  #drawLength(): number {
    return this.#random.below(this.#random.pick([10, 200, 200, 2000, 2000, 50_000]));
  }

  async #publish(channel: Channel, publisher: Publisher): Promise<void> {
    const { exchange, routingKey, queues, number } = publisher;
    const world = this.#world;
    await channel.confirmSelect();
    const publishOne = async (): Promise<void> => {
      const id = world.newId();
      const messages = queues.map((queue) => this.#tell(id, queue, number));
      const body = encodeBody(id, this.#drawLength());
      await channel.publish(exchange, routingKey, body, persistent);
      world.onConfirmed(messages);
      this.#onProgress();
    };
    const lanes = Array.from({ length: window }, async () => {
      for (;;) await publishOne();
    });
    await Promise.all(lanes);
  }

  #tell(id: number, queue: QueueName, publisher: number): ModelMessage {
    const message = this.#world.model.publish(
      id,
      this.#world.queue(queue),
      true,
      undefined,
      publisher,
    );
    // Nobody knows what was on its way to a client when the broker was killed.
    message.wasDelivered = true;
    return message;
  }

  /** Acknowledges every `count` deliveries, and asks then whether that has been read. */
  async #consume(channel: Channel, queue: QueueName, count: number): Promise<void> {
    const world = this.#world;
    const lost = ended(channel);
    await channel.basicQos(count * 5);
    let batch: ModelMessage[] = [];
    const onDelivery = (delivery: Delivery): void => {
      batch.push(world.onDelivery(queue, delivery.body, delivery.redelivered));
      this.#onProgress();
      if (batch.length < count) return;
      const messages = batch;
      batch = [];
      world.onAcknowledging(messages);
      channel.ack(delivery, count > 1);
      void channel.flow(true).then(
        () => world.onAcknowledged(messages),
        () => {},
      );
    };
    await channel.basicConsume(queue, {}, (delivery) => {
      try {
        onDelivery(delivery);
      } catch (error) {
        this.onBroken(error);
      }
    });
    await lost;
  }

  /** Rejects whatever comes, and asks then whether that has been read. */
  async #reject(channel: Channel): Promise<void> {
    const world = this.#world;
    const lost = ended(channel);
    await channel.basicQos(20);
    const onDelivery = (delivery: Delivery): void => {
      const message = world.onDelivery("poison", delivery.body, delivery.redelivered);
      const onMoved = world.onRejecting(message, "dead", deadNumber);
      channel.reject(delivery, false);
      void channel.flow(true).then(onMoved, () => {});
      this.#onProgress();
    };
    await channel.basicConsume("poison", {}, (delivery) => {
      try {
        onDelivery(delivery);
      } catch (error) {
        this.onBroken(error);
      }
    });
    await lost;
  }

  /** Moves messages from one queue to another, some at a time. */
  async #transact(channel: Channel): Promise<void> {
    const world = this.#world;
    const { model } = world;
    await channel.txSelect();
    for (;;) {
      const transaction = model.beginTransaction();
      const got: ModelMessage[] = [];
      for (let count = this.#random.below(4); count > 0; count--) {
        const message = await channel.basicGet("tx-in");
        if (message === undefined) break;
        got.push(world.onDelivery("tx-in", message.body, message.redelivered));
        channel.ack(message);
      }
      const published: ModelMessage[] = [];
      for (let count = 1 + this.#random.below(3); count > 0; count--) {
        const id = world.newId();
        const queue = world.queue("tx-out");
        const told = model.publish(id, queue, true, transaction, transactionNumber);
        told.wasDelivered = true;
        published.push(told);
        channel.basicPublish("", "tx-out", encodeBody(id, this.#drawLength()), persistent);
      }
      for (const message of got) {
        message.isHeld = false;
        model.settle(message, transaction);
      }
      await channel.txCommit();
      transaction.isAnswered = true;
      for (const message of published) message.isSafe = true;
      world.committed++;
      world.progress++;
      this.#onProgress();
    }
  }

  async #declare(channel: Channel): Promise<void> {
    const { passing } = this.#world;
    for (;;) {
      const name = this.#random.pick(passingNames);
      const state = passing.get(name)!;
      if (state.queue === "there" && this.#random.below(2) === 0) {
        state.queue = "unknown";
        state.binding = "unknown";
        await channel.queueDelete(name);
        state.queue = "gone";
        state.binding = "gone";
      } else {
        state.queue = state.queue === "there" ? "there" : "unknown";
        await channel.queueDeclare(name, { durable: true });
        state.queue = "there";
        state.binding = state.binding === "there" ? "there" : "unknown";
        await channel.queueBind(name, "amq.direct", name);
        state.binding = "there";
      }
      this.#world.progress++;
      this.#onProgress();
    }
  }

  async #beat(channel: Channel): Promise<void> {
    await channel.confirmSelect();
    for (let count = 1; ; count++) {
      await channel.publish("", "beat", "", persistent);
      this.#world.beats++;
      if (count % 100 === 0) await channel.queuePurge("beat");
    }
  }
}

/** Rejects when the channel ends. */
function ended(channel: Channel): Promise<never> {
  const lost = new Promise<never>((_, reject) => channel.on("close", reject));
  lost.catch(() => {});
  return lost;
}
