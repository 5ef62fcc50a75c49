/**
 * One life of a broker with streams in the simulation: from an opening to a crash. It publishes and
 * reads, and tells the model of all it does and sees.
 */

import {
  Broker,
  BrokerData,
  Consumer,
  type ConsumerSink,
  Distributed,
  distribute,
  InternalDatabase,
  type Logger,
  type MessageView,
  type Queue,
  RecordKind,
  type SafetyWaiter,
  type Session,
} from "@haremq/broker";
import { type SeededRandom, VirtualClock } from "@haremq/kernel";
import {
  DataDirectory,
  type FaultyDisk,
  type LogSizes,
  noLock,
  type StreamSizes,
} from "@haremq/store";
import { decodeProperties, FieldTable, WireReader } from "@haremq/wire";
import { demand } from "./promise-broken.ts";
import { identifyBody, type SimulatedMessage, viewOf } from "./simulated-message.ts";
import type { SimulatedMetadata } from "./simulated-metadata.ts";
import { ModelStream, type StreamMessage, type StreamTransaction } from "./stream-model.ts";

export interface StreamLifeOptions {
  readonly disk: FaultyDisk;
  readonly metadata: SimulatedMetadata;
  readonly random: SeededRandom;
  readonly logSizes: LogSizes;
  readonly streamSizes: StreamSizes;
  readonly memoryBytes: number;
  readonly bytesMax: number;
  /** By store number; the same in every life. */
  readonly streams: Map<number, ModelStream>;
}

export const dataDirectory = "/data";
const user = { name: "simulated", tags: [] };

export class StreamLife implements SafetyWaiter {
  readonly clock = new VirtualClock();
  readonly #options: StreamLifeOptions;
  #broker: Broker | undefined;
  session!: Session;
  readers: StreamingReader[] = [];
  readonly #unconfirmed: { messages: readonly StreamMessage[]; position: number }[] = [];
  readonly errors: string[] = [];

  constructor(options: StreamLifeOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#broker !== undefined;
  }

  get broker(): Broker {
    return this.#broker!;
  }

  /** Rejects with a DiskError if the disk does not let it. */
  async open(): Promise<void> {
    const { disk, random, memoryBytes, logSizes, streamSizes } = this.#options;
    await DataDirectory.open({ disk, random, path: dataDirectory, lock: noLock });
    const data = await BrokerData.open({
      disk,
      metadata: this.#options.metadata,
      directory: dataDirectory,
      clock: this.clock,
      memoryBytes,
      logSizes,
      streamSizes,
      log: this.#logger(),
    });
    const users = new InternalDatabase([], random);
    users.addUser(user.name, "", []);
    users.setPermissions(user.name, "/", { configure: ".*", write: ".*", read: ".*" });
    const broker = new Broker({
      clock: this.clock,
      random,
      authenticator: users,
      authorizer: users,
      limits: {
        messageBytesMax: 2 ** 20,
        channelConsumersMax: 0,
        memoryBytesMax: Number.POSITIVE_INFINITY,
        diskFreeBytesMin: 0,
      },
      log: this.#logger(),
      data,
    });
    await broker.createVhost("/");
    const alarm = this.errors.find((message) => /damaged/.test(message));
    demand(alarm === undefined, () => `false alarm: ${alarm}`);
    this.session = broker.openSession(user, "/");
    this.#broker = broker;
  }

