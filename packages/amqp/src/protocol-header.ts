/**
 * The eight bytes that a client begins with, and what else may come instead. Connections ask it
 * what to do with them.
 */

export const protocolHeaderBytes = 8;

/** What the broker speaks, which it answers to anything else. */
export const protocolHeader = Buffer.from("AMQP\0\0\u0009\u0001", "latin1");

/** AMQP 0-9-1, or the header of 0-9 that some old clients send and that RabbitMQ accepts. */
export function isSpoken(header: Buffer): boolean {
  return header.equals(protocolHeader) || header.equals(Buffer.from("AMQP\u0001\u0001\0\u0009"));
}

/** Names what a peer seems to speak, for the log. */
export function describeHeader(header: Buffer): string {
  const text = header.toString("latin1");
  if (text.startsWith("AMQP"))
    return `AMQP with version bytes ${[...header.subarray(4)].join("-")}`;
  if (/^(GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT) /.test(`${text} `)) {
    return "HTTP: is this a request meant for the management port?";
  }
  if (header[0] === 0x16 && header[1] === 0x03) {
    return "TLS: is the client configured for TLS, and this port is not?";
  }
  return `unknown bytes ${header.toString("hex")}`;
}
