/**
 * Taps: what an exchange does with messages besides routing them. A tap sees every message that
 * comes to its exchange, directly, over bindings between exchanges or as an alternate exchange,
 * before the exchange's own bindings are asked. It lets the message pass, takes it (it is delayed
 * and comes back later) or drops it (it was there before). It may also have the message kept.
 *
 * A tap keeps nothing itself while it is asked: it names a keeper, which gets the message together
 * with the queues, stored once for all of them (see queue/distribute.ts). So a confirm or a
 * transaction covers what a keeper keeps as it covers what queues hold.
 *
 * Exchanges without taps cost nothing more than before; routes through one with a tap are found
 * anew for every message.
 */

import type { MessageView } from "../message/message-view.ts";
import type { Exchange } from "./exchange.ts";
import type { RoutedMessage } from "./exchange-type.ts";

/** What becomes of a message at an exchange. */
export const TapVerdict = {
  /** It goes on to the next tap, and then where the bindings lead. */
  Pass: 0,
  /** It goes no further from here, but is in good hands: a mandatory message does not come back. */
  Taken: 1,
  /** It goes no further from here. */
  Dropped: 2,
} as const;

export type TapVerdict = (typeof TapVerdict)[keyof typeof TapVerdict];

/** The order in which the taps of one exchange see a message. */
export const TapStage = { Deduplicate: 0, Delay: 1, Remember: 2 } as const;

export type TapStage = (typeof TapStage)[keyof typeof TapStage];

/** Valid during the call only. */
export interface TappedMessage extends RoutedMessage {
  readonly view: MessageView;
  /** Nobody publishes it: the broker moves it from a queue. */
  readonly isDeadLetter?: boolean;
}

/** Keeps messages for an exchange. The counterpart of a queue in `distribute`. */
export interface MessageKeeper {
  /**
   * What the durable log calls it, if it shares the record that is stored for the queues; 0 if what
   * it keeps ends with the process, or has a record of its own.
   */
  readonly storeNumber: number;
  /**
   * How long the record is that it appends to the durable log by itself if the message is
   * persistent; 0 for none. Such a keeper may be made for one message.
   */
  readonly ownRecordBytes: number;
  /** Set once; nothing is kept from then on. */
  readonly deleted: boolean;
  /**
   * Takes the message. If it is to survive a restart, the view's handle says where the log has it;
   * `MessageStore.keep` gives the keeper its reference in either case. A record of its own is to be
   * of this kind.
   */
  keep(view: MessageView, kind: number): void;
}

/** Waits for a message that its tap has let pass to be where it goes. */
export interface TapReceipt {
  /** How long the record is that it may append to the durable log; 0 for none. */
  readonly ownRecordBytes: number;
  /** Whether the message may still pass. Asked when a transaction comes to it. */
  readonly mayPass: boolean;
  /**
   * Every queue and keeper has the message, of which there is at least one, and none has refused
   * it. `isStored`: it survives a restart, as what is stored now with records of this kind will.
   */
  onArrival(isStored: boolean, kind: number): void;
}

/** What taps can do about the message that they are shown. */
export interface TapActions {
  /** Has the receipt told when the message has arrived; never if nobody gets it. */
  notify(receipt: TapReceipt): void;
  /** Has the keeper get the message once the way of the message is known. */
  keepIn(keeper: MessageKeeper): void;
  /** Has a confirm wait for everything that the durable log has been given so far. */
  awaitStore(): void;
}

export interface MessageTap {
  /** No two taps of an exchange have the same. */
  readonly stage: TapStage;
  pass(message: TappedMessage, exchange: Exchange, actions: TapActions): TapVerdict;
}

/** Where one message goes. */
export class Passage<Q> implements TapActions {
  queues: readonly Q[] = [];
  readonly keepers: MessageKeeper[] = [];
  readonly receipts: TapReceipt[] = [];
  /** Whether a tap has taken it. */
  isTaken = false;
  /** Whether a confirm has to wait for the store even if nothing more is stored. */
  awaitsStore = false;

  /** If not, a mandatory message goes back to its sender. */
  get isRouted(): boolean {
    return this.queues.length > 0 || this.isTaken;
  }

  keepIn(keeper: MessageKeeper): void {
    if (!this.keepers.includes(keeper)) this.keepers.push(keeper);
  }

  notify(receipt: TapReceipt): void {
    this.receipts.push(receipt);
  }

  awaitStore(): void {
    this.awaitsStore = true;
  }
}
