/**
 * One connection of a scenario: it sends steps, collects what comes back, and knows when all that
 * will come has come.
 *
 * RabbitMQ answers from many processes: a channel's replies, a queue's deliveries and a confirm
 * race each other. The `settle` methods make that deterministic. They ask a channel a question that
 * changes nothing (access.request), and queues another (a passive declare, on a channel of the
 * line's own): with the answer everything has come that was said before. The player asks them in
 * the order in which RabbitMQ's processes pass messages on.
 */

import {
  type BrokerAddress,
  type HandshakeOptions,
  isMethod,
  methodFrame,
  methodOf,
  protocolHeader,
  RawConnection,
  type RawFrame,
} from "@haremq/testkit";
import type { Method, Properties } from "@haremq/wire";
import { ChannelView } from "./channel-view.ts";
import { showBytes, showFrame } from "./show.ts";

export interface Received {
  /** "a/1" */
  readonly place: string;
  readonly text: string;
  /**
   * For what comes from several processes of RabbitMQ at once, and so has no order against
   * deliveries: its place among its like.
   */
  readonly rank?: number;
}

const answerDeadlineMs = 5_000;
const eventDeadlineMs = 8_000;
const usualProbeChannel = 900;

export class Line {
  readonly name: string;
  readonly connection: RawConnection;
  /** The broker has sent connection.close and waits for an answer. */
  closeUnanswered = false;
  readonly #collect: (received: Received) => void;
  readonly #channels = new Map<number, ChannelView>();
  readonly #probe: number;
  #seen = 0;
  #over = false;
  #endShown = false;
  #mute = false;

  private constructor(
    name: string,
    connection: RawConnection,
    probe: number,
    collect: (received: Received) => void,
  ) {
    this.name = name;
    this.connection = connection;
    this.#probe = probe;
    this.#collect = collect;
  }

  static async connect(
    name: string,
    address: BrokerAddress,
    collect: (received: Received) => void,
    probe = usualProbeChannel,
  ): Promise<Line> {
    return new Line(name, await RawConnection.connect(address), probe, collect);
  }

  /** The protocol header, and the broker's connection.start, out of the transcript. */
  async greet(): Promise<void> {
    this.connection.sendBytes(protocolHeader);
    await this.connection.waitForMethod("connection.start");
    this.#seen = this.connection.frames.length;
  }

  /** The whole handshake, out of the transcript, and channel 1. */
  async open(options: HandshakeOptions): Promise<void> {
    await this.connection.handshake(options);
    this.#seen = this.connection.frames.length;
    this.send(this.#probe, methodOf("channel.open"));
    this.send(1, methodOf("channel.open"));
    await this.settleChannels();
  }

  /** Nothing more is to be expected: the broker has closed or gone, or does not answer any more. */
  get over(): boolean {
    return this.#over || this.connection.ended !== undefined;
  }

  channel(number: number): ChannelView {
    let view = this.#channels.get(number);
    if (view === undefined) {
      view = new ChannelView();
      this.#channels.set(number, view);
    }
    return view;
  }

  send(channel: number, method: Method): void {
    if (method.name === "connection.close-ok") this.closeUnanswered = false;
    this.channel(channel).sent(method);
    this.connection.sendBytes(methodFrame(channel, method));
  }

  sendContent(channel: number, properties: Properties, body: Buffer): void {
    this.connection.sendContent(channel, properties, body);
  }

  sendBytes(channel: number, content: Buffer, hold: boolean): void {
    this.channel(channel).held = hold;
    this.connection.sendBytes(content);
  }

  /** Waits until the broker is through with what was sent on this channel. */
  async settleChannel(channel: number): Promise<void> {
    const view = this.channel(channel);
    if (view.busy) await this.#wait(() => !view.busy);
    await this.#ask([channel]);
  }

  /** Waits until every channel has passed on what it had to say. */
  async settleChannels(): Promise<void> {
    await this.#ask(this.#channels.keys());
  }

  /** Waits for a method, for any frame, for bytes that are none, or for the connection's end. */
  async await(what: string, from: number): Promise<void> {
    const { connection } = this;
    const came = await connection.waitUntil(() => {
      if (connection.ended !== undefined) return true;
      if (what === "bytes") return connection.rest.length > 0;
      if (what === "anything") return connection.frames.length > from;
      return connection.frames.slice(from).some((frame) => frame.method?.name === what);
    }, eventDeadlineMs);
    if (what === "bytes") {
      this.#collect({ place: `${this.name}/end`, text: `bytes ${showBytes(connection.rest)}` });
    }
    this.#digest();
    if (!came) this.#giveUp(`no ${what}`);
  }

  /** Agrees to the broker's connection.close, and waits for the broker to end the socket. */
  async agreeToClose(): Promise<void> {
    this.send(0, methodOf("connection.close-ok"));
    await this.await("end", 0);
  }

  /** Ends the line, in the protocol's way if that is still possible. */
  async finish(): Promise<void> {
    this.#mute = true;
    const opened = this.connection.frames.some((frame) => isMethod(frame, "connection.open-ok"));
    if (!opened || this.over || this.closeUnanswered) this.connection.destroy();
    else await this.connection.close();
  }

  async #ask(channels: Iterable<number>): Promise<void> {
    const asked: ChannelView[] = [];
    for (const channel of channels) {
      const view = this.channel(channel);
      if (this.over || view.state !== "open" || view.held || view.busy) continue;
      view.expectProbe();
      this.connection.sendBytes(methodFrame(channel, methodOf("access.request")));
      asked.push(view);
    }
    await this.#wait(() => asked.every((view) => view.answered));
  }

