/**
 * A message as the data plane passes it on: where its bytes lie, not the bytes. One view is reused
 * for message after message, so whoever wants to keep a message stores it (see message-store.ts).
 *
 *     address:     | length | exchange name | length | routing key |
 *     properties:  | property flags | property list |      as in an AMQP content header
 *     body:        | payload |
 *
 * Adapters of other protocols write the same three runs of bytes. This is a hot file.
 */

/** Of messages without any. */
export const noBlindCopies = Buffer.alloc(0);
/** Tells how long they are. */
export const blindCopiesHeadBytes = 4;

const nothing = noBlindCopies;

/** No handle: the message has not been stored. */
export const unstored = -1;

/** The delivery mode of messages that are to survive a restart. */
export const persistentMode = 2;

export class MessageView {
  address: Buffer = nothing;
  addressStart = 0;
  addressLength = 0;
  properties: Buffer = nothing;
  propertiesStart = 0;
  propertiesLength = 0;
  body: Buffer = nothing;
  bodyStart = 0;
  bodyLength = 0;
  /** Whether it is to survive a restart in durable queues. */
  isPersistent = false;
  /** Its priority and expiration; see message-terms.ts. */
  terms = 0;
  /** BCC keys, which dead letters follow; see blind-copies.ts. Mostly none. */
  blindCopies: Buffer = noBlindCopies;
  /** Where the message is stored, or `unstored`. */
  handle: number = unstored;

  /** How long it is when it is stored. */
  get storedBytes(): number {
    const bytes = this.addressLength + this.propertiesLength + this.bodyLength;
    const { length } = this.blindCopies;
    return length === 0 ? bytes : bytes + length + blindCopiesHeadBytes;
  }
}
