/**
 * Messages as the tests of this adapter write and read them: publishing in one line, and what has
 * been delivered as one text each. Tests import it beside virtual-broker.ts.
 */

import assert from "node:assert/strict";
import {
  type MethodName,
  methodFrame,
  methodOf,
  type RawConnection,
  type RawFrame,
} from "@haremq/testkit";
import {
  encodeBodyFrames,
  encodeHeaderFrame,
  FieldTable,
  type Properties,
  WireWriter,
} from "@haremq/wire";

export interface Publication {
  readonly exchange?: string;
  readonly channel?: number;
  readonly mandatory?: boolean;
  readonly properties?: Properties;
}

/** The frames of one message. */
export function publication(
  routingKey: string,
  body: string | Buffer,
  options: Publication = {},
): Buffer {
  const { exchange = "", channel = 1, mandatory = false, properties = {} } = options;
  const writer = new WireWriter(256);
  writer.bytes(
    methodFrame(channel, methodOf("basic.publish", { exchange, routingKey, mandatory })),
  );
  const bytes = Buffer.from(body as string);
  encodeHeaderFrame(writer, channel, bytes.length, properties);
  encodeBodyFrames(writer, channel, bytes, 131_072);
  return writer.take();
}

export function publish(
  connection: RawConnection,
  routingKey: string,
  body: string | Buffer,
  options: Publication = {},
): void {
  connection.sendBytes(publication(routingKey, body, options));
}

export function headers(entries: Record<string, unknown>): Properties {
  return { headers: FieldTable.from(entries) };
}

export interface Message {
  readonly channel: number;
  /** basic.deliver, basic.get-ok or basic.return. */
  readonly method: RawFrame["method"] & {};
  readonly properties: Properties;
  readonly body: Buffer;
}

/** The messages among the frames, each once it is whole. */
export function messages(connection: RawConnection, from = 0): Message[] {
  const whole: Message[] = [];
  const open = new Map<
    number,
    { method: Message["method"]; header?: RawFrame; pieces: Buffer[]; length: number }
  >();
  for (const frame of connection.frames.slice(from)) {
    const { channel, method } = frame;
    if (method !== undefined) {
      if (/^basic\.(deliver|get-ok|return)$/.test(method.name)) {
        assert.ok(!open.has(channel), "a content was interrupted");
        open.set(channel, { method, pieces: [], length: 0 });
      }
      continue;
    }
    const content = open.get(channel);
    if (content === undefined) continue;
    if (frame.header !== undefined) content.header = frame;
    else content.pieces.push(frame.payload);
    content.length += frame.header === undefined ? frame.payload.length : 0;
    const header = content.header?.header;
    if (header === undefined || content.length < header.bodySize) continue;
    assert.equal(content.length, header.bodySize);
    open.delete(channel);
    const body = Buffer.concat(content.pieces);
    whole.push({ channel, method: content.method, properties: header.properties, body });
  }
  return whole;
}

/** Waits until so many methods of that name have come since, without looking at any frame twice. */
export async function arrived(
  connection: RawConnection,
  name: MethodName,
  count: number,
  from = 0,
): Promise<void> {
  let next = from;
  let found = 0;
  const isEnough = () => {
    for (; next < connection.frames.length; next++) {
      if (connection.frames[next]?.method?.name === name) found++;
    }
    return found >= count;
  };
  assert.ok(await connection.waitUntil(isEnough, 60_000), `${found} of ${count} ${name}`);
}

/** `t1:first`: consumer tag, delivery tag, body; a redelivered one is `t1r:first`. */
export function deliveries(connection: RawConnection, from = 0): string[] {
  return messages(connection, from).flatMap(({ method, body }) => {
    if (method.name !== "basic.deliver") return [];
    const { consumerTag, deliveryTag, redelivered } = method.args;
    return [`${consumerTag}${deliveryTag}${redelivered ? "r" : ""}:${body}`];
  });
}

/** Waits until so many messages have been delivered since, and returns them all. */
export async function delivered(
  connection: RawConnection,
  count: number,
  from = 0,
): Promise<string[]> {
  await connection.waitUntil(() => deliveries(connection, from).length >= count);
  return deliveries(connection, from);
}

/** Takes one message off a queue: its body, with an `r` in front if it is redelivered, or empty. */
export async function get(
  connection: RawConnection,
  queue: string,
  options: { channel?: number; noAck?: boolean } = {},
): Promise<string | undefined> {
  const { channel = 1, noAck = true } = options;
  const from = connection.frames.length;
  connection.send(channel, "basic.get", { queue, noAck });
  const isAnswered = () => {
    const isEmpty = connection.frames
      .slice(from)
      .some((frame) => frame.channel === channel && frame.method?.name === "basic.get-empty");
    return isEmpty || messages(connection, from).some((each) => each.channel === channel);
  };
  await connection.waitUntil(isAnswered);
  const message = messages(connection, from).find((each) => each.channel === channel);
  if (message === undefined) return undefined;
  const isRedelivered = message.method.name === "basic.get-ok" && message.method.args.redelivered;
  return `${isRedelivered ? "r" : ""}${message.body}`;
}

/** Everything on a queue. */
export async function drain(connection: RawConnection, queue: string): Promise<string[]> {
  const bodies: string[] = [];
  for (;;) {
    const body = await get(connection, queue);
    if (body === undefined) return bodies;
    bodies.push(body);
  }
}
