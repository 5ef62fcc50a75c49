/**
 * x-recent-history: a fanout exchange that remembers its last messages and gives them to whoever is
 * bound to it anew. RabbitMQ's plugin holds them in memory; here those that are persistent, of a
 * durable exchange, are still known after a restart.
 *
 * A message is stored once for the queues and the exchange alike. To somebody new it is published
 * again, under its old address.
 */

import { FloatRing } from "@haremq/kernel";
import { RecordKind } from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import { decodeBlindCopies } from "../message/blind-copies.ts";
import { addressOf, carbonCopiesIn, propertiesOf } from "../message/message-address.ts";
import { type MessageStore, Viewed } from "../message/message-store.ts";
import { MessageView, persistentMode } from "../message/message-view.ts";
import { distribute, tellArrival } from "../queue/distribute.ts";
import type { Queue } from "../queue/queue.ts";
import { erlangTerm } from "../vhost/field-text.ts";
import type { Binding } from "./binding.ts";
import type { Exchange } from "./exchange.ts";
import type {
  ExchangeFeature,
  FeaturePlace,
  Introduction,
  RunningFeature,
} from "./exchange-feature.ts";
import type { ExchangeType, Refusal } from "./exchange-type.ts";
import { fanoutType } from "./fanout.ts";
import {
  type MessageKeeper,
  type MessageTap,
  type TappedMessage,
  TapStage,
  TapVerdict,
} from "./message-tap.ts";
import type { Topology } from "./topology.ts";

const typeName = "x-recent-history";
const lengthArgument = "x-recent-history-length";
const usualLength = 20;

export const recentHistoryType: ExchangeType = {
  ...fanoutType,
  name: typeName,
  validateExchange: validateLength,
};

export const recentHistory: ExchangeFeature = {
  name: "recent-history",
  // The type has checked its arguments.
  check: () => undefined,
  isWanted: ({ type }) => type === typeName,
  start: (exchange, place) => new RecentHistory(exchange, place),
};

class RecentHistory implements RunningFeature, MessageKeeper {
  readonly storeNumber: number;
  readonly ownRecordBytes = 0;
  deleted = false;
  readonly tap: MessageTap = {
    stage: TapStage.Remember,
    pass: (message, _exchange, actions) => {
      if (isToBeRemembered(message)) actions.keepIn(this);
      return TapVerdict.Pass;
    },
  };
  readonly #topology: Topology<Queue>;
  readonly #host: FeaturePlace["host"];
  readonly #messages: MessageStore;
  readonly #lengthMax: number;
  /** Oldest first. */
  readonly #handles = new FloatRing();
  /** How many it has remembered before these. */
  #forgotten = 0;
  readonly #view = new MessageView();

  constructor(exchange: Exchange, { topology, host, messages, storeNumber }: FeaturePlace) {
    this.#topology = topology;
    this.#host = host;
    this.#messages = messages;
    this.storeNumber = storeNumber;
    const length = exchange.arguments.get(lengthArgument);
    this.#lengthMax = length === undefined ? usualLength : Number(length.value);
  }

  keep(view: MessageView): void {
    this.restore(this.#messages.keep(view));
  }

  restore(handle: number): void {
    this.#handles.push(handle);
    while (this.#handles.length > this.#lengthMax) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const handle = this.#handles.shift();
    this.#forgotten++;
    if (this.storeNumber === 0 || this.deleted) this.#messages.release(handle);
    else this.#messages.settle(handle, this.storeNumber);
  }

  introduce(binding: Binding<Queue>): Introduction {
    let next = this.#forgotten;
    // What comes meanwhile is remembered, and so comes in its turn.
    const advance = (): Promise<void> | undefined => {
      next = Math.max(next, this.#forgotten);
      for (; next - this.#forgotten < this.#handles.length; next++) {
        const handle = this.#handles.at(next - this.#forgotten);
        if (!this.#messages.isResident(handle)) {
          return this.#messages.load(handle).catch(() => {
            // One that cannot be read is left out.
            next++;
          });
        }
        this.#publish(handle, binding);
      }
      return undefined;
    };
    return { advance };
  }

  #publish(handle: number, { destination, destinationKind }: Binding<Queue>): void {
    const messages = this.#messages;
    const { confirmLevel } = this.#host;
    const view = this.#view;
    if (messages.view(handle, view) !== Viewed.Ready) return;
    const properties = propertiesOf(view);
    view.isPersistent = properties.deliveryMode === persistentMode;
    // Storing it anew for a durable queue may turn over the memory that it lies in.
    messages.pin(handle);
    if (destinationKind === "queue") {
      distribute(messages, [destination as Queue], view, confirmLevel);
    } else {
      const { headers } = properties;
      const copies = [...carbonCopiesIn(headers), ...decodeBlindCopies(view.blindCopies)];
      const routingKeys = [addressOf(view).routingKey, ...copies];
      const message = { routingKeys, headers, view };
      const passage = this.#topology.pass(destination as Exchange, message);
      const { queues, keepers, receipts, isRouted } = passage;
      // Where bindings lead back here, it is not remembered once more.
      const others = keepers.filter((keeper) => keeper !== this);
      const outcome = distribute(messages, queues, view, confirmLevel, RecordKind.Message, others);
      if (isRouted) tellArrival(receipts, outcome);
    }
    messages.unpin(handle);
  }

  onPolicyChange(): void {}

  drop(): void {
    this.deleted = true;
    while (this.#handles.length > 0) this.#forgetOldest();
  }

  stop(): void {}
}

function isToBeRemembered({ headers }: TappedMessage): boolean {
  return headers?.get("x-recent-history-no-store")?.value !== true;
}

function validateLength(args: FieldTable): Refusal | undefined {
  const length = args.get(lengthArgument);
  if (length === undefined) return undefined;
  const isInteger = /^[bsIl]$/.test(length.type);
  if (isInteger && (length.value as number | bigint) > 0) return undefined;
  const shown = erlangTerm(length);
  return {
    explanation: `Invalid argument ${shown}, '${lengthArgument}' must be a positive integer`,
  };
}