  /**
   * Waits until the queues have passed on what they had to say. They are asked all at once; after
   * one that is missing, or somebody else's, the rest are asked again.
   */
  async settleQueues(queues: readonly string[]): Promise<void> {
    const view = this.channel(this.#probe);
    let next = 0;
    while (next < queues.length && view.state === "open" && !this.over) {
      const from = this.connection.frames.length;
      for (const queue of queues.slice(next)) {
        this.send(this.#probe, methodOf("queue.declare", { queue, passive: true }));
      }
      view.expectProbe();
      this.connection.sendBytes(methodFrame(this.#probe, methodOf("access.request")));
      await this.#wait(() => view.answered);
      if (this.over || (view.state as string) !== "refused") return;
      const answers = this.connection.frames
        .slice(from)
        .filter((frame) => frame.channel === this.#probe && isMethod(frame, "queue.declare-ok"));
      next += answers.length + 1;
      this.send(this.#probe, methodOf("channel.close-ok"));
      this.send(this.#probe, methodOf("channel.open"));
    }
  }

  async #wait(done: () => boolean): Promise<void> {
    const came = await this.connection.waitUntil(() => {
      this.#digest();
      return this.over || done();
    }, answerDeadlineMs);
    if (!came) this.#giveUp("no answer");
  }

  #giveUp(what: string): void {
    this.#over = true;
    this.#collect({ place: `${this.name}/end`, text: `${what} within the deadline` });
  }

  #digest(): void {
    const { frames } = this.connection;
    while (this.#seen < frames.length) {
      const frame = frames[this.#seen++] as RawFrame;
      if (frame.channel === 0) this.#digestConnection(frame);
      const view = this.channel(frame.channel);
      if (view.received(frame) && frame.channel !== this.#probe) this.#show(frame, view);
    }
    if (this.connection.ended === undefined || this.#endShown || this.#mute) return;
    this.#endShown = true;
    if (this.connection.ended !== "by us") {
      this.#collect({ place: `${this.name}/end`, text: "socket closed by the broker" });
    }
  }

  #digestConnection(frame: RawFrame): void {
    if (frame.method?.name === "connection.close") {
      this.#over = true;
      this.closeUnanswered = true;
    } else if (frame.method?.name === "connection.close-ok") {
      this.#over = true;
    }
  }

  #show(frame: RawFrame, view: ChannelView): void {
    if (this.#mute) return;
    const place = `${this.name}/${frame.channel}`;
    const confirms = view.confirms(frame);
    if (confirms !== undefined) {
      for (const tag of confirms.tags) {
        this.#collect({ place, text: `confirm: ${confirms.outcome} ${tag}`, rank: tag });
      }
    } else if (isMethod(frame, "tx.commit-ok")) {
      this.#collect({ place, text: showFrame(frame), rank: Number.POSITIVE_INFINITY });
    } else this.#collect({ place, text: showFrame(frame) });
  }
}
