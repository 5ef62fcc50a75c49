/** Messages of text for tests of queues: views as an adapter makes them, and back. */

import type { MessageView } from "../src/message/message-view.ts";
import { MessageView as View } from "../src/message/message-view.ts";

/**
 * A message in a buffer of its own, its three runs of bytes apart and in no particular order. The
 * address and the properties are nonsense of a length that depends on the body.
 */
export function textMessage(body: string): MessageView {
  const view = new View();
  const text = Buffer.from(body, "utf8");
  const { address, properties } = surroundings(body);
  const bytes = Buffer.concat([Buffer.from("--"), text, properties, Buffer.from("-"), address]);
  view.body = bytes;
  view.bodyStart = 2;
  view.bodyLength = text.length;
  view.properties = bytes;
  view.propertiesStart = 2 + text.length;
  view.propertiesLength = properties.length;
  view.address = bytes;
  view.addressStart = bytes.length - address.length;
  view.addressLength = address.length;
  return view;
}

/** A message that could have come from a client: it has properties, though none is set. */
export function plainMessage(body: string): MessageView {
  const view = textMessage(body);
  view.properties = Buffer.alloc(2);
  view.propertiesStart = 0;
  view.propertiesLength = 2;
  return view;
}

/** The body of a message, whatever is around it. */
export function plainText(view: MessageView): string {
  return view.body.toString("utf8", view.bodyStart, view.bodyStart + view.bodyLength);
}

/** The body of a message, once the bytes around it are found to be the ones it was made with. */
export function bodyText(view: MessageView): string {
  const { body, bodyStart, bodyLength } = view;
  const text = body.toString("utf8", bodyStart, bodyStart + bodyLength);
  const { address, properties } = surroundings(text);
  const { addressStart, addressLength, propertiesStart, propertiesLength } = view;
  const foundAddress = view.address.subarray(addressStart, addressStart + addressLength);
  const foundProperties = view.properties.subarray(
    propertiesStart,
    propertiesStart + propertiesLength,
  );
  if (!foundAddress.equals(address)) throw new Error(`the address of '${text}' is corrupted`);
  if (!foundProperties.equals(properties)) {
    throw new Error(`the properties of '${text}' are corrupted`);
  }
  return text;
}

function surroundings(body: string): { address: Buffer; properties: Buffer } {
  return {
    address: Buffer.from(`to ${body.slice(-12)}`),
    properties: Buffer.from(`about ${body.slice(0, 40)}`),
  };
}
