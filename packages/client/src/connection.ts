/**
 * A connection: channel 0 of the protocol, the table of channels, heartbeats, and the one place
 * where the end of the connection is decided and told to everybody who waits.
 *
 *     handshake --open-ok--> open --close()--> closing --close-ok--> closed
 *          \___________________\____connection.close, socket gone____/
 *
 * Invariants:
 * - `finish` runs once. It rejects what waits on the connection and on all its channels, with the
 *   same error, and emits `close`.
 * - Frames are handled in order and to the end before anything else happens; what cannot be handled
 *   closes this connection with the reply code the protocol has for it.
 *
 * It does not reconnect: a connection that is closed stays so, and what reconnects makes a new one.
 */

import { EventEmitter } from "node:events";
import { type Clock, SystemClock } from "@haremq/kernel";
import {
  type ConnectionClose,
  decodeMethod,
  encodeConnectionClose,
  encodeConnectionCloseOk,
  encodeConnectionUpdateSecret,
  FieldTable,
  type FrameFault,
  type FrameHandler,
  FrameReader,
  FrameType,
  frameEnd,
  MalformedError,
  type Method,
  MethodId,
  ReplyCode,
  replyCodeName,
  UnknownMethodError,
  WireReader,
} from "@haremq/wire";
import { CallQueue } from "./call-queue.ts";
import { Channel } from "./channel.ts";
import type { ChannelHost } from "./channel-host.ts";
import { ChannelNumbers } from "./channel-numbers.ts";
import type { ConnectSettings } from "./connect-settings.ts";
import { AmqpError, ClosedError, ConnectError, ConnectionLostError } from "./errors.ts";
import { Handshake, type Tuning } from "./handshake.ts";
import { Heartbeat } from "./heartbeat.ts";
import { ProtocolFault } from "./protocol-fault.ts";
import type { Transport } from "./transport.ts";

export interface ConnectionEvents {
  /** Once, with the reason unless the application closed the connection. */
  close: [error: Error | undefined];
  /** Before `close`, if the broker or the network ended the connection and somebody listens. */
  error: [error: Error];
  /** The broker is out of some resource and reads no publishes until `unblocked`. */
  blocked: [reason: string];
  unblocked: [];
  /** The socket has caught up after a publish returned false. */
  drain: [];
}

/** What frames may measure before the limit is agreed on. */
const handshakeFrameMax = 128 * 1024;
const heartbeatFrame = Buffer.from([FrameType.Heartbeat, 0, 0, 0, 0, 0, 0, frameEnd]);

export class Connection extends EventEmitter<ConnectionEvents> implements FrameHandler {
  readonly #transport: Transport;
  readonly #settings: ConnectSettings;
  readonly #clock: Clock;
  readonly #ownClock: SystemClock | undefined;
  readonly #frames = new FrameReader(this, handshakeFrameMax);
  readonly #reader = new WireReader(Buffer.alloc(0));
  readonly #channels: (Channel | undefined)[] = [];
  readonly #calls = new CallQueue();
  #numbers = new ChannelNumbers(0);
  #handshake: Handshake | undefined;
  #host: ChannelHost | undefined;
  #serverProperties = new FieldTable();
  #tuning: Tuning = { channelMax: 0, frameMax: handshakeFrameMax, heartbeatSeconds: 0 };
  #heartbeat: Heartbeat | undefined;
  #receivedChunks = 0;
  #reading = true;
  #blocked: string | undefined;
  /** Why no more calls are taken; undefined while the connection is open. */
  #closedBy: Error | undefined;
  #finished = false;
  #closing: Promise<void> | undefined;
  #opened: { resolve: () => void; reject: (error: Error) => void } | undefined;

  /** Use `connect`. */
  constructor(transport: Transport, settings: ConnectSettings) {
    super();
    this.#transport = transport;
    this.#settings = settings;
    this.#ownClock = settings.clock === undefined ? new SystemClock() : undefined;
    this.#clock = settings.clock ?? (this.#ownClock as SystemClock);
    transport.onChunk = (chunk, length) => this.#onChunk(chunk, length);
    transport.onEnd = (cause) => this.#onEnd(cause);
    transport.output.onDrain = () => this.#onDrain();
  }

