/**
 * Decodes basic.deliver, of which a consumer gets millions that differ in little but the delivery
 * tag: consumer tag, exchange and routing key of the delivery before are remembered with their
 * octets, and the same octets become the same string. Each channel has a decoder.
 *
 *     | class | method | consumer-tag | delivery-tag | redelivered | exchange | routing-key |
 *       2       2        1 + length     8              1             1 + length 1 + length
 *
 * This is a hot file.
 */

import { decodeText, MalformedError } from "@haremq/wire";
import { Delivery } from "./message.ts";

const idBytes = 4;
const twoTo32 = 0x1_0000_0000;

/** One short string and the octets it was decoded from. */
class RememberedText {
  text = "";
  length = 0;
  readonly #octets = new Uint8Array(255);

  /** Reads the short string at `at`, whose end is known to lie within the frame. */
  read(buffer: Buffer, at: number): string {
    const length = buffer[at]!;
    if (length === this.length) {
      const octets = this.#octets;
      let i = 0;
      while (i < length && octets[i] === buffer[at + 1 + i]) i++;
      if (i === length) return this.text;
    }
    this.length = length;
    for (let i = 0; i < length; i++) this.#octets[i] = buffer[at + 1 + i]!;
    this.text = decodeText(buffer, at + 1, at + 1 + length);
    return this.text;
  }
}

export class DeliveryDecoder {
  readonly #consumerTag = new RememberedText();
  readonly #exchange = new RememberedText();
  readonly #routingKey = new RememberedText();

  /** buffer[start, end) is a method payload that begins with the ids of basic.deliver. */
  decode(buffer: Buffer, start: number, end: number): Delivery {
    const tagAt = start + idBytes;
    const numberAt = tagAt + 1 + octet(buffer, tagAt, end);
    const exchangeAt = numberAt + 9;
    const keyAt = exchangeAt + 1 + octet(buffer, exchangeAt, end);
    if (keyAt + 1 + octet(buffer, keyAt, end) > end) throw pastTheEnd();
    const high = buffer.readUInt32BE(numberAt);
    const low = buffer.readUInt32BE(numberAt + 4);
    return new Delivery(
      this.#consumerTag.read(buffer, tagAt),
      high * twoTo32 + low,
      (buffer[numberAt + 8]! & 1) === 1,
      this.#exchange.read(buffer, exchangeAt),
      this.#routingKey.read(buffer, keyAt),
    );
  }
}

/**
 * The octet at `at`; reading each length in turn proves that everything before it is in the frame.
 */
function octet(buffer: Buffer, at: number, end: number): number {
  if (at >= end) throw pastTheEnd();
  return buffer[at]!;
}

function pastTheEnd(): MalformedError {
  return new MalformedError(502, "basic.deliver runs past the end of its frame");
}
