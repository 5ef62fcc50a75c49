/**
 * Gives one message to all queues that it is routed to. Stored once, and durably if one of the
 * queues survives a restart and the message is persistent, or the queue keeps all. Adapters call it
 * for every publish.
 *
 * This is a hot file.
 */

import { type ConfirmLevel, RecordKind } from "@haremq/store";
import type { MessageKeeper, TapReceipt } from "../exchange/message-tap.ts";
import type { MessageStore } from "../message/message-store.ts";
import { type MessageView, unstored } from "../message/message-view.ts";
import type { Queue } from "./queue.ts";

const numbers: number[] = [];
const noKeepers: readonly MessageKeeper[] = [];

/** What has become of a message: these, added up. */
export const Distributed = {
  Done: 0,
  /** A confirm of it has to wait for the store. */
  Stored: 1,
  /** A queue did not want it. */
  Refused: 2,
} as const;

/** Returns the sum of what is so of Distributed. */
export function distribute(
  messages: MessageStore,
  queues: readonly Queue[],
  view: MessageView,
  level: ConfirmLevel,
  kind: number = RecordKind.Message,
  keepers: readonly MessageKeeper[] = noKeepers,
): number {
  if (!messages.isDurable || !(view.isPersistent || someKeepAll(queues))) {
    return publishAll(queues, keepers, view, kind);
  }
  let hasOwnRecord = false;
  numbers.length = 0;
  for (let i = 0; i < keepers.length && view.isPersistent; i++) {
    const keeper = keepers[i]!;
    if (keeper.storeNumber !== 0) numbers.push(keeper.storeNumber);
    if (keeper.ownRecordBytes > 0) hasOwnRecord = true;
  }
  for (let i = 0; i < queues.length; i++) {
    const queue = queues[i]!;
    if (survivesIn(queue, view.isPersistent)) numbers.push(queue.storeNumber);
  }
  if (numbers.length === 0) {
    const outcome = publishAll(queues, keepers, view, kind);
    return hasOwnRecord ? outcome | Distributed.Stored : outcome;
  }
  messages.keepDurable(view, numbers, level, kind);
  const handle = view.handle;
  const outcome = publishAll(queues, keepers, view, kind);
  messages.release(handle);
  view.handle = unstored;
  return outcome | Distributed.Stored;
}

function publishAll(
  queues: readonly Queue[],
  keepers: readonly MessageKeeper[],
  view: MessageView,
  kind: number,
): number {
  for (let i = 0; i < keepers.length; i++) keepers[i]!.keep(view, kind);
  if (queues.length === 1) return queues[0]!.publish(view) ? Distributed.Done : Distributed.Refused;
  let outcome: number = Distributed.Done;
  for (let i = 0; i < queues.length; i++) {
    if (!queues[i]!.publish(view)) outcome = Distributed.Refused;
  }
  return outcome;
}

/** Tells who waits for it that a message has arrived, unless a queue has refused it. */
export function tellArrival(
  receipts: readonly TapReceipt[],
  outcome: number,
  kind: number = RecordKind.Message,
): void {
  if ((outcome & Distributed.Refused) !== 0) return;
  const isStored = (outcome & Distributed.Stored) !== 0;
  for (let i = 0; i < receipts.length; i++) receipts[i]!.onArrival(isStored, kind);
}

/** Whether a message that is persistent, or not, is still in the queue after a restart. */
export function survivesIn(queue: Queue, isPersistent: boolean): boolean {
  return queue.storeNumber !== 0 && (isPersistent || queue.keepsAll);
}

function someKeepAll(queues: readonly Queue[]): boolean {
  for (let i = 0; i < queues.length; i++) if (queues[i]!.keepsAll) return true;
  return false;
}
