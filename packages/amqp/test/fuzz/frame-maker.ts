/**
 * Makes the frames of a client that knows the protocol, but has no plan: methods that mostly make
 * sense on one of its channels, contents in frames of any size, field tables with anything in them.
 * The fuzzer's cases are made of these before they are mutated. The same randomness makes the same
 * frames.
 *
 * Invariant: every name begins with `fuzz-`, so that a case does not meddle with what belongs to
 * others.
 */

import type { SeededRandom } from "@haremq/kernel";
import {
  type MethodArguments,
  type MethodName,
  methodFrame,
  methodOf,
  protocolHeader,
  rawFrame,
} from "@haremq/testkit";
import {
  encodeHeaderFrame,
  FieldTable,
  type FieldValue,
  type Properties,
  WireWriter,
} from "@haremq/wire";

const namePrefix = "fuzz-";
const acknowledgingPrefix = "t";
const channelNumbers = [1, 2, 3, 10, 2047, 65_535];
const replyQueue = "amq.rabbitmq.reply-to";
const exchangeTypes = ["direct", "fanout", "topic", "headers"];
const routingKeys = ["", "a", "a.b", "a.b.c", "#", "*.b"].map((key) => namePrefix + key);
const bodySizes = [0, 0, 1, 1, 5, 5, 5, 100, 100, 4087, 4088, 4089, 70_000, 300_000];

/** Whether the consumer with that tag acknowledges, if one of these made it. */
export function isAcknowledgingTag(consumerTag: string): boolean {
  return consumerTag.startsWith(acknowledgingPrefix);
}