  /** For `connect`: does the handshake. */
  handshake(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#opened = { resolve, reject };
      this.#handshake = new Handshake(this.#settings, this.#transport.output, (tuning) =>
        this.#onTuned(tuning),
      );
    });
  }

  /** For `connect`: the handshake took too long. */
  failHandshake(error: Error): void {
    this.#fail(error);
  }

  get isOpen(): boolean {
    return this.#closedBy === undefined;
  }

  /** Why the broker blocks publishers, or undefined if it does not. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** What the broker says of itself. */
  get serverProperties(): FieldTable {
    return this.#serverProperties;
  }

  /** The limits that both sides agreed on. */
  get tuning(): Tuning {
    return this.#tuning;
  }

  async openChannel(): Promise<Channel> {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const number = this.#numbers.take();
    const channel = new Channel(this.#host as ChannelHost, number);
    this.#channels[number] = channel;
    await channel.open();
    return channel;
  }

  /** Replaces the password or token this connection logged in with. */
  async updateSecret(newSecret: string | Buffer, reason: string): Promise<void> {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    encodeConnectionUpdateSecret(this.#transport.output, 0, {
      newSecret: typeof newSecret === "string" ? Buffer.from(newSecret) : newSecret,
      reason,
    });
    this.#transport.output.commit();
    await this.#calls.wait(MethodId.ConnectionUpdateSecretOk);
  }

  /** Ends the connection; what was written before is sent. Harmless when it is closed already. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Ends at once without a word, as a crash of this process would. */
  destroy(): void {
    if (this.#finished) return;
    this.#closedBy ??= new ClosedError("connection");
    this.#finish(this.#closedBy, undefined);
  }

  /** Stops reading from the socket, so that the broker comes to wait with its deliveries. */
  pause(): void {
    this.#reading = false;
    this.#transport.pause();
  }

  resume(): void {
    this.#reading = true;
    this.#transport.resume();
  }

  // FrameHandler, called by the frame reader.

  onMethodFrame(number: number, buffer: Buffer, start: number, end: number): void {
    try {
      if (number === 0) {
        this.#reader.reset(buffer, start, end);
        this.#onMethod(decodeMethod(this.#reader));
      } else if (end - start < 4) {
        throw new MalformedError(ReplyCode.FrameError, "method frame too short");
      } else {
        this.#channel(number)?.onMethodFrame(buffer, start, end);
      }
    } catch (error) {
      this.#onFault(error);
    }
  }

  onHeaderFrame(number: number, buffer: Buffer, start: number, end: number): void {
    try {
      this.#channel(number)?.onHeaderFrame(buffer, start, end);
    } catch (error) {
      this.#onFault(error);
    }
  }

  onBodyPiece(number: number, buffer: Buffer, start: number, end: number): void {
    try {
      this.#channel(number)?.onBodyPiece(buffer, start, end);
    } catch (error) {
      this.#onFault(error);
    }
  }

  onHeartbeatFrame(): void {}

  onFrameFault(fault: FrameFault): void {
    const { kind, type, channel, size } = fault;
    if (this.#handshake !== undefined && type === "A".charCodeAt(0)) {
      // A broker that does not speak 0-9-1 answers with the header of what it does speak.
      this.#fail(new ConnectError("the peer does not speak AMQP 0-9-1"));
      return;
    }
    const text = `${kind} frame: type ${type}, channel ${channel}, ${size} bytes`;
    this.#onFault(new ProtocolFault(ReplyCode.FrameError, text));
  }

  #onChunk(chunk: Buffer, length: number): void {
    this.#receivedChunks++;
    if (this.#finished) return;
    this.#frames.read(chunk, 0, length);
  }

  /** The channel a frame is for, or undefined if frames are no longer listened to. */
  #channel(number: number): Channel | undefined {
    const channel = this.#channels[number];
    if (channel !== undefined) return channel;
    if (this.#closedBy !== undefined) return undefined;
    throw new ProtocolFault(
      ReplyCode.ChannelError,
      `frame on channel ${number}, which is not open`,
    );
  }

  #onMethod(method: Method): void {
    if (method.id === MethodId.ConnectionClose) {
      this.#onClose(method.args);
    } else if (this.#handshake !== undefined) {
      if (this.#handshake.onMethod(method)) this.#onOpened(this.#handshake);
    } else if (method.id === MethodId.ConnectionCloseOk && this.#closedBy !== undefined) {
      this.#finish(this.#closedBy, undefined);
    } else if (method.id === MethodId.ConnectionBlocked) {
      this.#blocked = method.args.reason;
      this.emit("blocked", method.args.reason);
    } else if (method.id === MethodId.ConnectionUnblocked) {
      this.#blocked = undefined;
      this.emit("unblocked");
    } else {
      const call = this.#calls.take(method.id);
      if (call !== undefined) call.resolve(method.args);
      else if (this.#closedBy === undefined) {
        throw new ProtocolFault(ReplyCode.CommandInvalid, `unexpected method ${method.name}`);
      }
    }
  }

  #onTuned(tuning: Tuning): void {
    this.#tuning = tuning;
    this.#frames.setFrameMax(tuning.frameMax);
    this.#numbers = new ChannelNumbers(tuning.channelMax);
    if (tuning.heartbeatSeconds > 0) {
      this.#heartbeat = new Heartbeat(this.#clock, tuning.heartbeatSeconds, {
        sent: () => this.#transport.output.flushes,
        received: () => this.#receivedChunks,
        sendHeartbeat: () => this.#sendHeartbeat(),
        onSilence: () => this.#onSilence(tuning.heartbeatSeconds),
      });
    }
  }

  #onOpened(handshake: Handshake): void {
    this.#handshake = undefined;
    this.#serverProperties = handshake.serverProperties;
    this.#host = {
      output: this.#transport.output,
      reader: this.#reader,
      frameMax: this.#tuning.frameMax,
      maxBodyBytes: this.#settings.maxBodyBytes,
      releaseChannel: (number) => {
        this.#channels[number] = undefined;
        this.#numbers.give(number);
      },
    };
    this.#opened?.resolve();
  }

  #onDrain(): void {
    this.emit("drain");
    for (const channel of this.#channels) channel?.onDrain();
  }

  #sendHeartbeat(): void {
    this.#transport.output.bytes(heartbeatFrame);
    this.#transport.output.flush();
  }

  #onSilence(intervalSeconds: number): void {
    if (!this.#reading) {
      this.#heartbeat?.excuseSilence();
      return;
    }
    this.#fail(
      new ConnectionLostError(`nothing heard for more than two heartbeats of ${intervalSeconds} s`),
    );
  }

  /** The broker closes the connection. */
  #onClose(args: ConnectionClose): void {
    const { replyCode, replyText, classId, methodId } = args;
    const error = new AmqpError("connection", replyCode, replyText, classId, methodId);
    encodeConnectionCloseOk(this.#transport.output, 0);
    if (this.#closedBy !== undefined) {
      // Both sides closed at the same time: the close-ok for ours need not be waited for.
      this.#finish(this.#closedBy, undefined);
    } else {
      this.#fail(error);
    }
  }

  /** The socket is gone. */
  #onEnd(cause: Error | undefined): void {
    if (this.#closedBy !== undefined) {
      this.#finish(this.#closedBy, undefined);
    } else if (this.#handshake?.loggingIn) {
      this.#fail(new ConnectError("the broker hung up on the login: refused?", cause));
    } else {
      this.#fail(new ConnectionLostError("the connection to the broker was lost", cause));
    }
  }

  /**
   * Reading a frame failed: the peer's fault, unless it is an error of ours, which is not hidden.
   */
  #onFault(error: unknown): void {
    if (this.#closedBy !== undefined) return;
    if (error instanceof ConnectError) {
      this.#fail(error);
      return;
    }
    const replyCode = replyCodeOf(error);
    const text = `${replyCodeName(replyCode)} - ${(error as Error).message}`.slice(0, 255);
    encodeConnectionClose(this.#transport.output, 0, {
      replyCode,
      replyText: text,
      classId: 0,
      methodId: 0,
    });
    this.#fail(new AmqpError("connection", replyCode, text));
  }

  async #close(): Promise<void> {
    if (this.#closedBy !== undefined) return;
    this.#closedBy = new ClosedError("connection");
    encodeConnectionClose(this.#transport.output, 0, {
      replyCode: ReplyCode.ReplySuccess,
      replyText: "",
      classId: 0,
      methodId: 0,
    });
    this.#transport.output.flush();
    if (!this.#reading) this.resume();
    const timer = this.#clock.schedule(this.#settings.closeTimeoutMs, () => this.#abandon());
    await new Promise<void>((resolve) => this.once("close", () => resolve()));
    timer.cancel();
  }

  /** The broker does not answer our close. */
  #abandon(): void {
    this.#finish(this.#closedBy as Error, undefined);
  }

  #fail(error: Error): void {
    this.#closedBy ??= error;
    this.#finish(error, error);
  }

  #finish(error: Error, reason: Error | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#frames.stop();
    this.#heartbeat?.stop();
    this.#ownClock?.stop();
    // A peer that said goodbye, or is to be told, gets what was written last; from a dead one
    // nothing is expected.
    if (error instanceof ConnectionLostError) this.#transport.destroy();
    else this.#transport.end(this.#settings.closeTimeoutMs);
    this.#calls.failAll(error);
    this.#opened?.reject(error);
    const channels = this.#channels.splice(0);
    for (const channel of channels) channel?.finish(error, reason);
    if (reason !== undefined && this.listenerCount("error") > 0) this.emit("error", reason);
    this.emit("close", reason);
  }
}

function replyCodeOf(error: unknown): number {
  if (error instanceof ProtocolFault || error instanceof MalformedError) return error.replyCode;
  if (error instanceof UnknownMethodError) return ReplyCode.CommandInvalid;
  throw error;
}
