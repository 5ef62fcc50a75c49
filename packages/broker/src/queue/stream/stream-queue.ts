/**
 * A stream: every message stays, in the order in which it came and with an offset of its own, until
 * retention removes it with its segment. Consumers read, each from where it stands; to acknowledge
 * gives credit back and nothing else.
 *
 *     | files of the stream                  | chunks in memory             |
 *     firstOffset                            written        visible      end
 *
 * A message is safe in the broker's durable log first, like any other, and that is when it becomes
 * visible: an offset that a consumer has seen is never used again. It is copied into a chunk at
 * once; when a chunk has been written to the stream's own files and synced, its messages are
 * settled in the log. A chunk says where the log has its last message, so that a restart takes none
 * twice.
 *
 * Without a durable log everything is visible at once.
 */

import { FloatRing } from "@haremq/kernel";
import { isAfter, type StreamLog } from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import type { Consumer } from "../../consumer/consumer.ts";
import { type MessageStore, type SafetyWaiter, Viewed } from "../../message/message-store.ts";
import { MessageView } from "../../message/message-view.ts";
import { type EffectivePolicy, noPolicy } from "../../policy/effective-policy.ts";
import type {
  PulledMessage,
  Queue,
  QueueCounts,
  QueueOwner,
  QueueSpec,
  RestoredMessage,
} from "../queue.ts";
import { streamLimits } from "./stream-arguments.ts";
import { StreamConsumers } from "./stream-consumers.ts";
import { appendMessage } from "./stream-record.ts";
import { StreamWriter } from "./stream-writer.ts";
import type { Streams } from "./streams.ts";

export class StreamQueue implements Queue, SafetyWaiter {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusiveOwner: QueueOwner | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  readonly singleActiveConsumer = false;
  readonly storeNumber: number;
  readonly keepsRejected = false;
  readonly waitingCount = 0;
  readonly keepsAll = true;
  readonly deliversCopies = true;
  deleted = false;
  policy = noPolicy;

  readonly #streams: Streams;
  readonly #messages: MessageStore;
  readonly #log: StreamLog;
  readonly #writer: StreamWriter;
  readonly #consumers: StreamConsumers;
  /** What the broker's log holds for the stream and is still to be appended, after a restart. */
  readonly #backlog = new FloatRing();
  /** When these have arrived. */
  readonly #backlogTimes = new FloatRing();
  #isTakingBacklog = false;
  /** How many messages the log had of those that were cut off at the end of the files. */
  #restoredOfCut = 0;
  /** Offsets, each visible once the log is durable up to the position beside it. */
  readonly #markOffsets = new FloatRing();
  readonly #markPositions = new FloatRing();
  #isMarkDue = false;
  #awaitsSafety = false;
  /** Deliveries settled in any way. */
  #settled = 0;
  #published = 0;
  #acknowledged = 0;

  constructor(spec: QueueSpec, log: StreamLog, streams: Streams) {
    this.name = spec.name;
    this.durable = spec.durable;
    this.exclusiveOwner = spec.exclusiveOwner;
    this.autoDelete = spec.autoDelete;
    this.arguments = spec.arguments;
    this.storeNumber = spec.storeNumber ?? 0;
    this.#streams = streams;
    this.#messages = streams.messages;
    this.#log = log;
    const limits = streamLimits(spec.arguments, noPolicy, log.segmentBytes);
    log.segmentBytes = limits.segmentBytes;
    this.#writer = new StreamWriter(log, streams, this.storeNumber, limits);
    this.#consumers = new StreamConsumers(spec.name, log, streams);
  }

  get readyCount(): number {
    return this.#consumers.visible - this.#log.firstOffset;
  }

  get unsettledCount(): number {
    return this.#consumers.delivered - this.#settled;
  }

  get consumerCount(): number {
    return this.#consumers.count;
  }

