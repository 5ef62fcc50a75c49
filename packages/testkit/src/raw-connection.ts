/**
 * A connection to a broker that knows frames and nothing more: a test may send whatever bytes it
 * likes, whenever it likes, and sees every frame that comes back, in order. For conformance tests,
 * the differential harness and fuzzers; a test that only wants to use a broker takes
 * @haremq/client.
 *
 * Invariants:
 * - `frames` holds everything received since the connection was made. Nothing is answered by
 *   itself, not even a heartbeat or a connection.close.
 * - Every wait ends: with what was waited for, with the end of the connection, or at its deadline.
 */

import { EventEmitter } from "node:events";
import { connect, type Socket } from "node:net";
import {
  decodeMethod,
  decodeProperties,
  encodeBodyFrames,
  encodeHeaderFrame,
  FieldTable,
  FrameType,
  frameEnd,
  type Method,
  type Properties,
  WireReader,
  WireWriter,
} from "@haremq/wire";
import { FrameSplitter, type SplitFrame } from "./frame-splitter.ts";
import { type MethodArguments, type MethodName, methodFrame, methodOf } from "./method-of.ts";

export interface RawFrame extends SplitFrame {
  /** Of method frames, and of those only. */
  readonly method?: Method;
  /** Of content headers. */
  readonly header?: { readonly bodySize: number; readonly properties: Properties };
}

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

export interface HandshakeOptions {
  username?: string;
  password?: string;
  vhost?: string;
  channelMax?: number;
  frameMax?: number;
  heartbeat?: number;
  /** The client's capabilities, as in start-ok's client properties. */
  capabilities?: Readonly<Record<string, boolean>>;
}

export const protocolHeader = Buffer.from("AMQP\0\0\x09\x01", "latin1");
export const waitDeadlineMs = 10_000;

const usualCapabilities = {
  publisher_confirms: true,
  "basic.nack": true,
  consumer_cancel_notify: true,
  authentication_failure_close: true,
};

export function addressOf(url: string): BrokerAddress {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || 5672) };
}

/** Any frame at all: a sound end octet unless told otherwise, the payload as it is. */
export function rawFrame(type: number, channel: number, payload: Uint8Array, end = frameEnd) {
  const frame = Buffer.alloc(payload.length + 8);
  frame.writeUInt8(type, 0);
  frame.writeUInt16BE(channel, 1);
  frame.writeUInt32BE(payload.length, 3);
  frame.set(payload, 7);
  frame.writeUInt8(end, payload.length + 7);
  return frame;
}

