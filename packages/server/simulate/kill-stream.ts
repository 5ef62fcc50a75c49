/**
 * The stream of the kill simulator: one publisher with confirms, one reader that begins with what
 * comes next, one whose offsets are remembered. After each kill all of it is read, and judged.
 */

import { type Channel, type Connection, connect, type Delivery } from "@haremq/client";
import type { SeededRandom } from "@haremq/kernel";
import { encodeBody, identifyBody } from "./simulated-message.ts";
import { ModelStream, type SeenMessage } from "./stream-model.ts";

const name = "stream";
const trackedTag = "tracked";
/** Small segments, so that they come and go. */
const limits = { "x-max-length-bytes": 4_000_000, "x-stream-max-segment-size-bytes": 500_000 };
const declaration = { durable: true, arguments: { "x-queue-type": "stream", ...limits } };
/** Messages that wait for their confirm. */
const window = 50;
const tracking = {
  "x-stream-automatic-offset-tracking": true,
  "x-stream-offset": "first",
};

export class KillStream {
  readonly #model = new ModelStream(name, 0);
  readonly #newId: () => number;
  confirmed = 0;

  constructor(newId: () => number) {
    this.#newId = newId;
  }

  async declare(channel: Channel): Promise<void> {
    await channel.queueDeclare(name, declaration);
  }

  /** Goes on until the broker is gone. */
  async publish(channel: Channel, random: SeededRandom, onProgress: () => void): Promise<void> {
    await channel.confirmSelect();
    const lanes = Array.from({ length: window }, async () => {
      for (;;) {
        await this.#publish(channel, random.below(random.pick([10, 200, 2000, 50_000])));
        onProgress();
      }
    });
    await Promise.all(lanes);
  }

  async #publish(channel: Channel, length: number): Promise<number> {
    const id = this.#newId();
    const message = this.#model.publish(id);
    // Transient: a stream keeps it all the same.
    await channel.publish("", name, encodeBody(id, length));
    message.isSafe = true;
    this.confirmed++;
    return id;
  }

  /** What comes next, in order and without a gap, until the broker is gone. */
  async follow(channel: Channel, onBroken: (error: unknown) => void): Promise<void> {
    await channel.basicQos(200);
    let count = 0;
    await channel.basicConsume(name, {}, (delivery) => {
      guard(onBroken, () => this.#model.see(seenIn(delivery)));
      if (++count % 50 === 0) channel.ack(delivery, true);
    });
    await ended(channel);
  }

  /** Begins where the last reader of its tag has stopped, or before. */
  async followOn(channel: Channel, onBroken: (error: unknown) => void): Promise<void> {
    await channel.basicQos(100);
    let isFirst = true;
    const onDelivery = (delivery: Delivery): void => {
      const seen = seenIn(delivery);
      this.#model.see(seen);
      if (isFirst) this.#model.judgeStart(trackedTag, seen.offset, seen.offset);
      isFirst = false;
      this.#model.noteReached(trackedTag, seen.offset);
      channel.ack(delivery);
    };
    const options = { consumerTag: trackedTag, arguments: tracking };
    await channel.basicConsume(name, options, (delivery) => {
      guard(onBroken, () => onDelivery(delivery));
    });
    await ended(channel);
  }

  /** Reads all there is after a restart, and judges it. */
  async check(url: string): Promise<void> {
    const connection = await connect(url);
    try {
      const found = await this.#readAll(connection);
      const firstOffset = found[0]!.offset;
      this.#model.judge(found, firstOffset, true);
      this.#model.onCrash();
      this.#model.forgetRemoved();
    } finally {
      await connection.close();
    }
  }

  /** Up to a message that is published for that. */
  async #readAll(connection: Connection): Promise<SeenMessage[]> {
    const channel = await connection.openChannel();
    await channel.confirmSelect();
    const last = await this.#publish(channel, 0);
    await channel.basicQos(1000);
    const found: SeenMessage[] = [];
    const args = { arguments: { "x-stream-offset": "first" } };
    await new Promise<void>((resolve, reject) => {
      channel.on("close", reject);
      const onDelivery = (delivery: Delivery): void => {
        const seen = seenIn(delivery);
        found.push(seen);
        channel.ack(delivery);
        if (seen.id === last) resolve();
      };
      channel.basicConsume(name, args, onDelivery).catch(reject);
    });
    return found;
  }
}

function seenIn({ body, properties }: Delivery): SeenMessage {
  const offset = Number(properties.headers?.get("x-stream-offset")?.value);
  return { offset, id: identifyBody(body) };
}

function guard(onBroken: (error: unknown) => void, work: () => void): void {
  try {
    work();
  } catch (error) {
    onBroken(error);
  }
}

/** Rejects when the channel ends. */
function ended(channel: Channel): Promise<never> {
  const lost = new Promise<never>((_, reject) => channel.on("close", reject));
  lost.catch(() => {});
  return lost;
}
