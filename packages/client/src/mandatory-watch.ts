/**
 * Finds the publish that a returned message belongs to. basic.return carries no sequence number, so
 * the channel remembers, for each mandatory publish that somebody waits for, what it looked like.
 *
 * A broker handles the publishes of a channel in order and returns a message before it confirms it.
 * Hence the message belongs to the first unconfirmed, not yet returned publish that looks the same:
 * exchange, routing key, message and correlation id, size of the body and a hash over its ends. Two
 * publishes that agree in all of this are interchangeable to whoever waits for them.
 */

import type { ConfirmWaiter } from "./confirm-ledger.ts";
import type { PublishProperties, ReturnedMessage } from "./message.ts";

interface Watched {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string | undefined;
  readonly correlationId: string | undefined;
  readonly bodyBytes: number;
  readonly bodyHash: number;
  readonly waiter: ConfirmWaiter;
}

export class MandatoryWatch {
  /** In the order of publishing; entries leave when the publish is answered. */
  readonly #watched = new Map<ConfirmWaiter, Watched>();

  add(
    waiter: ConfirmWaiter,
    exchange: string,
    routingKey: string,
    properties: PublishProperties,
    body: Uint8Array,
  ): void {
    this.#watched.set(waiter, {
      exchange,
      routingKey,
      messageId: properties.messageId,
      correlationId: properties.correlationId,
      bodyBytes: body.length,
      bodyHash: hashOfEnds(body),
      waiter,
    });
  }

  delete(waiter: ConfirmWaiter): void {
    this.#watched.delete(waiter);
  }

  /** Notes the returned message with the publish it belongs to, if somebody waits for that. */
  onReturn(message: ReturnedMessage): void {
    const bodyHash = hashOfEnds(message.body);
    for (const watched of this.#watched.values()) {
      if (watched.waiter.returned !== undefined) continue;
      if (!looksLike(watched, message) || watched.bodyHash !== bodyHash) continue;
      watched.waiter.returned = message;
      return;
    }
  }
}

function looksLike(watched: Watched, message: ReturnedMessage): boolean {
  return (
    watched.routingKey === message.routingKey &&
    watched.exchange === message.exchange &&
    watched.bodyBytes === message.body.length &&
    watched.messageId === message.properties.messageId &&
    watched.correlationId === message.properties.correlationId
  );
}

const hashedEndBytes = 256;

/** FNV-1a over the first and the last octets: what tells messages apart at a bounded price. */
function hashOfEnds(body: Uint8Array): number {
  let hash = 0x811c9dc5;
  const headEnd = Math.min(body.length, hashedEndBytes);
  for (let i = 0; i < headEnd; i++) hash = Math.imul(hash ^ body[i]!, 0x01000193);
  for (let i = Math.max(headEnd, body.length - hashedEndBytes); i < body.length; i++) {
    hash = Math.imul(hash ^ body[i]!, 0x01000193);
  }
  return hash >>> 0;
}