export class FrameMaker {
  readonly #random: SeededRandom;
  /** Channels that are probably open. */
  readonly #channels: number[] = [];
  #consumers = 0;
  #frameMax = 131_072;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** From the protocol header to connection.open, each as bytes of its own. */
  handshake(): Buffer[] {
    const random = this.#random;
    const response = random.below(12) === 0 ? "\0guest\0wrong" : "\0guest\0guest";
    const frameMax = random.pick([0, 4096, 131_072, 131_072]);
    this.#frameMax = frameMax === 0 ? 131_072 : frameMax;
    const capabilities = Object.fromEntries(
      ["consumer_cancel_notify", "connection.blocked", "authentication_failure_close"].map(
        (name) => [name, random.below(2) === 0],
      ),
    );
    return [
      protocolHeader,
      this.#method(0, "connection.start-ok", {
        clientProperties: FieldTable.from({ capabilities, product: "fuzz" }),
        mechanism: random.below(20) === 0 ? "AMQPLAIN" : "PLAIN",
        response: Buffer.from(response),
        locale: "en_US",
      }),
      this.#method(0, "connection.tune-ok", {
        channelMax: random.pick([0, 10, 2047, 2047]),
        frameMax,
        heartbeat: random.pick([0, 0, 1, 60]),
      }),
      this.#method(0, "connection.open", { virtualHost: random.below(30) === 0 ? "no" : "/" }),
    ];
  }

  /** Opens a channel and declares what most actions take for granted. */
  setUp(): Buffer[] {
    const frames = [this.#openChannel()];
    const channel = this.#channels[0]!;
    for (let index = 0; index < 4; index++) {
      frames.push(this.#method(channel, "queue.declare", { queue: `${namePrefix}q${index}` }));
    }
    for (let index = 0; index < 3; index++) {
      const exchange = `${namePrefix}x${index}`;
      const type = exchangeTypes[index]!;
      frames.push(this.#method(channel, "exchange.declare", { exchange, type }));
      const queue = this.#queue();
      const routingKey = this.#random.pick(routingKeys);
      frames.push(this.#method(channel, "queue.bind", { queue, exchange, routingKey }));
    }
    return frames;
  }

  /** The frames of one thing that a client does. */
  action(): Buffer[] {
    const random = this.#random;
    if (this.#channels.length === 0 || random.below(12) === 0) return [this.#openChannel()];
    const channel = random.pick(this.#channels);
    const kind = random.below(100);
    if (kind < 34) return this.#publish(channel);
    if (kind < 54) return [this.#topology(channel)];
    if (kind < 84) return [this.#consuming(channel)];
    if (kind < 94) return [this.#mode(channel)];
    return [this.#connection(channel)];
  }

  /** Any field table, up to the given depth. */
  table(depth = 3): FieldTable {
    const random = this.#random;
    const size = random.below(5);
    const names = ["a", "x-match", "x-max-length", "x-priority", "CC", "BCC", "", "x-queue-type"];
    const entries = [];
    for (let count = 0; count < size; count++) {
      entries.push({ name: random.pick(names), value: this.#value(depth) });
    }
    return new FieldTable(entries);
  }

  #openChannel(): Buffer {
    const random = this.#random;
    const closed = channelNumbers.filter((number) => !this.#channels.includes(number));
    // One that is open already is an error of the connection.
    if (closed.length === 0 || random.below(60) === 0) {
      return this.#method(random.pick(channelNumbers), "channel.open");
    }
    const channel = random.pick(closed);
    this.#channels.push(channel);
    return this.#method(channel, "channel.open");
  }

  #publish(channel: number): Buffer[] {
    const random = this.#random;
    const replies = random.below(8) === 0;
    const publish = this.#method(channel, "basic.publish", {
      exchange: random.below(3) === 0 ? this.#exchange() : "",
      routingKey: random.below(3) === 0 ? random.pick(routingKeys) : this.#queue(),
      mandatory: random.below(3) === 0,
      immediate: random.below(200) === 0,
    });
    const size = random.pick(bodySizes);
    const writer = new WireWriter(256);
    encodeHeaderFrame(writer, channel, size, this.#properties(replies));
    const frames = [publish, writer.take()];
    const whole = this.#frameMax - 8;
    const largest = size > 5000 ? random.pick([4088, whole]) : random.pick([3 + size / 4, 4088]);
    for (let done = 0; done < size; ) {
      if (random.below(12) === 0) frames.push(rawFrame(3, channel, Buffer.alloc(0)));
      const length = Math.min(size - done, 1 + random.below(largest));
      frames.push(rawFrame(3, channel, Buffer.alloc(length, done)));
      done += length;
    }
    return frames;
  }

  #topology(channel: number): Buffer {
    const random = this.#random;
    const queue = this.#queue();
    const exchange = this.#exchange();
    const routingKey = random.pick(routingKeys);
    const nowait = random.below(4) === 0;
    const args = { arguments: random.below(3) === 0 ? this.table() : new FieldTable() };
    const flags = {
      durable: random.below(2) === 0,
      autoDelete: random.below(4) === 0,
      passive: random.below(6) === 0,
    };
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2: {
        const exclusive = random.below(4) === 0;
        return this.#method(channel, "queue.declare", {
          queue,
          ...flags,
          exclusive,
          nowait,
          ...args,
        });
      }
      case 3: {
        const type = random.pick(exchangeTypes);
        const internal = random.below(6) === 0;
        const spec = { exchange, type, ...flags, internal, nowait, ...args };
        return this.#method(channel, "exchange.declare", spec);
      }
      case 4:
      case 5:
        return this.#method(channel, "queue.bind", {
          queue,
          exchange,
          routingKey,
          nowait,
          ...args,
        });
      case 6:
        return this.#method(channel, "queue.unbind", { queue, exchange, routingKey, ...args });
      case 7: {
        const binding = { destination: exchange, source: this.#exchange(), routingKey, nowait };
        const name = random.below(2) === 0 ? "exchange.bind" : "exchange.unbind";
        return this.#method(channel, name, { ...binding, ...args });
      }
      case 8:
        return random.below(2) === 0
          ? this.#method(channel, "queue.purge", { queue, nowait })
          : this.#method(channel, "exchange.delete", { exchange, ifUnused: nowait });
      default:
        return this.#method(channel, "queue.delete", {
          queue,
          ifUnused: random.below(4) === 0,
          ifEmpty: random.below(4) === 0,
          nowait,
        });
    }
  }

  #consuming(channel: number): Buffer {
    const random = this.#random;
    const queue = random.below(10) === 0 ? replyQueue : this.#queue();
    const multiple = random.below(3) === 0;
    const requeue = random.below(2) === 0;
    const tagNumber = random.below(4);
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2: {
        const noAck = queue === replyQueue || random.below(2) === 0;
        const prefix = noAck ? "n" : acknowledgingPrefix;
        const number = random.below(20) === 0 ? tagNumber : this.#consumers++;
        return this.#method(channel, "basic.consume", {
          queue,
          consumerTag: random.below(10) === 0 ? "" : prefix + number,
          noAck,
          exclusive: random.below(10) === 0,
          nowait: random.below(4) === 0,
          arguments: random.below(4) === 0 ? this.table(1) : new FieldTable(),
        });
      }
      case 3: {
        const consumerTag = random.pick(["n", acknowledgingPrefix]) + tagNumber;
        return this.#method(channel, "basic.cancel", { consumerTag, nowait: multiple });
      }
      case 4:
      case 5:
        return this.#method(channel, "basic.get", { queue, noAck: requeue });
      case 6:
        return this.#settlement(channel);
      case 7:
      case 8:
        return rawFrame(8, 0, Buffer.alloc(0));
      case 9:
      case 10:
        return this.#method(channel, "basic.qos", {
          prefetchCount: random.pick([0, 1, 2, 65_535]),
          prefetchSize: random.below(100) === 0 ? 1 : 0,
          global: random.below(2) === 0,
        });
      default:
        return this.#method(channel, multiple ? "basic.recover-async" : "basic.recover", {
          requeue: random.below(50) !== 0,
        });
    }
  }

  /** Of a delivery that may not exist. */
  #settlement(channel: number): Buffer {
    const random = this.#random;
    const deliveryTag = random.pick([0, 1, 1, 2, 3, 4, 5, 8, 2 ** 53, 2 ** 63]);
    const multiple = random.below(3) === 0;
    const requeue = random.below(2) === 0;
    switch (random.below(3)) {
      case 0:
        return this.#method(channel, "basic.ack", { deliveryTag, multiple });
      case 1:
        return this.#method(channel, "basic.nack", { deliveryTag, multiple, requeue });
      default:
        return this.#method(channel, "basic.reject", { deliveryTag, requeue });
    }
  }

  #mode(channel: number): Buffer {
    const names = [
      "confirm.select",
      "confirm.select",
      "tx.select",
      "tx.commit",
      "tx.rollback",
      "channel.flow",
      "access.request",
    ] as const;
    const name = this.#random.pick(names);
    if (name === "channel.flow") return this.#method(channel, name, { active: true });
    return this.#method(channel, name);
  }

  #connection(channel: number): Buffer {
    const random = this.#random;
    switch (random.below(24)) {
      case 0:
        return this.#method(0, "connection.close-ok");
      case 1:
        return this.#method(channel, "channel.close-ok");
      case 2:
      case 3:
        this.#channels.splice(this.#channels.indexOf(channel), 1);
        return this.#method(channel, "channel.close", { replyCode: 200, replyText: "bye" });
      case 4:
        return this.#method(0, "connection.close", { replyCode: 200, replyText: "bye" });
      case 5:
        return this.#method(0, "connection.update-secret", { newSecret: Buffer.from("s") });
      default:
        return rawFrame(8, 0, Buffer.alloc(0));
    }
  }

  #properties(replies: boolean): Properties {
    const random = this.#random;
    const properties: Properties = {};
    if (replies) properties.replyTo = replyQueue;
    if (random.below(3) === 0) properties.contentType = "text/plain";
    if (random.below(3) === 0) properties.headers = this.table();
    if (random.below(3) === 0) properties.deliveryMode = random.pick([1, 2, 2, 7]);
    if (random.below(8) === 0) properties.priority = random.below(256);
    if (random.below(8) === 0) properties.expiration = random.pick(["1000", "0", "abc"]);
    if (random.below(8) === 0) properties.userId = random.pick(["guest", "other"]);
    if (random.below(8) === 0) properties.messageId = "m".repeat(random.below(256));
    return properties;
  }

  #value(depth: number): FieldValue {
    const random = this.#random;
    const type = random.pick([..."tbBsuIilfdDSATFVx"] as FieldValue["type"][]);
    if (type === "F") return { type, value: depth > 0 ? this.table(depth - 1) : new FieldTable() };
    if (type === "A") {
      const size = depth > 0 ? random.below(4) : 0;
      const value = Array.from({ length: size }, () => this.#value(depth - 1));
      return { type, value };
    }
    if (type === "S" || type === "x") return { type, value: random.bytes(random.below(20)) };
    if (type === "V") return { type, value: null };
    if (type === "t") return { type, value: random.below(2) === 0 };
    if (type === "D") return { type, value: { scale: 1, unscaled: random.below(99) } };
    if (type === "f" || type === "d") return { type, value: random.below(9) - 4.5 };
    return { type, value: random.below(128) };
  }

  #queue(): string {
    const random = this.#random;
    if (random.below(15) === 0) return "";
    return `${namePrefix}q${random.below(4)}`;
  }

  #exchange(): string {
    const random = this.#random;
    const name = random.below(6);
    if (name === 0) return random.pick(["amq.topic", "amq.direct", "amq.headers", "amq.fanout"]);
    return `${namePrefix}x${random.below(3)}`;
  }

  #method<Name extends MethodName>(
    channel: number,
    name: Name,
    args: Partial<MethodArguments<Name>> = {},
  ): Buffer {
    return methodFrame(channel, methodOf(name, args));
  }
}
