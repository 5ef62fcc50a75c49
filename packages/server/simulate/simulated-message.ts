/**
 * The messages of the broker simulator: each body tells which message it is and follows from that
 * alone, so that whoever receives one can tell whether it is the one that was sent.
 *
 *     body: | id u32 | length u32 | bytes that follow from the id ... |
 */

import { MessageView, unstored } from "@haremq/broker";
import { encodeProperties, encodeText, WireWriter } from "@haremq/wire";
import { demand } from "./promise-broken.ts";

const headBytes = 8;

/** For each low byte of an id, what its messages repeat. */
const patterns = Array.from({ length: 256 }, (_, id) =>
  Buffer.from(Array.from({ length: 256 }, (__, index) => (id * 31 + index * 7) & 0xff)),
);

const propertiesOf = [1, 2].map((deliveryMode) => {
  const writer = new WireWriter(64);
  encodeProperties(writer, { deliveryMode, contentType: "application/octet-stream" });
  return writer.take();
});

export interface SimulatedMessage {
  readonly id: number;
  readonly exchange: string;
  readonly routingKey: string;
  readonly length: number;
  readonly isPersistent: boolean;
}

/** The message as an adapter hands it to the core. */
export function viewOf(message: SimulatedMessage): MessageView {
  const { id, exchange, routingKey, length, isPersistent } = message;
  const view = new MessageView();
  view.address = encodeAddress(exchange, routingKey);
  view.addressLength = view.address.length;
  view.properties = propertiesOf[isPersistent ? 1 : 0]!;
  view.propertiesLength = view.properties.length;
  view.body = encodeBody(id, length);
  view.bodyLength = view.body.length;
  view.isPersistent = isPersistent;
  view.handle = unstored;
  return view;
}

/** Which message it is. Throws if a single byte of it is wrong. */
export function identify(view: MessageView): number {
  const { body, bodyStart, bodyLength, properties, propertiesStart, propertiesLength } = view;
  const id = identifyBody(body.subarray(bodyStart, bodyStart + bodyLength));
  const found = properties.subarray(propertiesStart, propertiesStart + propertiesLength);
  const isKnown = propertiesOf.some((each) => each.equals(found));
  demand(isKnown, () => `the properties of message ${id} have changed`);
  return id;
}

export function identifyBody(body: Buffer): number {
  demand(body.length >= headBytes, () => `a message of ${body.length} bytes`);
  const id = body.readUInt32BE(0);
  const length = body.readUInt32BE(4);
  demand(body.length === headBytes + length, () => `message ${id} has ${body.length} bytes`);
  demand(body.equals(encodeBody(id, length)), () => `message ${id} has changed`);
  return id;
}

export function encodeBody(id: number, length: number): Buffer {
  const body = Buffer.allocUnsafe(headBytes + length);
  body.writeUInt32BE(id, 0);
  body.writeUInt32BE(length, 4);
  return body.fill(patterns[id & 0xff]!, headBytes);
}

function encodeAddress(exchange: string, routingKey: string): Buffer {
  const address = Buffer.alloc(2 + exchange.length + routingKey.length);
  address[0] = exchange.length;
  encodeText(exchange, exchange.length, address, 1);
  address[1 + exchange.length] = routingKey.length;
  encodeText(routingKey, routingKey.length, address, 2 + exchange.length);
  return address;
}
