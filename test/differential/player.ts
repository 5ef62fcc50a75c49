/**
 * Plays a scenario against one broker and writes down, step by step, what came back.
 *
 * A transcript is comparable: names are the scenario's, each step's window holds everything that
 * the step has caused, and within a window the channels stand one after the other, since there is
 * no order between them.
 */

import { addressOf, type BrokerAddress, methodOf } from "@haremq/testkit";
import { FieldTable, type Properties } from "@haremq/wire";
import { Line, type Received } from "./line.ts";
import { Names } from "./names.ts";
import type { Operation, Operator } from "./operator.ts";
import type { Scenario } from "./scenario.ts";
import { showStep } from "./show.ts";
import type { ConnectStep, OperateStep, PublishStep, SettleStep, Step } from "./step.ts";

export interface Window {
  readonly step: string;
  readonly lines: string[];
}

/** Limits and refusals take a second turn through the queues. */
const settleRounds = 2;

export type Transcript = readonly Window[];

export interface PlayOptions {
  /** Keeps the scenario's names apart from everybody else's. */
  readonly prefix: string;
  /** Whether the headers of messages are put in order before they are sent. */
  readonly sortHeaders: boolean;
  readonly operator: Operator;
}

export async function play(
  url: string,
  scenario: Scenario,
  options: PlayOptions,
): Promise<Transcript> {
  const player = new Player(addressOf(url), scenario, options);
  try {
    return await player.run();
  } finally {
    await player.cleanUp();
  }
}

class Player {
  readonly #address: BrokerAddress;
  readonly #scenario: Scenario;
  readonly #names: Names;
  readonly #sortHeaders: boolean;
  readonly #lines = new Map<string, Line>();
  /** Queues to ask when settling down, by the name of the connection that has declared them. */
  readonly #queues = new Map<string, Set<string>>();
  #collected: Received[] = [];
  /** Where each line stood when the last step began, for what is awaited after it. */
  readonly #marks = new Map<string, number>();

  readonly #operator: Operator;
  readonly #operations: Operation[] = [];

  constructor(address: BrokerAddress, scenario: Scenario, options: PlayOptions) {
    this.#operator = options.operator;
    this.#address = address;
    this.#scenario = scenario;
    this.#names = new Names(options.prefix);
    this.#sortHeaders = options.sortHeaders;
  }

