// The first step of an AMQP 0-9-1 handshake, which tells whether a broker is up and which it is.

import { connect } from "node:net";

const protocolHeader = Buffer.from("AMQP\x00\x00\x09\x01", "latin1");
const startFrameMax = 65536;
const retryMs = 10;
const attemptMs = 5000;

/** connection.start, as the broker sends it; undefined when none comes. */
export function shakeHands(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let received = Buffer.alloc(0);
    socket.setTimeout(attemptMs, () => socket.destroy());
    socket.on("connect", () => socket.write(protocolHeader));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (isComplete(received)) resolve(received);
      if (isComplete(received) || received.length > startFrameMax) socket.destroy();
    });
    socket.on("error", () => {}); // not there yet
    socket.on("close", () => resolve(undefined));
  });
}

function isComplete(received) {
  if (received.length < 8 || received[0] !== 1) return false;
  return received.length >= received.readUInt32BE(3) + 8;
}

/** connection.start, asked for again and again until it comes; undefined if `isOver()` before. */
export async function awaitHandshake(port, isOver) {
  for (;;) {
    const start = await shakeHands(port);
    if (start !== undefined) return start;
    if (isOver()) return undefined;
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/**
 * "RabbitMQ 3.10.8": product and version from the server properties of connection.start. A broker
 * that gives a RabbitMQ's version for its clients' sake may tell its own as PRODUCT_version.
 */
export function productOf(start) {
  const product = textProperty(start, "product");
  const own = product && textProperty(start, `${product.toLowerCase()}_version`);
  const version = own ?? textProperty(start, "version");
  return [product, version].filter((text) => text !== undefined).join(" ") || undefined;
}

/** A text field is its name as a short string, "S", and its value as a long string. */
function textProperty(start, name) {
  const key = Buffer.concat([Buffer.from([name.length]), Buffer.from(`${name}S`)]);
  const at = start.indexOf(key);
  if (at < 0 || at + key.length + 4 > start.length) return undefined;
  const begin = at + key.length + 4;
  const text = start.toString("utf8", begin, begin + start.readUInt32BE(begin - 4));
  return /^[\x20-\x7e]{1,60}$/.test(text) ? text.replaceAll("|", "") : undefined;
}
