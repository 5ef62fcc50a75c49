/**
 * Moves messages that have died to the dead-letter exchange of their queue: with headers that tell
 * of it, and in one group with their settlement, so that a crash neither loses nor doubles them.
 * Virtual hosts own one each; queues call it through their outboxes.
 */

import { type ConfirmLevel, RecordKind } from "@haremq/store";
import { encodeProperties, type FieldTable, type Properties, WireWriter } from "@haremq/wire";
import type { MessageKeeper } from "../exchange/message-tap.ts";
import type { Topology } from "../exchange/topology.ts";
import { decodeBlindCopies } from "../message/blind-copies.ts";
import { isCycle, noteDeath } from "../message/death-headers.ts";
import { addressOf, carbonCopiesIn, propertiesOf } from "../message/message-address.ts";
import { type MessageStore, propertiesBytesMax } from "../message/message-store.ts";
import { priorityOf, termsOf } from "../message/message-terms.ts";
import { MessageView, noBlindCopies, persistentMode, unstored } from "../message/message-view.ts";
import { distribute, survivesIn } from "../queue/distribute.ts";
import type { Queue } from "../queue/queue.ts";
import type { DeadLetter } from "../queue/queue-host.ts";

/** The virtual host, as far as dead letters go. */
export interface DeadLetterPlace {
  readonly topology: Topology<Queue>;
  readonly confirmLevel: ConfirmLevel;
}

export class DeadLetters {
  readonly #place: DeadLetterPlace;
  readonly #messages: MessageStore;
  readonly #moved = new MessageView();
  readonly #onCycle: (queue: Queue, exchange: string) => void;

  constructor(
    place: DeadLetterPlace,
    messages: MessageStore,
    onCycle: (queue: Queue, exchange: string) => void,
  ) {
    this.#place = place;
    this.#messages = messages;
    this.#onCycle = onCycle;
  }

  /** See QueueHost.moveDeadLetter. */
  move(letter: DeadLetter, wallMs: number): boolean {
    const { queue, handle } = letter;
    const exchange = this.#place.topology.exchange(letter.exchange);
    if (exchange === undefined) {
      if (letter.mustArrive) return false;
      this.#drop(queue, handle);
      return true;
    }
    const { view } = letter;
    const properties = propertiesOf(view);
    const origin = addressOf(view);
    const carbonCopies = carbonCopiesIn(properties.headers);
    noteDeath(properties, {
      queue: queue.name,
      reason: letter.reason,
      exchange: origin.exchange,
      routingKeys: [origin.routingKey, ...carbonCopies],
      timeSeconds: Math.floor(wallMs / 1000),
    });
    const routingKeys = [letter.routingKey ?? origin.routingKey];
    if (letter.routingKey === undefined) {
      routingKeys.push(...carbonCopies, ...decodeBlindCopies(view.blindCopies));
    }
    const headers = properties.headers!;
    const moved = this.#show(view, exchange.name, routingKeys[0]!, properties);
    moved.blindCopies = letter.routingKey === undefined ? view.blindCopies : noBlindCopies;
    const message = { routingKeys, headers, view: moved, isDeadLetter: true };
    const passage = this.#place.topology.pass(exchange, message);
    const queues = this.#withoutCycles(letter, headers, passage.queues);
    const arrives =
      queues.length > 0 ? !queues.some((each) => each.isFull(view.bodyLength)) : passage.isTaken;
    if (letter.mustArrive && !arrives) return false;
    this.#publish(queues, passage.keepers, queue, handle);
    return true;
  }

  /** Without anybody to reject it on the way, a message does not come back to a queue. */
  #withoutCycles(
    letter: DeadLetter,
    headers: FieldTable,
    queues: readonly Queue[],
  ): readonly Queue[] {
    if (letter.reason === "rejected") return queues;
    const open = queues.filter((each) => !isCycle(headers, each.name));
    if (open.length < queues.length) this.#onCycle(letter.queue, letter.exchange);
    return open;
  }

  /** Makes a view of the letter: the same body under another address. */
  #show(
    view: MessageView,
    exchange: string,
    routingKey: string,
    properties: Properties,
  ): MessageView {
    const moved = this.#moved;
    const writer = new WireWriter(512 + view.propertiesLength);
    writer.shortString(exchange);
    writer.shortString(routingKey);
    moved.address = writer.take();
    moved.addressStart = 0;
    moved.addressLength = moved.address.length;
    encodeProperties(writer, properties);
    moved.properties = writer.take();
    moved.propertiesStart = 0;
    if (moved.properties.length > propertiesBytesMax) {
      // No room for more headers: it goes with those it had.
      moved.properties = view.properties;
      moved.propertiesStart = view.propertiesStart;
    }
    const isShown = moved.properties !== view.properties;
    moved.propertiesLength = isShown ? moved.properties.length : view.propertiesLength;
    moved.body = view.body;
    moved.bodyStart = view.bodyStart;
    moved.bodyLength = view.bodyLength;
    moved.isPersistent = properties.deliveryMode === persistentMode;
    moved.terms = termsOf(priorityOf(view.terms), undefined);
    moved.handle = unstored;
    return moved;
  }

  #publish(
    queues: readonly Queue[],
    keepers: readonly MessageKeeper[],
    source: Queue,
    handle: number,
  ): void {
    const messages = this.#messages;
    const { confirmLevel } = this.#place;
    const moved = this.#moved;
    // The body lies where the message does, and appending may turn over other memory.
    messages.pin(handle);
    const { isPersistent } = moved;
    const numbered = isPersistent ? keepers.filter(({ storeNumber }) => storeNumber !== 0) : [];
    const surviving = queues.filter((each) => survivesIn(each, isPersistent));
    const targets = numbered.length + surviving.length;
    const isGroup = targets > 0 && source.storeNumber !== 0 && !source.deleted;
    if (isGroup && messages.isDurable) {
      const own = keepers.map(({ ownRecordBytes }) => ownRecordBytes).filter((bytes) => bytes > 0);
      const bytes = moved.storedBytes;
      const ownBytes = own.reduce((sum, each) => sum + each, 0);
      messages.beginGroup(1 + own.length, targets, bytes + ownBytes, 1);
      distribute(messages, queues, moved, confirmLevel, RecordKind.Grouped, keepers);
      messages.endGroup([handle], [source.storeNumber], confirmLevel);
    } else if (queues.length + keepers.length > 0) {
      distribute(messages, queues, moved, confirmLevel, RecordKind.Message, keepers);
    }
    messages.unpin(handle);
    this.#drop(source, handle);
  }

  #drop(queue: Queue, handle: number): void {
    if (queue.storeNumber === 0 || queue.deleted) this.#messages.release(handle);
    else this.#messages.settle(handle, queue.storeNumber);
  }
}