export class RawConnection {
  readonly frames: RawFrame[] = [];
  /** How the connection ended; undefined while it is open. */
  ended: "by end" | "by reset" | "by us" | undefined;
  frameMax = 131_072;
  readonly #socket: Socket;
  readonly #splitter = new FrameSplitter();
  readonly #changed = new EventEmitter();

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#changed.setMaxListeners(0);
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      for (const frame of this.#splitter.push(chunk)) this.frames.push(interpret(frame));
      this.#changed.emit("change");
    });
    socket.on("end", () => this.#end("by end"));
    socket.on("error", () => this.#end("by reset"));
    socket.on("close", () => this.#end("by us"));
  }

  /** A TCP connection, with nothing said on it yet. */
  static connect(address: BrokerAddress): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(address);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  /** A connection that has been through the handshake, and has no channel yet. */
  static async open(address: BrokerAddress, options: HandshakeOptions = {}) {
    const connection = await RawConnection.connect(address);
    await connection.handshake(options);
    return connection;
  }

  async handshake(options: HandshakeOptions): Promise<void> {
    const { username = "guest", password = "guest", vhost = "/" } = options;
    const { channelMax = 2047, frameMax = 131_072, heartbeat = 0 } = options;
    this.sendBytes(protocolHeader);
    await this.waitForMethod("connection.start");
    const clientProperties = FieldTable.from({
      capabilities: options.capabilities ?? usualCapabilities,
    });
    this.send(0, "connection.start-ok", {
      clientProperties,
      mechanism: "PLAIN",
      response: Buffer.from(`\0${username}\0${password}`),
      locale: "en_US",
    });
    await this.waitForMethod("connection.tune");
    this.send(0, "connection.tune-ok", { channelMax, frameMax, heartbeat });
    this.send(0, "connection.open", { virtualHost: vhost });
    await this.waitForMethod("connection.open-ok");
    this.frameMax = frameMax;
  }

  async openChannel(channel: number): Promise<void> {
    this.send(channel, "channel.open");
    await this.waitFor((frame) => frame.channel === channel && isMethod(frame, "channel.open-ok"));
  }

  send<Name extends MethodName>(
    channel: number,
    name: Name,
    args: Partial<MethodArguments<Name>> = {},
  ): void {
    this.sendBytes(methodFrame(channel, methodOf(name, args)));
  }

  /** The header and the body frames that follow a publish. */
  sendContent(channel: number, properties: Properties, body: Uint8Array): void {
    const writer = new WireWriter();
    encodeHeaderFrame(writer, channel, body.length, properties);
    encodeBodyFrames(writer, channel, body, this.frameMax);
    this.sendBytes(writer.take());
  }

  sendBytes(bytes: Uint8Array): void {
    if (this.ended === undefined) this.#socket.write(bytes);
  }

  /** Bytes received that are not a whole frame. */
  get rest(): Buffer {
    return this.#splitter.rest;
  }

  /**
   * The first frame at or after `from` that the predicate accepts. Rejects when the connection ends
   * or the deadline passes first.
   */
  async waitFor(
    accept: (frame: RawFrame) => boolean,
    from = 0,
    deadlineMs = waitDeadlineMs,
  ): Promise<RawFrame> {
    let found: RawFrame | undefined;
    let next = from;
    await this.waitUntil(() => {
      for (; found === undefined && next < this.frames.length; next++) {
        const frame = this.frames[next] as RawFrame;
        if (accept(frame)) found = frame;
      }
      return found !== undefined || this.ended !== undefined;
    }, deadlineMs);
    if (found === undefined) throw new Error(`not received: ${this.#situation()}`);
    return found;
  }

  async waitForMethod<Name extends MethodName>(name: Name): Promise<MethodArguments<Name>> {
    try {
      const frame = await this.waitFor((candidate) => isMethod(candidate, name));
      return frame.method?.args as MethodArguments<Name>;
    } catch (cause) {
      throw new Error(`waiting for ${name}`, { cause });
    }
  }

  /**
   * Resolves when the condition holds; it is looked at after each arrival. False at the deadline.
   */
  waitUntil(condition: () => boolean, deadlineMs = waitDeadlineMs): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (outcome: boolean): void => {
        clearTimeout(timer);
        this.#changed.off("change", look);
        resolve(outcome);
      };
      const look = (): void => {
        if (condition()) finish(true);
      };
      const timer = setTimeout(() => finish(false), deadlineMs);
      this.#changed.on("change", look);
    });
  }

  /** Takes nothing more from the socket, as a client would that is stuck. */
  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  /** Sends the end of the stream, and goes on reading. */
  endSending(): void {
    this.#socket.end();
  }

  /** Ends the socket without a word, as a dying client would. */
  destroy(): void {
    this.#socket.destroy();
    this.#end("by us");
  }

  /** Closes in the protocol's way, and waits until the broker agrees or is gone. */
  async close(): Promise<void> {
    if (this.ended === undefined) {
      const from = this.frames.length;
      this.send(0, "connection.close", { replyCode: 200, replyText: "bye" });
      await this.waitFor((frame) => isMethod(frame, "connection.close-ok"), from).catch(() => {});
    }
    this.destroy();
  }

  #end(how: "by end" | "by reset" | "by us"): void {
    if (this.ended !== undefined) return;
    this.ended = how;
    this.#socket.destroy();
    this.#changed.emit("change");
  }

  #situation(): string {
    const last = this.frames.slice(-3).map((frame) => frame.method?.name ?? `type ${frame.type}`);
    return `connection ${this.ended ?? "open"}, last frames: ${last.join(", ") || "none"}`;
  }
}

export function isMethod(frame: RawFrame, name: MethodName): boolean {
  return frame.method?.name === name;
}

function interpret(frame: SplitFrame): RawFrame {
  if (frame.type === FrameType.Method) {
    return { ...frame, method: decodeAnyMethod(frame.payload) };
  }
  if (frame.type !== FrameType.Header) return frame;
  const reader = new WireReader(frame.payload);
  reader.skip(4);
  const bodySize = reader.uint64();
  return { ...frame, header: { bodySize, properties: decodeProperties(reader) } };
}

/** RabbitMQ cuts reply texts at 255 bytes, in the middle of a character if need be. */
function decodeAnyMethod(payload: Buffer): Method {
  try {
    return decodeMethod(new WireReader(payload));
  } catch {
    const ascii = Buffer.from(payload.map((octet, at) => (at > 6 && octet > 0x7f ? 0x3f : octet)));
    return decodeMethod(new WireReader(ascii));
  }
}
