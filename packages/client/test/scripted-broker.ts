/**
 * A broker that does exactly what a test tells it to, right or wrong: a socket, the codec, and no
 * behaviour of its own beyond the handshake.
 */

import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import {
  decodeMethod,
  encodeBasicConsumeOk,
  encodeChannelOpenOk,
  encodeConfirmSelectOk,
  encodeConnectionOpenOk,
  encodeConnectionStart,
  encodeConnectionTune,
  FieldTable,
  type FrameFault,
  type FrameHandler,
  FrameReader,
  type Method,
  MethodId,
  WireReader,
  WireWriter,
} from "@haremq/wire";

const protocolHeaderBytes = 8;

export interface Tune {
  channelMax: number;
  frameMax: number;
  heartbeat: number;
}

export class ScriptedBroker {
  readonly #server: Server;
  readonly #peers: ScriptedPeer[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(): Promise<ScriptedBroker> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ScriptedBroker(server);
  }

  get url(): string {
    const { port } = this.#server.address() as { port: number };
    return `amqp://127.0.0.1:${port}`;
  }

  /** The next client that comes, its protocol header already read. */
  async accept(): Promise<ScriptedPeer> {
    const [socket] = (await once(this.#server, "connection")) as [Socket];
    const peer = new ScriptedPeer(socket);
    this.#peers.push(peer);
    await peer.headerRead;
    return peer;
  }

  async close(): Promise<void> {
    for (const peer of this.#peers) peer.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

type Encode = (writer: WireWriter) => void;

/** One client of a scripted broker. */
export class ScriptedPeer implements FrameHandler {
  readonly headerRead: Promise<void>;
  readonly closed: Promise<void>;
  /** Heartbeat frames received. */
  heartbeats = 0;
  readonly #socket: Socket;
  readonly #frames = new FrameReader(this, 2 ** 31);
  readonly #methods: { channel: number; method: Method }[] = [];
  #wake: () => void = () => {};
  #bodies: { missing: number; pieces: Buffer[]; resolve: (bytes: Buffer) => void } | undefined;
  #headerLeft = protocolHeaderBytes;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {});
    this.headerRead = new Promise((resolve) => {
      socket.on("data", (chunk: Buffer) => {
        const skipped = Math.min(this.#headerLeft, chunk.length);
        this.#headerLeft -= skipped;
        if (this.#headerLeft === 0) resolve();
        this.#frames.read(chunk, skipped, chunk.length);
      });
    });
  }

  /** The next method of the client, which must be this one. */
  async expect<Id extends Method["id"]>(id: Id): Promise<Extract<Method, { id: Id }>["args"]> {
    while (this.#methods.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const { method } = this.#methods.shift() as { method: Method };
    if (method.id !== id) throw new Error(`expected ${id.toString(16)}, got ${method.name}`);
    return method.args as never;
  }

  /** Sends what the encoders write, in one piece. */
  send(...encoders: Encode[]): void {
    const writer = new WireWriter();
    for (const encode of encoders) encode(writer);
    this.#socket.write(writer.take());
  }

  sendBytes(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Does what a broker does until the connection is open. */
  async handshake(
    tune: Tune = { channelMax: 100, frameMax: 131_072, heartbeat: 0 },
  ): Promise<void> {
    this.sendStart();
    await this.expect(MethodId.ConnectionStartOk);
    this.send((writer) => encodeConnectionTune(writer, 0, tune));
    await this.expect(MethodId.ConnectionTuneOk);
    await this.expect(MethodId.ConnectionOpen);
    this.send((writer) => encodeConnectionOpenOk(writer, 0));
  }

  sendStart(mechanisms = "PLAIN AMQPLAIN"): void {
    this.send((writer) =>
      encodeConnectionStart(writer, 0, {
        versionMajor: 0,
        versionMinor: 9,
        serverProperties: new FieldTable(),
        mechanisms: Buffer.from(mechanisms),
        locales: Buffer.from("en_US"),
      }),
    );
  }

  async openChannel(channel = 1): Promise<void> {
    await this.expect(MethodId.ChannelOpen);
    this.send((writer) => encodeChannelOpenOk(writer, channel));
  }

  async confirmSelect(channel = 1): Promise<void> {
    await this.expect(MethodId.ConfirmSelect);
    this.send((writer) => encodeConfirmSelectOk(writer, channel));
  }

  async consume(channel = 1): Promise<void> {
    const { consumerTag } = await this.expect(MethodId.BasicConsume);
    this.send((writer) => encodeBasicConsumeOk(writer, channel, { consumerTag }));
  }

  /** The next `count` bytes of message bodies. */
  bodyBytes(count: number): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#bodies = { missing: count, pieces: [], resolve };
    });
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  onMethodFrame(channel: number, buffer: Buffer, start: number, end: number): void {
    this.#methods.push({ channel, method: decodeMethod(new WireReader(buffer, start, end)) });
    this.#wake();
  }

  onHeaderFrame(): void {}

  onBodyPiece(_channel: number, buffer: Buffer, start: number, end: number): void {
    this.#bodies?.pieces.push(Buffer.from(buffer.subarray(start, end)));
    if (this.#bodies === undefined) return;
    this.#bodies.missing -= end - start;
    if (this.#bodies.missing <= 0) this.#bodies.resolve(Buffer.concat(this.#bodies.pieces));
  }

  onHeartbeatFrame(): void {
    this.heartbeats++;
  }

  onFrameFault(fault: FrameFault): void {
    throw new Error(`the client sent a ${fault.kind} frame`);
  }
}
