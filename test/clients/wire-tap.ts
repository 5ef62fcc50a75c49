/**
 * A TCP relay between a client and the broker that notes the frames passing through, and that can
 * cut, refuse or silence connections. It shows what a client's API hides (the order of basic.return
 * and basic.ack, heartbeats), and it plays the unreliable network against brokers that a test must
 * not stop.
 *
 * A frame is noted when its first bytes have passed; of the payload only the class and method are
 * looked at.
 */
import { EventEmitter } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { BrokerUnderTest } from "./broker-under-test.ts";
import { eventDeadlineMs, nextEvent, within } from "./deadline.ts";
import type { TestBed } from "./test-bed.ts";

export type Side = "client" | "broker";

export interface TappedFrame {
  readonly from: Side;
  readonly type: number;
  readonly channel: number;
  /** "class.method" in decimal for method frames, as in "60.40"; otherwise empty. */
  readonly method: string;
}

export const methodFrame = 1;
export const heartbeatFrame = 8;

export class WireTap extends EventEmitter {
  readonly frames: TappedFrame[] = [];
  readonly #broker: BrokerUnderTest;
  readonly #pairs = new Set<[client: Socket, broker: Socket]>();
  #server: Server | undefined;
  #port = 0;
  #muted = false;

  constructor(broker: BrokerUnderTest) {
    super();
    this.#broker = broker;
    this.setMaxListeners(50);
  }

  static async open(bed: TestBed): Promise<WireTap> {
    const tap = new WireTap(bed.broker);
    await tap.accept();
    bed.defer(() => tap.refuse());
    return tap;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    const url = new URL(this.#broker.url);
    url.host = `127.0.0.1:${this.#port}`;
    return url.href;
  }

  /** How many clients are connected through here now. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Lets clients in (again), on the same port as before. */
  async accept(): Promise<void> {
    const server = createServer((client) => this.#relay(client));
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await nextEvent(server, "listening");
    const address = server.address();
    if (address !== null && typeof address === "object") this.#port = address.port;
  }

  /** Cuts everybody off and refuses new connections, as a broker that went down does. */
  async refuse(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = nextEvent(server, "close");
    server.close();
    this.cut();
    await closed;
  }

  /** Cuts every connection without a goodbye; new ones are welcome. */
  cut(): void {
    for (const [client, broker] of this.#pairs) {
      client.destroy();
      broker.destroy();
    }
  }

  /** From now on nothing that clients send reaches the broker, yet the sockets stay open. */
  muteClients(): void {
    this.#muted = true;
  }

  /** The first frame that has passed, or will pass, and that satisfies `wanted`. */
  async frame(
    what: string,
    wanted: (frame: TappedFrame) => boolean,
    deadlineMs = eventDeadlineMs,
  ): Promise<TappedFrame> {
    const search = async (): Promise<TappedFrame> => {
      for (let seen = 0; ; ) {
        for (; seen < this.frames.length; seen++) {
          const frame = this.frames[seen];
          if (frame !== undefined && wanted(frame)) return frame;
        }
        await nextEvent(this, "frame", deadlineMs);
      }
    };
    return within(search(), what, deadlineMs);
  }

  /** The methods that passed from `side` on `channel`, in order. */
  methods(side: Side, channel: number): string[] {
    return this.frames
      .filter(
        (frame) => frame.from === side && frame.channel === channel && frame.type === methodFrame,
      )
      .map((frame) => frame.method);
  }

  #relay(client: Socket): void {
    const broker = connect({ host: this.#broker.host, port: this.#broker.port, noDelay: true });
    client.setNoDelay(true);
    const pair: [Socket, Socket] = [client, broker];
    this.#pairs.add(pair);
    const fromClient = new FrameNoter((frame) => this.#note(frame), "client");
    const fromBroker = new FrameNoter((frame) => this.#note(frame), "broker");
    client.on("data", (chunk) => {
      if (this.#muted) return;
      fromClient.pass(chunk);
      broker.write(chunk);
    });
    broker.on("data", (chunk) => {
      fromBroker.pass(chunk);
      client.write(chunk);
    });
    client.on("end", () => broker.end());
    broker.on("end", () => {
      this.emit("broker-ended");
      client.end();
    });
    const dropped = (other: Socket) => () => {
      other.destroy();
      if (this.#pairs.delete(pair)) this.emit("disconnected");
    };
    client.on("close", dropped(broker));
    broker.on("close", dropped(client));
    // A reset is one of the ways in which a connection ends here; "close" follows and tells.
    client.on("error", () => {});
    broker.on("error", () => {});
  }

  #note(frame: TappedFrame): void {
    this.frames.push(frame);
    this.emit("frame");
  }
}

/** Finds the frames in one direction of one connection. */
class FrameNoter {
  readonly #note: (frame: TappedFrame) => void;
  readonly #from: Side;
  readonly #head = Buffer.alloc(11);
  #headBytes = 0;
  /** Bytes to ignore before the next frame; a client begins with its 8-byte protocol header. */
  #skip: number;

  constructor(note: (frame: TappedFrame) => void, from: Side) {
    this.#note = note;
    this.#from = from;
    this.#skip = from === "client" ? 8 : 0;
  }

  pass(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - offset);
        this.#skip -= skipped;
        offset += skipped;
        continue;
      }
      this.#head[this.#headBytes++] = chunk[offset++] as number;
      const head = this.#head;
      const wanted = head[0] === methodFrame ? 11 : 7;
      if (this.#headBytes < wanted) continue;
      this.#skip = head.readUInt32BE(3) + 1 - (wanted - 7);
      this.#headBytes = 0;
      this.#note({
        from: this.#from,
        type: head[0] as number,
        channel: head.readUInt16BE(1),
        method: wanted === 11 ? `${head.readUInt16BE(7)}.${head.readUInt16BE(9)}` : "",
      });
    }
  }
}
