/**
 * What a scenario's player knows of one channel: enough to send the next step and to tell when the
 * broker is done with the last one. Line feeds it every frame sent and received.
 */

import type { RawFrame } from "@haremq/testkit";
import type { Method } from "@haremq/wire";

/** A confirm that came in, spread out to the single messages it is about. */
export interface Confirms {
  readonly outcome: "basic.ack" | "basic.nack";
  readonly tags: number[];
}

export class ChannelView {
  state: "unopened" | "open" | "refused" | "closing" = "unopened";
  /** A transaction is being committed: RabbitMQ takes nothing else until it is through with it. */
  committing = false;
  /** A content has been begun and not finished. */
  held = false;
  /** Delivery tags handed out and not settled, oldest first. */
  outstanding: number[] = [];
  /** Whether each access.request still unanswered belongs to a step, or to the player. */
  #requests: ("step" | "probe")[] = [];
  #pendingGetNoAck: boolean[] = [];
  #noAckConsumers = new Set<string>();
  #lastConsumeNoAck: boolean[] = [];
  #confirming = false;
  #published = 0;
  #unconfirmed: number[] = [];

  /** Nothing may be asked before the broker has answered the last method. */
  get busy(): boolean {
    return this.state === "closing" || (this.committing && this.state === "open");
  }

  get answered(): boolean {
    return this.#requests.length === 0;
  }

  /** The player is about to send an access.request of its own. */
  expectProbe(): void {
    this.#requests.push("probe");
  }

  sent(method: Method): void {
    switch (method.name) {
      case "channel.open":
        this.#begin();
        break;
      case "channel.close":
        if (this.state === "open") this.state = "closing";
        break;
      case "channel.close-ok":
        this.state = "unopened";
        break;
      case "access.request":
        this.#requests.push("step");
        break;
      case "tx.commit":
        this.committing = true;
        break;
      case "basic.get":
        this.#pendingGetNoAck.push(method.args.noAck);
        break;
      case "basic.consume":
        if (method.args.nowait && method.args.noAck) {
          this.#noAckConsumers.add(method.args.consumerTag);
        }
        if (!method.args.nowait) this.#lastConsumeNoAck.push(method.args.noAck);
        break;
      case "basic.publish":
        this.#published++;
        if (this.#confirming) this.#unconfirmed.push(this.#published);
        break;
      case "basic.recover":
      case "basic.recover-async":
        this.outstanding = [];
        break;
      case "confirm.select":
        if (!this.#confirming) {
          this.#confirming = true;
          this.#published = 0;
        }
        break;
      default:
    }
  }

  /** False when the frame is the answer to a probe, and so none of the scenario's business. */
  received(frame: RawFrame): boolean {
    const { method } = frame;
    switch (method?.name) {
      case "access.request-ok":
        return this.#requests.shift() !== "probe";
      case "channel.close":
        this.state = "refused";
        this.#requests = [];
        break;
      case "channel.close-ok":
        this.state = this.state === "refused" ? "refused" : "unopened";
        this.#requests = [];
        break;
      case "tx.commit-ok":
        this.committing = false;
        break;
      case "basic.consume-ok":
        if (this.#lastConsumeNoAck.shift()) this.#noAckConsumers.add(method.args.consumerTag);
        break;
      case "basic.deliver":
        if (!this.#noAckConsumers.has(method.args.consumerTag)) {
          this.outstanding.push(method.args.deliveryTag);
        }
        break;
      case "basic.get-ok":
        if (!this.#pendingGetNoAck.shift()) this.outstanding.push(method.args.deliveryTag);
        break;
      case "basic.get-empty":
        this.#pendingGetNoAck.shift();
        break;
      default:
    }
    return true;
  }

  /** The messages that a broker's basic.ack or basic.nack is about; undefined for other methods. */
  confirms(frame: RawFrame): Confirms | undefined {
    const { method } = frame;
    if (method?.name !== "basic.ack" && method?.name !== "basic.nack") return undefined;
    const { deliveryTag, multiple } = method.args;
    const covered = (tag: number): boolean => (multiple ? tag <= deliveryTag : tag === deliveryTag);
    const tags = this.#unconfirmed.filter(covered);
    this.#unconfirmed = this.#unconfirmed.filter((tag) => !covered(tag));
    // A tag that was not outstanding must show, as it stands.
    return { outcome: method.name, tags: tags.length > 0 ? tags : [deliveryTag] };
  }

  /** Forgets what has been settled. */
  settled(deliveryTag: number, multiple: boolean): void {
    this.outstanding = this.outstanding.filter((tag) =>
      multiple ? tag > deliveryTag : tag !== deliveryTag,
    );
  }

  #begin(): void {
    this.state = "open";
    this.held = false;
    this.committing = false;
    this.outstanding = [];
    this.#requests = [];
    this.#pendingGetNoAck = [];
    this.#lastConsumeNoAck = [];
    this.#noAckConsumers.clear();
    this.#confirming = false;
    this.#published = 0;
    this.#unconfirmed = [];
  }
}
