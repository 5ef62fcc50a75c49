/**
 * An honest client beside the fuzzed ones: it publishes in confirm mode to a queue of its own,
 * consumes from it and acknowledges, without a pause, and checks that every message comes back
 * whole, once and in order, and is confirmed. Whatever the others do must not show here.
 */

import { type BrokerAddress, RawConnection, type RawFrame } from "@haremq/testkit";

export const watchdogQueue = "watchdog";
const windowSize = 4;
const sizes = [0, 3, 200, 5000, 140_000];

export class Watchdog {
  readonly #connection: RawConnection;
  #published = 0;
  #confirmed = 0;
  #received = 0;
  #nextFrame = 0;
  #isStopping = false;
  #body: Buffer[] = [];
  #bodyBytes = 0;
  #expectedBytes = -1;
  /** What went wrong, or undefined. */
  failure: string | undefined;

  private constructor(connection: RawConnection) {
    this.#connection = connection;
  }

  static async start(address: BrokerAddress): Promise<Watchdog> {
    const connection = await RawConnection.open(address);
    await connection.openChannel(1);
    connection.send(1, "queue.declare", { queue: watchdogQueue, exclusive: true });
    connection.send(1, "confirm.select");
    connection.send(1, "basic.qos", { prefetchCount: windowSize });
    connection.send(1, "basic.consume", { queue: watchdogQueue, consumerTag: "watchdog" });
    await connection.waitForMethod("basic.consume-ok");
    const watchdog = new Watchdog(connection);
    watchdog.#nextFrame = connection.frames.length;
    watchdog.#publish();
    return watchdog;
  }

  get published(): number {
    return this.#published;
  }

  /** Waits until a few messages that were published from now on are back and confirmed. */
  async round(): Promise<void> {
    const target = this.#published + 2 * windowSize;
    const isDone = () => {
      this.#look();
      return this.failure !== undefined || this.#ended || this.#settled(target);
    };
    const inTime = await this.#connection.waitUntil(isDone);
    this.#look();
    if (!inTime) this.failure ??= `stuck: ${this.#situation()}`;
    if (this.#ended) this.failure ??= `its connection ended: ${this.#situation()}`;
  }

  /** Publishes nothing more, and waits until nothing is under way; the queue is empty then. */
  async rest(): Promise<void> {
    this.#isStopping = true;
    await this.#connection.waitUntil(() => {
      this.#look();
      return this.failure !== undefined || this.#ended || this.#settled(this.#published);
    });
    if (!this.#settled(this.#published)) this.failure ??= `stuck: ${this.#situation()}`;
    const from = this.#connection.frames.length;
    // Answered behind the last acknowledgement.
    this.#connection.send(1, "basic.qos", { prefetchCount: windowSize });
    await this.#connection.waitUntil(() => this.#connection.frames.length > from || this.#ended);
  }

  /** Goes on after a rest. */
  resume(): void {
    this.#isStopping = false;
    // What was read is done with; a long run must not keep it.
    this.#look();
    this.#connection.frames.length = 0;
    this.#nextFrame = 0;
    this.#publish();
  }

  close(): void {
    this.#connection.destroy();
  }

  get #ended(): boolean {
    return this.#connection.ended !== undefined;
  }

  #settled(target: number): boolean {
    return this.#received >= target && this.#confirmed >= target;
  }

  #publish(): void {
    while (!this.#isStopping && this.#published - this.#received < windowSize) {
      const number = ++this.#published;
      this.#connection.send(1, "basic.publish", { routingKey: watchdogQueue });
      this.#connection.sendContent(1, { messageId: `${number}` }, bodyOf(number));
    }
  }

  #look(): void {
    const { frames } = this.#connection;
    while (this.#nextFrame < frames.length) this.#onFrame(frames[this.#nextFrame++]!);
    this.#publish();
  }

  #onFrame(frame: RawFrame): void {
    const { method, header } = frame;
    if (header !== undefined) {
      this.#expectedBytes = header.bodySize;
      if (header.properties.messageId !== `${this.#received + 1}`) {
        this.failure ??= `${header.properties.messageId} came after ${this.#received}`;
      }
    } else if (frame.type === 3) {
      this.#body.push(frame.payload);
      this.#bodyBytes += frame.payload.length;
    } else if (method?.name === "basic.ack") {
      this.#confirmed = Math.max(this.#confirmed, Number(method.args.deliveryTag));
    } else if (method?.name === "basic.deliver") {
      const { deliveryTag, redelivered, consumerTag } = method.args;
      if (redelivered || consumerTag !== "watchdog" || Number(deliveryTag) !== this.#received + 1) {
        this.failure ??= `unexpected delivery ${JSON.stringify(method.args)}`;
      }
    } else if (method?.name !== "basic.qos-ok") {
      this.failure ??= `unexpected frame ${method?.name ?? frame.type}`;
    }
    if (this.#expectedBytes === this.#bodyBytes) this.#onMessage();
  }

  #onMessage(): void {
    const number = ++this.#received;
    if (!Buffer.concat(this.#body).equals(bodyOf(number))) {
      this.failure ??= `message ${number} has changed`;
    }
    this.#body = [];
    this.#bodyBytes = 0;
    this.#expectedBytes = -1;
    this.#connection.send(1, "basic.ack", { deliveryTag: number });
  }

  #situation(): string {
    const counts = `${this.#published} published, ${this.#confirmed} confirmed`;
    return `${counts}, ${this.#received} received, ${this.#connection.ended ?? "open"}`;
  }
}

function bodyOf(number: number): Buffer {
  const body = Buffer.alloc(sizes[number % sizes.length]!);
  for (let at = 0; at < body.length; at++) body[at] = number + at * 31;
  return body;
}
