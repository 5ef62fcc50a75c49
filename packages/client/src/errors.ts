/**
 * Everything this client rejects or throws with, apart from TypeError and RangeError for arguments
 * that cannot be sent.
 *
 * One error object describes one event: when a channel closes, every call that was waiting on it is
 * rejected with the same AmqpError, and so is every later call on that channel.
 */

import { methodName } from "@haremq/wire";
import type { ReturnedMessage } from "./message.ts";

/** What an AmqpError ended: one channel (a soft error) or the whole connection (a hard one). */
export type AmqpErrorScope = "channel" | "connection";

/** A channel or connection that was closed with a reply code, nearly always by the broker. */
export class AmqpError extends Error {
  readonly scope: AmqpErrorScope;
  readonly replyCode: number;
  /** As the broker sent it: `NOT_FOUND - no queue 'q' in vhost '/'`. */
  readonly replyText: string;
  /** The method at fault, or 0 and 0 when it was none in particular. */
  readonly classId: number;
  readonly methodId: number;

  constructor(
    scope: AmqpErrorScope,
    replyCode: number,
    replyText: string,
    classId = 0,
    methodId = 0,
  ) {
    const during = classId === 0 ? "" : ` (${methodName((classId << 16) | methodId)})`;
    super(`${scope} closed: ${replyCode} ${replyText}${during}`);
    this.name = "AmqpError";
    this.scope = scope;
    this.replyCode = replyCode;
    this.replyText = replyText;
    this.classId = classId;
    this.methodId = methodId;
  }
}

/** The connection could not be made: unreachable, refused, too slow, or not speaking AMQP 0-9-1. */
export class ConnectError extends Error {
  constructor(text: string, cause?: unknown) {
    super(text, cause === undefined ? undefined : { cause });
    this.name = "ConnectError";
  }
}

/** The connection ended without a word from the broker: socket closed, or heartbeats missed. */
export class ConnectionLostError extends Error {
  constructor(text: string, cause?: unknown) {
    super(text, cause === undefined ? undefined : { cause });
    this.name = "ConnectionLostError";
  }
}

/** A call on, or waiting for, a channel or connection that this application closed itself. */
export class ClosedError extends Error {
  constructor(what: AmqpErrorScope) {
    super(`the ${what} was closed by the application`);
    this.name = "ClosedError";
  }
}

/** The broker answered a publish with basic.nack: it does not answer for the message. */
export class PublishNackedError extends Error {
  readonly deliveryTag: number;

  constructor(deliveryTag: number) {
    super(`the broker nacked publish ${deliveryTag}`);
    this.name = "PublishNackedError";
    this.deliveryTag = deliveryTag;
  }
}

/** A mandatory message reached no queue and came back. */
export class PublishReturnedError extends Error {
  readonly returned: ReturnedMessage;

  constructor(returned: ReturnedMessage) {
    super(`message returned: ${returned.replyCode} ${returned.replyText}`);
    this.name = "PublishReturnedError";
    this.returned = returned;
  }
}
