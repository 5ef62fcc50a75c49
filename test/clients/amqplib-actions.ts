/**
 * How the tests use amqplib: connections that close with their scenario, a consumer with a mailbox,
 * and the two questions asked most often: "which error closed this channel" and "has everything
 * sent before now been dealt with".
 */
import assert from "node:assert/strict";
import type {
  Channel,
  ChannelModel,
  ConfirmChannel,
  ConsumeMessage,
  GetMessage,
  Options,
  SocketOptions,
} from "amqplib";
import { connect } from "amqplib";
import { eventDeadlineMs, nextEvent, within } from "./deadline.ts";
import { Mailbox } from "./mailbox.ts";
import type { TestBed } from "./test-bed.ts";
import { closeQuietly } from "./test-bed.ts";

/** The error amqplib makes of a channel.close or connection.close. */
export interface CloseError extends Error {
  code: number;
  classId: number;
  methodId: number;
}

export interface ExpectedClose {
  code: number;
  /** The broker's reply text, whole. */
  text: string;
  /** Class and method that the broker blames, when the test pins them down. */
  blames?: readonly [classId: number, methodId: number];
}

/** With noDelay, since a test that waits for Nagle's algorithm forty times is a slow test. */
export async function openConnection(
  bed: TestBed,
  url: string | Options.Connect = bed.url,
  options: SocketOptions = {},
): Promise<ChannelModel> {
  const connection = await within(
    connect(url, { noDelay: true, ...options }),
    "amqplib to connect",
  );
  bed.defer(() => closeQuietly(connection));
  return connection;
}

export async function openChannel(bed: TestBed): Promise<Channel> {
  return (await openConnection(bed)).createChannel();
}

export async function openConfirmChannel(bed: TestBed): Promise<ConfirmChannel> {
  return (await openConnection(bed)).createConfirmChannel();
}

/** A queue holding `bodies`, and a fresh connection with a channel to consume it. */
export async function filledQueue(
  bed: TestBed,
  bodies: string[],
  options: Options.AssertQueue = {},
) {
  const connection = await openConnection(bed);
  const channel = await connection.createConfirmChannel();
  const queue = bed.name("filled");
  await channel.assertQueue(queue, options);
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body));
  await channel.waitForConfirms();
  return { connection, channel, queue };
}

export interface Consumer {
  tag: string;
  mailbox: Mailbox<ConsumeMessage>;
  /** Settles when the broker cancels the consumer; amqplib says so with a null message. */
  cancelled: Promise<void>;
}

export async function consume(
  channel: Channel,
  queue: string,
  options: Options.Consume = {},
): Promise<Consumer> {
  const mailbox = new Mailbox<ConsumeMessage>();
  let onCancelled!: () => void;
  const cancelled = new Promise<void>((resolve) => {
    onCancelled = resolve;
  });
  const { consumerTag } = await channel.consume(
    queue,
    (message) => (message === null ? onCancelled() : mailbox.put(message)),
    options,
  );
  return { tag: consumerTag, mailbox, cancelled };
}

/** basic.get where the test knows that there is a message to get. */
export async function getMessage(
  channel: Channel,
  queue: string,
  options: Options.Get = { noAck: true },
): Promise<GetMessage> {
  const message = await channel.get(queue, options);
  assert.ok(message, `expected a message in ${queue}, which is empty`);
  return message;
}

export function text(message: { content: Buffer }): string {
  return message.content.toString();
}

/**
 * Returns when the broker has dealt with everything `channel` sent, and when everything the queue
 * sent to this channel before that has arrived: RabbitMQ answers the second check only after it
 * has passed on deliveries that the first one found on their way.
 */
export async function settle(channel: Channel, queue: string): Promise<void> {
  await channel.checkQueue(queue);
  await channel.checkQueue(queue);
}

/**
 * Runs `act` and asserts that the broker closes the channel with exactly this code and text, that a
 * promise returned by `act` rejects for the same reason, and that the connection lives on.
 */
export async function assertChannelClosed(
  channel: Channel,
  act: () => unknown,
  expected: ExpectedClose,
): Promise<void> {
  const failed = nextEvent<[CloseError]>(channel, "error");
  const closed = nextEvent(channel, "close");
  const outcome = act();
  if (outcome instanceof Promise) {
    const rejection = within(outcome, "the failing operation to be refused", eventDeadlineMs);
    await assert.rejects(rejection, (error: CloseError) => {
      assertClose(error, expected);
      return true;
    });
  }
  const [error] = await failed;
  assertClose(error, expected);
  await closed;
}

/** As assertChannelClosed, for errors that end the connection. */
export async function assertConnectionClosed(
  connection: ChannelModel,
  act: () => unknown,
  expected: ExpectedClose,
): Promise<void> {
  const failed = nextEvent<[CloseError]>(connection, "error");
  const closed = nextEvent(connection, "close");
  const outcome = act();
  if (outcome instanceof Promise) {
    await assert.rejects(within(outcome, "the failing operation to be refused"));
  }
  const [error] = await failed;
  assertClose(error, expected);
  await closed;
}

export function assertClose(error: CloseError, expected: ExpectedClose): void {
  const reply = /with message "([\s\S]*)"$/.exec(error.message)?.[1] ?? error.message;
  assert.equal(reply, expected.text);
  assert.equal(error.code, expected.code);
  if (expected.blames !== undefined) {
    assert.deepEqual([error.classId, error.methodId], expected.blames, "blamed class and method");
  }
}