  async run(): Promise<Transcript> {
    const { handshake = {} } = this.#scenario.options;
    if (handshake !== null) await this.#connect("a", "open", handshake);
    const windows: Window[] = [];
    for (const step of this.#scenario.steps) {
      // What is waited for may have come with the step before, and RabbitMQ is not through with a
      // channel it has refused until the client agrees: these share a window with what was before.
      const belongsToLast = step.kind === "await" || step.kind === "reopen";
      if (!belongsToLast || windows.length === 0) {
        this.#mark();
        this.#collected = [];
        windows.push({ step: showStep(step), lines: [] });
      }
      await this.#take(step);
      windows[windows.length - 1] = { step: windows.at(-1)?.step ?? "", lines: this.#told() };
    }
    return windows;
  }

  async cleanUp(): Promise<void> {
    for (const line of this.#lines.values()) await line.finish();
    await this.#operator.undo(this.#operations);
    if (this.#names.used.size === 0) return;
    const broom = await Line.connect("broom", this.#address, () => {});
    await broom.open({});
    for (const name of this.#names.used) {
      broom.send(1, methodOf("queue.delete", { queue: name }));
      broom.send(1, methodOf("exchange.delete", { exchange: name }));
    }
    await broom.settleChannels();
    await broom.finish();
  }

  async #take(step: Step): Promise<void> {
    if (step.kind === "connect") {
      await this.#connect(step.connection, step.until, step.options);
      return;
    }
    if (step.kind === "operate") {
      await this.#operate(step);
      return;
    }
    const line = this.#line(step.connection);
    if (step.kind === "await") {
      await line.await(step.what, this.#marks.get(line.name) ?? 0);
      return;
    }
    if (step.kind === "reopen" && line.channel(step.channel).state === "open") return;
    if (step.kind === "drop") line.connection.destroy();
    else this.#send(line, step);
    await this.#settleDown(line, step.channel);
  }

  async #operate({ operation }: OperateStep): Promise<void> {
    const outward = this.#names.outwardData(operation);
    this.#operations.push(outward);
    const refusal = await this.#operator.operate(outward);
    const text = refusal === undefined ? "done" : `refused: ${refusal.trimEnd()}`;
    this.#collected.push({ place: "operator", text });
    const line = this.#lines.values().next().value;
    if (line !== undefined) await this.#settleDown(line, 1);
  }

  #send(line: Line, step: Exclude<Step, ConnectStep>): void {
    switch (step.kind) {
      case "call": {
        const method = this.#names.outwardMethod(step.method);
        if (method.name === "queue.declare") this.#noteQueue(line, method.args.queue);
        line.send(step.channel, method);
        break;
      }
      case "publish":
        line.send(step.channel, this.#names.outwardMethod(step.method));
        line.sendContent(step.channel, this.#propertiesOf(step), step.body);
        break;
      case "bytes":
        line.sendBytes(step.channel, step.bytes, step.hold);
        break;
      case "settle":
        settleOne(line, step);
        break;
      case "reopen":
        if (line.channel(step.channel).state === "refused") {
          line.send(step.channel, methodOf("channel.close-ok"));
        }
        line.send(step.channel, methodOf("channel.open"));
        break;
      case "together":
        for (const part of step.steps) this.#send(line, part as Exclude<Step, ConnectStep>);
        break;
      default:
        throw new Error(`cannot send a step of kind ${step.kind}`);
    }
  }

  #propertiesOf(step: PublishStep): Properties {
    const properties = this.#names.outwardFields(step.properties);
    const { headers } = properties;
    if (headers === undefined || !this.#sortHeaders) return properties;
    const entries = [...headers.entries].sort((one, other) => (one.name < other.name ? -1 : 1));
    return { ...properties, headers: new FieldTable(entries) };
  }

  async #connect(name: string, until: ConnectStep["until"], options: ConnectStep["options"]) {
    const probe = options.channelMax && options.channelMax < 900 ? options.channelMax - 1 : 900;
    const collect = (received: Received): void => {
      this.#collected.push(received);
    };
    const line = await Line.connect(name, this.#address, collect, probe);
    this.#lines.set(name, line);
    if (until === "socket") return;
    if (until === "open") await line.open(this.#names.outwardData(options));
    else await line.greet();
    // How connections begin is a matter of the handshake's own scenarios.
    this.#collected = [];
  }

  #line(name: string): Line {
    const line = this.#lines.get(name);
    if (line === undefined) throw new Error(`connection ${name} was never made`);
    return line;
  }

  #noteQueue(line: Line, queue: string): void {
    if (queue === "") return;
    const queues = this.#queues.get(line.name) ?? new Set<string>();
    this.#queues.set(line.name, queues.add(queue));
  }

  #mark(): void {
    for (const line of this.#lines.values()) {
      this.#marks.set(line.name, line.connection.frames.length);
    }
  }

  /**
   * Waits for all that a step has set off: from its channel to the queues, and back to channels.
   */
  async #settleDown(acting: Line, channel: number): Promise<void> {
    await acting.settleChannel(channel);
    const lines = [...this.#lines.values()];
    for (let round = 0; round < settleRounds; round++) {
      await Promise.all(
        lines.map((line) => line.settleQueues([...(this.#queues.get(line.name) ?? [])])),
      );
      await Promise.all(lines.map((line) => line.settleChannels()));
    }
    if (this.#scenario.options.leaveCloseOpen) return;
    for (const line of lines) {
      if (line.closeUnanswered) await line.agreeToClose();
    }
  }

  /** Everything collected in this window, channel by channel. */
  #told(): string[] {
    const received = this.#collected;
    const places = [...new Set(received.map(({ place }) => place))].sort();
    return places.flatMap((place) => {
      const own = received.filter((candidate) => candidate.place === place);
      return inOrder(own).map(({ text }) => `${place} ${this.#names.inward(text)}`);
    });
  }
}

/** Confirms have no order among themselves, and with tx.commit-ok none against deliveries. */
function inOrder(received: Received[]): Received[] {
  const ranked = received.filter(({ rank }) => rank !== undefined);
  const delivered = received.some(({ text }) => text.startsWith("basic.deliver"));
  if (ranked.length < 2 && !delivered) return received;
  ranked.sort((one, other) => ((one.rank ?? 0) < (other.rank ?? 0) ? -1 : 1));
  return [...received.filter(({ rank }) => rank === undefined), ...ranked];
}

function settleOne(line: Line, step: SettleStep): void {
  const view = line.channel(step.channel);
  const deliveryTag = view.outstanding[Math.floor(step.pick * view.outstanding.length)];
  if (deliveryTag === undefined) return;
  const { multiple, requeue } = step;
  if (step.how === "ack") line.send(step.channel, methodOf("basic.ack", { deliveryTag, multiple }));
  else if (step.how === "reject") {
    line.send(step.channel, methodOf("basic.reject", { deliveryTag, requeue }));
  } else {
    line.send(step.channel, methodOf("basic.nack", { deliveryTag, multiple, requeue }));
  }
  view.settled(deliveryTag, step.how !== "reject" && multiple);
}
