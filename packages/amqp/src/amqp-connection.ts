/**
 * One AMQP connection: takes chunks from its socket, hands frames to the handshake and then to
 * channels, and is the one place where what they throw is caught and told to the client.
 *
 *     header -> handshake -> running -> closing -> closed
 *
 * Invariants:
 * - While a method is being carried out asynchronously no further frame is read.
 * - A client that publishes is not read while the broker is short of memory or disk; one that does
 *   not read its output is not served, and in the end not read either.
 * - Whatever a client sends, only its own connection ends.
 *
 * This is a hot file.
 */

import type { Socket } from "node:net";
import type { Broker, ChannelError, Session } from "@haremq/broker";
import { ConnectionError, channelMaxReached } from "@haremq/broker";
import {
  ClassId,
  decodeMethod,
  encodeChannelClose,
  encodeChannelCloseOk,
  encodeChannelOpenOk,
  encodeConnectionBlocked,
  encodeConnectionClose,
  encodeConnectionCloseOk,
  encodeConnectionUnblocked,
  encodeConnectionUpdateSecretOk,
  type FrameFault,
  type FrameHandler,
  FrameReader,
  FrameType,
  frameEnd,
  frameOverheadBytes,
  type Method,
  MethodId,
  methodHasContent,
  WireReader,
} from "@haremq/wire";
import { AmqpChannel } from "./amqp-channel.ts";
import type { AmqpConsumer } from "./amqp-consumer.ts";
import type { ChannelHost, WaitingChannel } from "./channel-host.ts";
import { handleMethod } from "./channel-methods.ts";
import { ChannelTable } from "./channel-table.ts";
import type { ConnectionContext } from "./connection-context.ts";
import { endsOf } from "./connection-details.ts";
import { readDeliveryTag } from "./delivery-tag.ts";
import type { Flushable } from "./flush-queue.ts";
import { frameErrors } from "./frame-errors.ts";
import {
  Handshake,
  HandshakeFailure,
  hasCapability,
  LoginRefused,
  type Negotiated,
} from "./handshake.ts";
import { Heartbeat } from "./heartbeat.ts";
import { InputGate } from "./input-gate.ts";
import { Output, type OutputOwner } from "./output.ts";
import { PendingWork } from "./pending-work.ts";
import {
  describeHeader,
  isSpoken,
  protocolHeader,
  protocolHeaderBytes,
} from "./protocol-header.ts";
import { PublisherBlock } from "./publisher-block.ts";
import { type CloseReply, refusalOf, shutdownReply } from "./reply.ts";

/** The largest frame where none was agreed on: even then nobody may make us hold more. */
const unlimitedFrameBytes = 16 * 1024 * 1024;
/** How long a client may take to answer connection.close. */
const closeTimeoutMs = 10_000;

type State = "header" | "handshake" | "running" | "closing" | "closed";

const methodReader = new WireReader(Buffer.alloc(0));
const heartbeatFrame = Buffer.from([FrameType.Heartbeat, 0, 0, 0, 0, 0, 0, frameEnd]);

export class AmqpConnection implements FrameHandler, OutputOwner, Flushable, ChannelHost {
  readonly name: string;
  readonly broker: Broker;
  readonly output: Output;
  readonly #socket: Socket;
  readonly #context: ConnectionContext;
  readonly #reader: FrameReader;
  #state: State = "header";
  #header: Buffer = Buffer.alloc(0);
  #handshake: Handshake | undefined;
  #handshakeTimer: { cancel(): void } | undefined;
  #closeTimer: { cancel(): void } | undefined;
  #heartbeat: Heartbeat | undefined;

  #session: Session | undefined;
  frameMax: number;
  readonly consumerTimeoutMs: number;
  #channelMax = 0;
  wantsCancelNotification = false;
  #wantsBlocked = false;

  readonly #channels = new ChannelTable();
  /** The channel whose content came last in the current chunk. */
  #contentChannel: AmqpChannel | null = null;

  readonly #gate: InputGate;
  #isUnreadable = false;

