/**
 * One client of a fuzzed case: carries out its steps on a raw connection, and remembers of what it
 * receives only what later steps answer.
 */

import { isMethod, type RawConnection } from "@haremq/testkit";
import { isAcknowledgingTag } from "./frame-maker.ts";
import type { Step } from "./fuzz-case.ts";

/** What the broker says when it takes the connection for over. */
const endings = ["connection.close", "connection.close-ok"] as const;

export class FuzzClient {
  readonly #connection: RawConnection;
  readonly #unsent: Buffer[] = [];
  #closedChannels: number[] = [];
  #deliveries: { channel: number; deliveryTag: number }[] = [];
  #isAnswered = false;

  constructor(connection: RawConnection) {
    this.#connection = connection;
  }

  /** Whether the broker has said or shown that the connection is over. */
  get isAnswered(): boolean {
    this.#look();
    return this.#isAnswered || this.#connection.ended !== undefined;
  }

  /** Waits for that; false if it does not come. */
  answered(): Promise<boolean> {
    return this.#connection.waitUntil(() => this.isAnswered);
  }

  take(step: Step): void {
    const connection = this.#connection;
    if (step.kind === "send") {
      this.#unsent.push(step.bytes);
      return;
    }
    this.flush();
    this.#look();
    if (step.kind === "agree") this.#agree();
    else if (step.kind === "settle") this.#settle(step.how);
    else if (step.kind === "stop reading") connection.pauseReading();
    else if (step.kind === "read again") connection.resumeReading();
    else if (step.kind === "end sending") connection.endSending();
    else if (step.kind === "vanish") connection.destroy();
  }

  /** Writes what was sent since the last time, all at once. */
  flush(): void {
    if (this.#unsent.length > 0) this.#connection.sendBytes(Buffer.concat(this.#unsent.splice(0)));
  }

  /** Says goodbye, reading whatever the answer is. */
  close(): void {
    this.flush();
    this.#connection.resumeReading();
    this.#connection.send(0, "connection.close", { replyCode: 200 });
  }

  sendBytes(bytes: Buffer): void {
    this.#connection.sendBytes(bytes);
  }

  destroy(): void {
    this.#connection.destroy();
  }

  /**
   * Does what a polite client does about channels that were closed: agrees, and opens them again.
   */
  #agree(): void {
    for (const channel of this.#closedChannels.splice(0)) {
      this.#connection.send(channel, "channel.close-ok");
      this.#connection.send(channel, "channel.open");
    }
  }

  #settle(how: "ack" | "requeue" | "reject"): void {
    for (const { channel, deliveryTag } of this.#deliveries.splice(0)) {
      const requeue = how === "requeue";
      if (how === "ack") this.#connection.send(channel, "basic.ack", { deliveryTag });
      else this.#connection.send(channel, "basic.nack", { deliveryTag, requeue });
    }
  }

  #look(): void {
    for (const frame of this.#connection.frames.splice(0)) {
      const { channel, method } = frame;
      if (isMethod(frame, "channel.close")) this.#closedChannels.push(channel);
      else if (endings.some((name) => isMethod(frame, name))) this.#isAnswered = true;
      else if (method?.name === "basic.deliver" && isAcknowledgingTag(method.args.consumerTag)) {
        this.#deliveries.push({ channel, deliveryTag: method.args.deliveryTag });
      }
    }
  }
}