  get counts(): QueueCounts {
    return {
      published: this.#published,
      delivered: this.#consumers.delivered,
      redelivered: 0,
      acknowledged: this.#acknowledged,
    };
  }

  consumers(): Iterable<Consumer> {
    return this.#consumers.all();
  }

  /** The offset of the oldest message; that of the next one if there is none. */
  get firstOffset(): number {
    return this.#log.firstOffset;
  }

  /** The offset that the next message to be shown will have. */
  get endOffset(): number {
    return this.#consumers.visible;
  }

  /** Bytes and number of its files. */
  get fileBytes(): number {
    return this.#log.fileBytes;
  }

  get segmentCount(): number {
    return this.#log.segments.length;
  }

  /** What readers of all streams have in memory. */
  get readMemoryBytes(): number {
    return this.#log.store.readMemory.takenBytes;
  }

  /** The last offset that is settled, by consumer tag. */
  get storedOffsets(): ReadonlyMap<string, number> {
    return this.#streams.offsets.all(this.#log.number);
  }

  /** Consumers of that tag begin anew. */
  forgetOffset(tag: string): void {
    this.#streams.offsets.forget(this.#log.number, tag);
  }

  applyPolicy(policy: EffectivePolicy): void {
    this.policy = policy;
    const { sizes } = this.#log.store;
    const limits = streamLimits(this.arguments, policy, sizes.segmentBytes);
    this.#log.segmentBytes = limits.segmentBytes;
    this.#writer.setRetention(limits);
  }

  // Publishing

  touch(): void {}

  isFull(): boolean {
    return false;
  }

  publish(view: MessageView): boolean {
    this.#published++;
    const { nowMs } = this.#messages;
    if (this.storeNumber !== 0) {
      const handle = this.#messages.keep(view);
      if (this.#isTakingBacklog) {
        this.#backlog.push(handle);
        this.#backlogTimes.push(nowMs);
        return true;
      }
      this.#writer.noteHandle(handle);
    }
    appendMessage(this.#log, view, nowMs);
    if (!this.#isMarkDue) this.#markSoon();
    return true;
  }

  /**
   * Notes what the log has to reach for all that was appended; not before this turn is over, for a
   * transaction is safe only with its end.
   */
  #markSoon(): void {
    this.#isMarkDue = true;
    queueMicrotask(() => {
      this.#isMarkDue = false;
      if (!this.deleted) this.#mark();
    });
  }

  #mark(): void {
    const { position } = this.#messages;
    if (this.storeNumber === 0 || this.#messages.safePosition("disk") >= position) {
      this.#show(this.#log.endOffset);
      return;
    }
    this.#markOffsets.push(this.#log.endOffset);
    this.#markPositions.push(position);
    this.#awaitSafety();
  }

  /** Whatever confirms wait for: a chunk names places in the log, which must not be used again. */
  #awaitSafety(): void {
    if (this.#awaitsSafety) return;
    this.#awaitsSafety = true;
    const last = this.#markPositions.at(this.#markPositions.length - 1);
    this.#messages.awaitSafe(this, "disk", last);
  }