  readonly #pending = new PendingWork();
  readonly #block: PublisherBlock;
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;

  constructor(socket: Socket, context: ConnectionContext) {
    this.#socket = socket;
    this.#context = context;
    this.broker = context.broker;
    this.name = endsOf(socket).name;
    this.output = new Output(socket, context.pool, this);
    this.frameMax = context.settings.initialFrameMaxBytes;
    this.consumerTimeoutMs = context.settings.consumerTimeoutMs;
    this.#reader = new FrameReader(this, this.frameMax);
    this.#gate = new InputGate(socket, (chunk) => this.#onChunk(chunk));
    this.#block = new PublisherBlock(
      this.broker.alarms,
      () => this.#onBlock(),
      (isShortageOver) => this.#onUnblock(isShortageOver),
    );
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#handshakeTimer = this.broker.clock.schedule(context.settings.handshakeTimeoutMs, () => {
      this.#cutOff("handshake timed out", 0);
    });
    this.broker.log.debug(`accepting AMQP connection ${this.name}`);
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#gate.receive(chunk));
    socket.on("error", (error) => this.#onSocketEnd(error.message));
    socket.on("close", () => {
      this.#onSocketEnd("client unexpectedly closed TCP connection");
      this.#closeTimer?.cancel();
      context.onClosed(this);
      this.#resolveClosed();
    });
  }

  get session(): Session {
    return this.#session!;
  }

  // Input

  #onChunk(chunk: Buffer): number {
    try {
      // Behind a fault nothing can be read, so whatever comes counts as the answer to our close.
      if (this.#isUnreadable) this.#finish();
      else if (this.#state !== "header") return this.#readFrames(chunk, 0);
      else this.#onHeaderBytes(chunk);
    } catch (error) {
      this.#onError(error, 0, 0);
    }
    return chunk.length;
  }

  #onHeaderBytes(chunk: Buffer): void {
    this.#header = this.#header.length === 0 ? chunk : Buffer.concat([this.#header, chunk]);
    if (this.#header.length < protocolHeaderBytes) return;
    const rest = this.#header;
    const header = rest.subarray(0, protocolHeaderBytes);
    this.#header = Buffer.alloc(0);
    if (!isSpoken(header)) {
      const spoken = describeHeader(header);
      this.broker.log.error(`connection ${this.name} does not speak AMQP 0-9-1 but ${spoken}`);
      this.output.ensure(protocolHeader.length);
      this.output.bytes(protocolHeader);
      this.#finish();
      return;
    }
    this.#state = "handshake";
    const { broker, settings } = this.#context;
    this.#handshake = new Handshake(broker, settings, this.output, endsOf(this.#socket));
    this.#handshake.start();
    const taken = this.#readFrames(rest, protocolHeaderBytes);
    if (taken < rest.length) this.#gate.giveBack(rest.subarray(taken));
  }

  /** Hands on the frames of a chunk; returns how far it has been read. */
  #readFrames(chunk: Buffer, start: number): number {
    this.broker.onInput();
    const end = this.#reader.read(chunk, start, chunk.length);
    if (this.#contentChannel !== null) {
      this.#contentChannel.publishPath.letGoOfChunk();
      this.#contentChannel = null;
      this.#gate.slowDown(this.broker.messages.untilCaughtUp());
    }
    this.#pending.onInputRead();
    this.broker.watchMemory();
    return end;
  }

  /** Takes no further frame until the promise is settled. */
  #suspend(work: Promise<void>, channel: number, methodId: number): void {
    this.#gate.suspend();
    this.#reader.stop();
    work
      .catch((error: unknown) => this.#onError(error, channel, methodId))
      .then(() => this.#gate.resume());
  }

  // Frames

  onMethodFrame(channel: number, buffer: Buffer, start: number, end: number): void {
    if (end - start < 4) {
      this.#onError(frameErrors.unknownFrame(FrameType.Method, buffer, start, end), 0, 0);
      return;
    }
    const methodId =
      (buffer[start]! << 24) |
      (buffer[start + 1]! << 16) |
      (buffer[start + 2]! << 8) |
      buffer[start + 3]!;
    try {
      if (this.#state !== "running") {
        this.#onMethodOutsideRunning(channel, methodId, buffer, start, end);
        return;
      }
      const target = channel === 0 ? undefined : this.#channels.find(channel);
      if (target === undefined) {
        this.#onMethodWithoutChannel(channel, methodId, buffer, start, end);
        return;
      }
      const path = target.publishPath;
      if (path.isOpen) {
        const error = frameErrors.contentExpected(path.expectsHeader);
        this.#onError(error, channel, MethodId.BasicPublish);
        return;
      }
      if (methodId === MethodId.BasicPublish) {
        if (start + 6 >= end || !path.begin(buffer, start + 6, end)) {
          throw frameErrors.cannotDecode(buffer, start + 4, end);
        }
      } else if (methodId === MethodId.BasicAck && end - start === 13) {
        const tag = readDeliveryTag(buffer, start + 4);
        target.acknowledge(tag, (buffer[start + 12]! & 1) !== 0);
      } else {
        this.#onChannelMethod(target, methodId, buffer, start, end);
      }
    } catch (error) {
      this.#onError(error, channel, methodId);
    }
  }

  onHeaderFrame(channel: number, buffer: Buffer, start: number, end: number): void {
    if (this.#discards(channel)) return;
    const target = this.#channels.find(channel);
    const methodId = target?.publishPath.isOpen === true ? MethodId.BasicPublish : 0;
    try {
      if (end - start < 12) throw frameErrors.unknownFrame(FrameType.Header, buffer, start, end);
      if (target === undefined || methodId === 0) {
        throw frameErrors.unexpectedContent(channel, FrameType.Header, buffer, start, end);
      }
      const path = target.publishPath;
      if (!path.expectsHeader) throw frameErrors.contentExpected(false);
      const classId = (buffer[start]! << 8) | buffer[start + 1]!;
      if (classId !== 60) throw frameErrors.wrongHeaderClass(classId);
      if (buffer[start + 2] !== 0 || buffer[start + 3] !== 0) {
        throw frameErrors.contentExpected(true);
      }
      if (this.#contentChannel !== target) {
        this.#contentChannel?.publishPath.letGoOfChunk();
        this.#contentChannel = target;
      }
      path.header(buffer, start + 4, end);
    } catch (error) {
      this.#onError(error, channel, methodId);
    }
  }

  onBodyPiece(channel: number, buffer: Buffer, start: number, end: number): void {
    if (this.#discards(channel)) return;
    const target = this.#channels.find(channel);
    const methodId = target?.publishPath.isOpen === true ? MethodId.BasicPublish : 0;
    try {
      if (target === undefined || methodId === 0) {
        throw frameErrors.unexpectedContent(channel, FrameType.Body, buffer, start, end);
      }
      const path = target.publishPath;
      if (path.expectsHeader) throw frameErrors.contentExpected(true);
      if (!path.body(buffer, start, end)) throw frameErrors.contentExpected(false);
    } catch (error) {
      this.#onError(error, channel, methodId);
    }
  }

  onHeartbeatFrame(channel: number): void {
    if (channel === 0 || this.#state !== "running") return;
    this.#onError(frameErrors.unexpectedFrame(FrameType.Heartbeat, Buffer.alloc(0)), 0, 0);
  }

  onFrameFault(fault: FrameFault): void {
    if (this.#state === "handshake") {
      this.#cutOff(`malformed frame: ${fault.kind}`, 0);
    } else if (this.#state === "running") {
      this.#isUnreadable = true;
      this.#onError(frameErrors.fault(fault, this.frameMax - frameOverheadBytes), 0, 0);
    }
  }

  /** Content of a connection or channel that is being closed is of no interest. */
  #discards(channel: number): boolean {
    if (this.#state === "running") return this.#channels.isClosing(channel);
    if (this.#state === "handshake") this.#cutOff("content before the connection is open", 0);
    return true;
  }

  // Methods

  #onMethodOutsideRunning(
    channel: number,
    methodId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#state === "handshake") {
      this.#onHandshakeMethod(channel, methodId, buffer, start, end);
    } else if (this.#state === "closing") {
      // Only the answer to our connection.close counts; a crossing close is answered.
      if (methodId === MethodId.ConnectionCloseOk) this.#finish();
      else if (methodId === MethodId.ConnectionClose) encodeConnectionCloseOk(this.output, 0);
    }
  }

  #onHandshakeMethod(
    channel: number,
    methodId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (channel !== 0) {
      if (this.#handshake!.user === undefined) throw new HandshakeFailure("early channel", 0);
      throw frameErrors.unexpectedFrame(FrameType.Method, buffer.subarray(start, end));
    }
    const method = this.#decode(buffer, start, end);
    const work = this.#handshake!.onMethod(method).then((negotiated) => {
      if (negotiated !== undefined) this.#run(negotiated);
    });
    this.#suspend(work, 0, methodId);
  }

  #run(negotiated: Negotiated): void {
    this.#session = negotiated.session;
    if (this.#state !== "handshake") {
      this.#closeSession();
      return;
    }
    this.#state = "running";
    this.#handshake = undefined;
    this.#handshakeTimer?.cancel();
    this.#handshakeTimer = undefined;
    this.frameMax = negotiated.frameMax === 0 ? unlimitedFrameBytes : negotiated.frameMax;
    this.#reader.setFrameMax(this.frameMax);
    this.#channelMax = negotiated.channelMax;
    const { clientProperties } = negotiated;
    this.wantsCancelNotification = hasCapability(clientProperties, "consumer_cancel_notify");
    this.#wantsBlocked = hasCapability(clientProperties, "connection.blocked");
    if (negotiated.heartbeatSeconds > 0) {
      this.#heartbeat = new Heartbeat(this.broker.clock, this, negotiated.heartbeatSeconds);
    }
  }

  /** A method on channel 0, or on a channel that is not open. */
  #onMethodWithoutChannel(
    channel: number,
    methodId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (channel === 0) {
      if (methodId >>> 16 !== ClassId.Connection) throw frameErrors.unexpectedMethod();
      this.#onConnectionMethod(this.#decode(buffer, start, end));
      return;
    }
    if (this.#channels.isClosing(channel)) {
      this.#onMethodOfClosingChannel(channel, methodId);
      return;
    }
    if (methodId !== MethodId.ChannelOpen) {
      throw new ConnectionError("CHANNEL_ERROR", "expected 'channel.open'");
    }
    this.#decode(buffer, start, end);
    const open = this.#channels.size;
    const max = this.#channelMax;
    if (max > 0 && open >= max) throw channelMaxReached(open, max);
    this.#channels.add(new AmqpChannel(channel, this));
    encodeChannelOpenOk(this.output, channel);
  }

  #onMethodOfClosingChannel(channel: number, methodId: number): void {
    if (methodId === MethodId.ChannelCloseOk) this.#channels.free(channel);
    else if (methodId === MethodId.ChannelClose) encodeChannelCloseOk(this.output, channel);
    else if (methodId === MethodId.ChannelOpen) {
      throw new ConnectionError("CHANNEL_ERROR", "second 'channel.open' seen");
    }
  }

  #onChannelMethod(
    channel: AmqpChannel,
    methodId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (methodId >>> 16 === 10)
      throw new ConnectionError("COMMAND_INVALID", "unimplemented method");
    const namesTag = methodId === MethodId.BasicNack || methodId === MethodId.BasicReject;
    if (namesTag && end - start >= 12) readDeliveryTag(buffer, start + 4);
    const method = this.#decode(buffer, start, end);
    if (method.id === MethodId.ChannelOpen) {
      throw new ConnectionError("CHANNEL_ERROR", "second 'channel.open' seen");
    }
    if (method.id === MethodId.ChannelClose) {
      channel.emitPending();
      this.#closeChannel(channel, false);
      encodeChannelCloseOk(this.output, channel.number);
      return;
    }
    const work = handleMethod(channel, method);
    if (work !== undefined) this.#suspend(work, channel.number, methodId);
  }

  #onConnectionMethod(method: Method): void {
    if (method.id === MethodId.ConnectionClose) {
      this.#state = "closing";
      this.#reader.stop();
      this.#closeChannels();
      encodeConnectionCloseOk(this.output, 0);
      this.broker.log.debug(`closing AMQP connection ${this.name}`);
      this.#finish();
    } else if (method.id === MethodId.ConnectionUpdateSecret) {
      encodeConnectionUpdateSecretOk(this.output, 0);
    } else {
      throw frameErrors.unexpectedMethod();
    }
  }

  #decode(buffer: Buffer, start: number, end: number): Method {
    methodReader.reset(buffer, start, end);
    const method = decodeMethod(methodReader);
    if (methodHasContent(method.id)) {
      throw new ConnectionError("COMMAND_INVALID", "unimplemented method");
    }
    return method;
  }

  // Errors and ends

  /** The one place where what goes wrong ends up, be it the client's fault or ours. */
  #onError(error: unknown, channel: number, methodId: number): void {
    try {
      this.#refuse(error, channel, methodId);
    } catch (failure) {
      // Ending the channel failed, so the connection ends, which does not fail.
      this.#refuse(failure, 0, 0);
    }
  }

  /** Tells the client what was wrong, and ends what that ends. */
  #refuse(error: unknown, channel: number, methodId: number): void {
    if (this.#state === "closing" || this.#state === "closed") return;
    if (error instanceof HandshakeFailure) {
      this.#cutOff(error.message, error.delayMs);
      return;
    }
    const { reply, isHard, isInternal } = refusalOf(error, methodId);
    if (isInternal) {
      const reported = error instanceof Error ? error : new Error(String(error));
      this.broker.log.error(`error on AMQP connection ${this.name}`, { error: reported });
    } else if (this.#isUnknownPeer && !(error instanceof LoginRefused)) {
      this.#cutOff(reply.replyText, 0);
      return;
    } else {
      const where = channel === 0 ? "" : `, channel ${channel}`;
      this.broker.log.error(`error on AMQP connection ${this.name}${where}: ${reply.replyText}`);
    }
    const target = this.#channels.find(channel);
    if (isHard || target === undefined) {
      this.#close(reply);
      return;
    }
    target.emitPending();
    this.#closeChannel(target, true);
    encodeChannelClose(this.output, channel, reply);
  }

  /** Nobody who is not logged in is told anything. */
  get #isUnknownPeer(): boolean {
    return this.#state === "handshake" && this.#handshake!.user === undefined;
  }

  /** Asks the client to close, which every client does in the end. */
  #close(reply: CloseReply): void {
    this.#state = "closing";
    this.#closeChannels();
    encodeConnectionClose(this.output, 0, reply);
    this.#block.end();
    this.#closeTimer = this.broker.clock.schedule(closeTimeoutMs, () => this.#socket.destroy());
  }

  /** Asks the client to close because the broker stops; resolves when the connection is gone. */
  shutDown(): Promise<void> {
    if (this.#state === "running") this.#close(shutdownReply);
    else if (this.#state === "header" || this.#state === "handshake") {
      this.#cutOff("the broker stops", 0);
    }
    return this.#closed;
  }

  /** Ends the connection without waiting for anybody. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Ends the connection without a word to the peer. */
  #cutOff(reason: string, delayMs: number): void {
    if (this.#state === "closed") return;
    this.broker.log.error(`closing AMQP connection ${this.name}: ${reason}`);
    if (delayMs === 0) {
      this.#finish();
      return;
    }
    this.#state = "closing";
    this.#gate.throttle();
    this.#closeTimer = this.broker.clock.schedule(delayMs, () => this.#socket.destroy());
  }

  /** Sends what is left and ends the socket; a peer that does not end it, too, is cut off. */
  #finish(): void {
    this.flush();
    this.#socket.end();
    this.#end();
    this.#closeTimer = this.broker.clock.schedule(closeTimeoutMs, () => this.#socket.destroy());
  }

  #onSocketEnd(reason: string): void {
    if (this.#state === "running") {
      this.broker.log.warn(`closing AMQP connection ${this.name}: ${reason}`);
    }
    this.#end();
    this.#socket.destroy();
  }

  /** Gives back everything that the connection holds; safe to call twice. */
  #end(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#gate.end();
    this.#handshakeTimer?.cancel();
    this.#closeTimer?.cancel();
    this.#heartbeat?.stop();
    this.#block.forget();
    this.#closeChannels();
    this.output.close();
    this.#closeSession();
  }

  #closeSession(): void {
    this.#session?.close().catch((error: unknown) => this.#onFailureAtEnd(error));
  }

  /** Ends all channels, once what they owe their client has been written. Never fails. */
  #closeChannels(): void {
    this.#contentChannel = null;
    try {
      this.#pending.onFlush();
    } catch (error) {
      this.#onFailureAtEnd(error);
    }
    this.#channels.closeAll((error) => this.#onFailureAtEnd(error));
    this.#pending.clear();
  }

  #onFailureAtEnd(error: unknown): void {
    this.broker.log.error(`error at the end of AMQP connection ${this.name}`, { error });
  }

  #closeChannel(channel: AmqpChannel, awaitsClient: boolean): void {
    if (this.#contentChannel === channel) this.#contentChannel = null;
    this.#channels.close(channel, awaitsClient);
  }

  failChannel(channel: number, error: ChannelError): boolean {
    if (this.#gate.isSuspended) return false;
    this.#onError(error, channel, 0);
    return true;
  }

  // Output

  onOutput(): void {
    this.#context.flushQueue.add(this);
  }

  flush(): void {
    try {
      this.#pending.onFlush();
    } catch (error) {
      this.#onError(error, 0, 0);
    }
    this.output.flush();
  }

  /** A client that does not read is not read either, not even to the end of the chunk. */
  onFull(): void {
    this.#reader.stop();
    this.#gate.throttle();
  }

  onDrain(): void {
    try {
      this.#pending.onRoom();
    } catch (error) {
      this.#onError(error, 0, 0);
    }
    this.#gate.unthrottle();
  }

  emitLater(channel: WaitingChannel): void {
    this.#pending.emitLater(channel);
    // Makes sure that a flush comes even if nothing else is written.
    this.output.ensure(0);
  }

  awaitDrain(channel: WaitingChannel): void {
    this.#pending.awaitRoom(channel);
  }

  wakeLater(consumer: AmqpConsumer): void {
    this.#pending.wakeLater(consumer);
  }

  // Heartbeats

  get writtenBytes(): number {
    return this.output.writtenBytes;
  }

  get receivedBytes(): number {
    return this.#gate.receivedBytes;
  }

  get isReading(): boolean {
    return this.#gate.isReading;
  }

  sendHeartbeat(): void {
    this.output.ensure(heartbeatFrame.length);
    this.output.bytes(heartbeatFrame);
  }

  onPeerSilent(): void {
    this.broker.log.warn(`closing AMQP connection ${this.name}: missed heartbeats from client`);
    this.#end();
    this.#socket.destroy();
  }

  // Shortages

  onPublish(): void {
    this.#block.onPublish();
  }

  /** A client that publishes while the broker is short is told so, and not read. */
  #onBlock(): void {
    this.#reader.stop();
    this.#gate.block();
    if (!this.#wantsBlocked) return;
    encodeConnectionBlocked(this.output, 0, { reason: this.broker.alarms.reason });
  }

  #onUnblock(isShortageOver: boolean): void {
    // Told first: what was held back may block it again, or end it.
    if (isShortageOver && this.#wantsBlocked) encodeConnectionUnblocked(this.output, 0);
    this.#gate.unblock();
  }
}