  #logger(): Logger {
    const complain = (message: string): void => {
      this.errors.push(message);
    };
    return { debug: () => {}, info: () => {}, warn: () => {}, error: complain };
  }

  // Topology

  async declare(name: string, isStream: boolean): Promise<void> {
    const args = isStream
      ? { "x-queue-type": "stream", "x-max-length-bytes": this.#options.bytesMax }
      : {};
    const flags = { durable: true, exclusive: false, autoDelete: false };
    await this.session.declareQueue({ name, ...flags, arguments: FieldTable.from(args) });
  }

  async delete(name: string): Promise<void> {
    const queue = this.queue(name);
    if (queue === undefined) return;
    this.readers = this.readers.filter((reader) => reader.queue !== queue);
    await this.session.deleteQueue(name, false, false);
    this.#options.streams.delete(queue.storeNumber);
  }

  queue(name: string): Queue | undefined {
    return this.session.vhost.queue(name);
  }

  /** All streams there are. */
  streams(): Queue[] {
    return [...this.session.vhost.topology.queues()].filter(({ keepsAll }) => keepsAll);
  }

  modelOf(queue: Queue): ModelStream {
    const { streams } = this.#options;
    let model = streams.get(queue.storeNumber);
    if (model === undefined) {
      model = new ModelStream(queue.name, queue.storeNumber);
      streams.set(queue.storeNumber, model);
    }
    return model;
  }

  // Publishing

  /** To all queues that have one of the names, with a confirm. */
  publish(message: SimulatedMessage, names: readonly string[]): void {
    const { messages } = this.broker;
    const queues = names.flatMap((name) => this.queue(name) ?? []);
    const published = this.#tell(message, queues);
    messages.nowMs = this.clock.wallMs();
    const outcome = distribute(messages, queues, viewOf(message), "disk");
    if ((outcome & Distributed.Stored) !== 0) {
      this.#unconfirmed.push({ messages: published, position: messages.position });
      messages.awaitSafe(this, "disk", messages.position);
    }
  }

  onSafer(): void {
    const { messages } = this.broker;
    const safePosition = messages.safePosition("disk");
    while ((this.#unconfirmed[0]?.position ?? Number.POSITIVE_INFINITY) <= safePosition) {
      for (const message of this.#unconfirmed.shift()!.messages) message.isSafe = true;
    }
    const last = this.#unconfirmed.at(-1);
    if (last !== undefined) messages.awaitSafe(this, "disk", last.position);
  }

  #tell(
    { id }: SimulatedMessage,
    queues: readonly Queue[],
    transaction?: StreamTransaction,
  ): StreamMessage[] {
    const streams = queues.filter(({ keepsAll }) => keepsAll);
    return streams.map((queue) => this.modelOf(queue).publish(id, transaction));
  }

  commit(publishes: readonly SimulatedMessage[], names: readonly string[]): void {
    const { messages } = this.broker;
    const queues = names.flatMap((name) => this.queue(name) ?? []);
    if (queues.length === 0 || publishes.length === 0) return;
    const transaction: StreamTransaction = { messages: [], isAnswered: false };
    const views = publishes.map((message) => viewOf(message));
    const bytes = views.reduce(
      (sum, view) => sum + view.addressLength + view.propertiesLength + view.bodyLength,
      0,
    );
    messages.beginGroup(views.length, views.length * queues.length, bytes, 0);
    for (const [i, view] of views.entries()) {
      this.#tell(publishes[i]!, queues, transaction);
      distribute(messages, queues, view, "disk", RecordKind.Grouped);
    }
    messages.endGroup([], [], "disk");
    const answer = (): void => {
      transaction.isAnswered = true;
    };
    const untilSafe = messages.untilSafe("disk");
    if (untilSafe === undefined) answer();
    else void untilSafe.then(answer);
  }

  // Reading

  read(queue: Queue, prefetch: number, tag = "", offset: string | number = "first"): void {
    this.readers.push(new StreamingReader(queue, this, prefetch, tag, offset));
  }

  get unconfirmedCount(): number {
    return this.#unconfirmed.length;
  }
}

/** A consumer of a stream, which knows what it must get. */
export class StreamingReader implements ConsumerSink {
  readonly queue: Queue;
  readonly model: ModelStream;
  readonly tag: string;
  readonly consumer: Consumer;
  readonly writable = true;
  readonly withinPrefetch = true;
  /** What it has got, in order. */
  readonly seen: { offset: number; id: number }[] = [];
  #unsettled: { handle: number; offset: number }[] = [];
  #settled = new Set<number>();
  /** The oldest offset that is not settled, once it has got something. */
  #nextOffset: number | undefined;
  /** It has given something back. */
  #isStopped = false;

  constructor(
    queue: Queue,
    life: StreamLife,
    prefetch: number,
    tag: string,
    offset: string | number,
  ) {
    this.queue = queue;
    this.tag = tag;
    this.model = life.modelOf(queue);
    const tracking = tag !== "" && { "x-stream-automatic-offset-tracking": true };
    const args = FieldTable.from({ "x-stream-offset": offset, ...tracking });
    const flags = { noAck: false, exclusive: false, priority: 0 };
    this.consumer = new Consumer(queue, this, { tag, ...flags, prefetch, arguments: args });
    queue.subscribe(this.consumer);
  }

  deliver(
    _consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    const { body, bodyStart, bodyLength } = view;
    const id = identifyBody(body.subarray(bodyStart, bodyStart + bodyLength));
    demand(!redelivered, () => `message ${id} is redelivered`);
    demand(offsetOf(view) === sequence, () => `message ${id} says it is at ${offsetOf(view)}`);
    const last = this.seen.at(-1);
    if (last !== undefined) {
      // What was between may have been removed, and more since.
      const isNext = sequence === last.offset + 1 || sequence <= firstOffsetOf(this.queue);
      demand(isNext, () => `${sequence} comes after ${last.offset}`);
    } else {
      this.#nextOffset = sequence;
      if (this.tag !== "") this.model.judgeStart(this.tag, sequence, firstOffsetOf(this.queue));
    }
    this.seen.push({ offset: sequence, id });
    this.model.see({ offset: sequence, id });
    this.#unsettled.push({ handle, offset: sequence });
  }

  park(): void {}

  cancelled(): void {}

  get unsettledCount(): number {
    return this.#unsettled.length;
  }

  settle(index: number, how: "acknowledge" | "reject" | "requeue"): void {
    const [delivery] = this.#unsettled.splice(index, 1);
    if (delivery === undefined) return;
    const { handle, offset } = delivery;
    if (how === "requeue") this.#isStopped = true;
    else if (!this.#isStopped) this.#noteSettled(offset);
    this.queue[how](handle, offset);
    this.consumer.regainCredit();
    if (this.consumer.parked) this.queue.wake(this.consumer);
  }

  #noteSettled(offset: number): void {
    this.#settled.add(offset);
    while (this.#settled.delete(this.#nextOffset!)) {
      if (this.tag !== "") this.model.noteReached(this.tag, this.#nextOffset!);
      const following = this.seen.find((each) => each.offset > this.#nextOffset!);
      this.#nextOffset = following?.offset ?? this.#nextOffset! + 1;
    }
  }

  end(): void {
    this.queue.unsubscribe(this.consumer);
  }
}

interface StreamEnds {
  readonly firstOffset: number;
  readonly endOffset: number;
}

/** The oldest message there is. */
export function firstOffsetOf(queue: Queue): number {
  return (queue as Queue & StreamEnds).firstOffset;
}

/** Where the next message will be seen. */
export function endOffsetOf(queue: Queue): number {
  return (queue as Queue & StreamEnds).endOffset;
}

function offsetOf({ properties, propertiesStart, propertiesLength }: MessageView): number {
  const end = propertiesStart + propertiesLength;
  const { headers } = decodeProperties(new WireReader(properties, propertiesStart, end));
  return Number(headers?.get("x-stream-offset")?.value);
}