  onSafer(): void {
    this.#awaitsSafety = false;
    if (this.deleted) return;
    const safePosition = this.#messages.safePosition("disk");
    let visible = 0;
    while (this.#markPositions.peek() <= safePosition) {
      this.#markPositions.shift();
      visible = this.#markOffsets.shift();
    }
    if (this.#markPositions.length > 0) this.#awaitSafety();
    if (visible > this.#consumers.visible) this.#show(visible);
  }

  #show(visible: number): void {
    this.#writer.onSafe(visible);
    this.#consumers.show(visible);
  }

  // What a restart finds

  restore({ handle, arrivedAtMs }: RestoredMessage): void {
    const messages = this.#messages;
    const place = messages.placeOf(handle);
    if (!isAfter(place, this.#log.lastPlace)) {
      messages.settle(handle, this.storeNumber);
      return;
    }
    const cutPlace = this.#log.cut?.place;
    if (cutPlace === undefined || !isAfter(place, cutPlace)) this.#restoredOfCut++;
    this.#backlog.push(handle);
    this.#backlogTimes.push(arrivedAtMs);
    if (this.#isTakingBacklog) return;
    this.#isTakingBacklog = true;
    queueMicrotask(() => this.#takeBacklog());
  }

  /**
   * Everything that was found has been given back. If the end of the files was cut off, and the log
   * has not all of that, then it was not a write that was never finished.
   */
  onRestored(): void {
    const { cut } = this.#log;
    if (cut === undefined) return;
    const lost = (cut.count ?? 1) - this.#restoredOfCut;
    if (lost <= 0) return;
    const count = cut.count === undefined ? "an unknown number of" : lost;
    this.#log.store.noteDamage(`the newest ${count} messages of '${this.name}' are lost`);
    this.#log.skipTo(cut.endOffset);
    this.#consumers.show(cut.endOffset);
  }

  /** Appends what was found in the log, before anything that is published. */
  #takeBacklog(): void {
    const view = new MessageView();
    while (this.#backlog.length > 0) {
      const handle = this.#backlog.peek();
      const viewed = this.#messages.view(handle, view);
      if (viewed === Viewed.Away) {
        this.#loadBacklog(handle);
        return;
      }
      this.#backlog.shift();
      const arrivedAtMs = this.#backlogTimes.shift();
      if (viewed === Viewed.Damaged) {
        this.#messages.settle(handle, this.storeNumber);
        continue;
      }
      this.#writer.noteHandle(handle);
      appendMessage(this.#log, view, arrivedAtMs);
    }
    this.#isTakingBacklog = false;
    this.#markSoon();
  }

  #loadBacklog(handle: number): void {
    const goOn = (): void => {
      if (!this.deleted) this.#takeBacklog();
    };
    this.#messages.load(handle).then(goOn, (error: Error) => {
      this.#messages.onLoadFailed({ name: this.name, serve: goOn }, error);
    });
  }

  // Consumers

  subscribe(consumer: Consumer): void {
    this.#consumers.add(consumer, this.#log.endOffset + this.#backlog.length);
  }

  unsubscribe(consumer: Consumer): void {
    this.#consumers.remove(consumer);
  }

  rejoin(consumer: Consumer): void {
    this.#consumers.rejoin(consumer);
  }

  wake(consumer: Consumer): void {
    if (!consumer.parked) return;
    this.#consumers.rejoin(consumer);
    this.#consumers.serve();
  }

  serve(): void {
    this.#consumers.serve();
  }

  // Getting and settling

  prepareGet(): undefined {
    return undefined;
  }

  /** Streams are not pulled from; whoever lets clients get messages refuses it before. */
  get(): PulledMessage | undefined {
    return undefined;
  }

  acknowledge(handle: number, sequence: number): void {
    this.#settled++;
    this.#acknowledged++;
    this.#consumers.noteSettled(handle, sequence);
  }

  requeue(handle: number, _sequence: number): void {
    this.#settled++;
    this.#consumers.noteGivenBack(handle);
  }

  reject(handle: number, sequence: number): void {
    this.#settled++;
    this.#consumers.noteSettled(handle, sequence);
  }

  // The end

  /** Streams cannot be emptied; whoever lets clients purge queues refuses it before. */
  purge(): number {
    return 0;
  }

  /** Like RabbitMQ it does not tell how many messages have gone. */
  close(): number {
    this.deleted = true;
    this.#consumers.cancelAll();
    while (this.#backlog.length > 0) this.#messages.release(this.#backlog.shift());
    this.#streams.offsets.forgetAll(this.#log.number);
    this.#streams.remove(this, this.#writer.remove());
    return 0;
  }

  /** Writes what may be written; the broker ends. */
  shutDown(): Promise<void> {
    return this.#writer.shutDown();
  }
}
