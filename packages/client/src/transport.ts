/**
 * A socket to the broker, plain or TLS, that hands every received chunk on and carries a
 * FrameOutput. It knows bytes and the socket's life; frames and methods are the connection's
 * business.
 *
 * Invariants:
 * - `onChunk` gets a buffer that is only valid during the call: plain sockets read into one buffer
 *   of their own over and over, so that receiving allocates nothing.
 * - `onEnd` is called exactly once, whatever ended the socket, unless `open` itself failed.
 */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConnectSettings } from "./connect-settings.ts";
import { FrameOutput } from "./frame-output.ts";

const readBytes = 128 * 1024;

export class Transport {
  readonly output: FrameOutput;
  readonly #socket: Socket;
  #ended = false;
  #lastError: Error | undefined;
  /** Set before `open` resolves, and by whoever speaks the protocol from then on. */
  onChunk: (chunk: Buffer, length: number) => void = () => {};
  onEnd: (cause: Error | undefined) => void = () => {};

  private constructor(settings: ConnectSettings) {
    this.#socket = settings.tls === undefined ? this.#plain(settings) : this.#encrypted(settings);
    this.#socket.setNoDelay(true);
    this.output = new FrameOutput(this.#socket, settings.writeHighWaterBytes);
    this.#socket.on("error", (error) => {
      this.#lastError ??= error;
    });
    this.#socket.on("close", () => this.#finish());
  }

  /** Resolves once bytes can flow (with TLS: once the certificate was accepted). */
  static open(settings: ConnectSettings, signal: AbortSignal): Promise<Transport> {
    const transport = new Transport(settings);
    const socket = transport.#socket;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        socket.destroy(signal.reason as Error);
      };
      signal.addEventListener("abort", abort, { once: true });
      transport.onEnd = (cause) => reject(cause ?? new Error("socket closed"));
      socket.once(settings.tls === undefined ? "connect" : "secureConnect", () => {
        signal.removeEventListener("abort", abort);
        resolve(transport);
      });
    });
  }

  /**
   * Sends what was committed, then says goodbye to the peer. One that does not say it too is not
   * waited for longer than `lingerMs`.
   */
  end(lingerMs: number): void {
    this.output.flush();
    this.output.close();
    if (this.#ended) return;
    const timer = setTimeout(() => this.#socket.destroy(), lingerMs);
    this.#socket.once("close", () => clearTimeout(timer));
    // Only a socket that is read from learns of the peer's goodbye.
    this.#socket.resume();
    this.#socket.end();
  }

  /** Ends at once; what was not sent is lost. */
  destroy(): void {
    this.output.close();
    this.#socket.destroy();
  }

  /**
   * Stops reading, so that the broker comes to wait; frames already received are still handed on.
   */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #plain({ host, port }: ConnectSettings): Socket {
    return connectTcp({
      host,
      port,
      onread: {
        buffer: Buffer.allocUnsafeSlow(readBytes),
        callback: (length, chunk) => {
          this.onChunk(chunk as Buffer, length);
          return true;
        },
      },
    });
  }

  #encrypted({ host, port, tls }: ConnectSettings): Socket {
    const socket = connectTls({ host, port, servername: serverName(host), ...tls });
    socket.on("data", (chunk: Buffer) => this.onChunk(chunk, chunk.length));
    return socket;
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.output.close();
    this.onEnd(this.#lastError);
  }
}

/** Server name indication takes names only, not addresses. */
function serverName(host: string): string {
  return isIP(host) === 0 ? host : "";
}
