/**
 * The way from connection.start to connection.open-ok: authentication, limits, virtual host. The
 * connection hands it the method frames that come before it is open.
 *
 *     start -> start-ok -> (authenticate) -> tune -> tune-ok -> open -> open-ok
 *
 * Like RabbitMQ it says nothing to a peer that breaks the protocol before it is open, or fails to
 * log in without having announced that it understands being told; such a peer is cut off, after a
 * while if it might be guessing passwords.
 */

import type { Broker, ConnectionEnds, LoginResult, Peer, Session, User } from "@haremq/broker";
import { ConnectionError } from "@haremq/broker";
import {
  type ConnectionStartOk,
  type ConnectionTuneOk,
  encodeConnectionOpenOk,
  encodeConnectionStart,
  encodeConnectionTune,
  type FieldTable,
  frameMinBytes,
  type Method,
  MethodId,
  type WireWriter,
} from "@haremq/wire";
import { detailsOf } from "./connection-details.ts";
import { credentialsFrom } from "./sasl.ts";
import { serverProperties } from "./server-properties.ts";
import type { AmqpSettings } from "./settings.ts";

/** How long a peer waits to learn that it was refused without a word. */
export const silentRefusalMs = 3000;

/** What the handshake comes to. */
export interface Negotiated {
  readonly session: Session;
  readonly frameMax: number;
  /** 0 for no limit. */
  readonly channelMax: number;
  readonly heartbeatSeconds: number;
  readonly clientProperties: FieldTable;
}

/** The peer is cut off; `reason` is for the log. */
export class HandshakeFailure extends Error {
  readonly delayMs: number;

  constructor(reason: string, delayMs: number) {
    super(reason);
    this.name = "HandshakeFailure";
    this.delayMs = delayMs;
  }
}

/**
 * Told to a peer that wants to know, although nobody who is not logged in is told anything else.
 */
export class LoginRefused extends ConnectionError {}

type Step = "start-ok" | "tune-ok" | "open" | "done";

export class Handshake {
  readonly #broker: Broker;
  readonly #settings: AmqpSettings;
  readonly #out: WireWriter;
  readonly #ends: ConnectionEnds;
  readonly #peer: Peer;
  #step: Step = "start-ok";
  #user: User | undefined;
  #mechanism = "";
  #frameMax = 0;
  #channelMax = 0;
  #heartbeatSeconds = 0;
  #clientProperties: FieldTable | undefined;

  constructor(broker: Broker, settings: AmqpSettings, out: WireWriter, ends: ConnectionEnds) {
    this.#broker = broker;
    this.#settings = settings;
    this.#out = out;
    this.#ends = ends;
    this.#peer = { address: ends.peerHost, isLoopback: isLoopback(ends.peerHost) };
  }

  start(): void {
    encodeConnectionStart(this.#out, 0, {
      versionMajor: 0,
      versionMinor: 9,
      serverProperties: serverProperties(this.#settings.identity),
      mechanisms: Buffer.from(this.#settings.mechanisms.join(" ")),
      locales: Buffer.from("en_US"),
    });
  }

  /** The user, once known. */
  get user(): User | undefined {
    return this.#user;
  }

  /** Takes the next method; resolves to the outcome when the last one has come. */
  async onMethod(method: Method): Promise<Negotiated | undefined> {
    if (this.#step === "start-ok" && method.id === MethodId.ConnectionStartOk) {
      await this.#authenticate(method.args);
      return undefined;
    }
    if (this.#step === "tune-ok" && method.id === MethodId.ConnectionTuneOk) {
      this.#tune(method.args);
      return undefined;
    }
    if (this.#step === "open" && method.id === MethodId.ConnectionOpen) {
      return this.#open(method.args.virtualHost);
    }
    if (this.#step === "open") {
      throw new ConnectionError("CHANNEL_ERROR", "unexpected method in connection state opening");
    }
    throw new HandshakeFailure(`${method.name} instead of connection.${this.#step}`, 0);
  }

  async #authenticate(args: ConnectionStartOk): Promise<void> {
    const { mechanism } = args;
    this.#mechanism = mechanism;
    this.#clientProperties = args.clientProperties;
    if (!this.#settings.mechanisms.includes(mechanism)) {
      throw new HandshakeFailure(
        `unknown authentication mechanism '${mechanism}'`,
        silentRefusalMs,
      );
    }
    const response = Buffer.isBuffer(args.response) ? args.response : Buffer.from(args.response);
    const credentials = credentialsFrom(mechanism, response);
    if (credentials === undefined) {
      throw new HandshakeFailure(`malformed ${mechanism} response`, silentRefusalMs);
    }
    const result = await this.#broker.authenticator.authenticate(credentials, this.#peer);
    this.#tellOfLogin(credentials.user, result);
    if (!result.ok) {
      this.#broker.log.error(`${mechanism} login refused: ${result.reason}`);
      throw this.#loginRefused();
    }
    this.#user = result.user;
    encodeConnectionTune(this.#out, 0, {
      channelMax: this.#settings.channelMax,
      frameMax: this.#settings.frameMaxBytes,
      heartbeat: this.#settings.heartbeatSeconds,
    });
    this.#step = "tune-ok";
  }

  #tellOfLogin(user: string, result: LoginResult): void {
    const { events } = this.#broker;
    if (!events.isHeard) return;
    const login = { user, mechanism: this.#mechanism, protocol: [0, 9, 1], ends: this.#ends };
    if (result.ok) events.tell({ type: "user.authentication.success", ...login });
    else events.tell({ type: "user.authentication.failure", ...login, reason: result.reason });
  }

  #loginRefused(): Error {
    if (!hasCapability(this.#clientProperties, "authentication_failure_close")) {
      return new HandshakeFailure("login refused", silentRefusalMs);
    }
    return new LoginRefused(
      "ACCESS_REFUSED",
      `Login was refused using authentication mechanism ${this.#mechanism}. For details see the ` +
        "broker logfile.",
    );
  }

  #tune(args: ConnectionTuneOk): void {
    const { frameMaxBytes, channelMax } = this.#settings;
    this.#frameMax = checkTuned("frame_max", args.frameMax, frameMaxBytes, frameMinBytes);
    this.#channelMax = checkTuned("channel_max", args.channelMax, channelMax, 0);
    this.#heartbeatSeconds = args.heartbeat;
    this.#step = "open";
  }

  #open(virtualHost: string): Negotiated {
    const session = this.#broker.openSession(this.#user!, virtualHost);
    encodeConnectionOpenOk(this.#out, 0);
    this.#step = "done";
    const negotiated = {
      session,
      frameMax: this.#frameMax,
      channelMax: this.#channelMax,
      heartbeatSeconds: this.#heartbeatSeconds,
      clientProperties: this.#clientProperties!,
    };
    this.#broker.log.info(
      `connection ${this.#ends.name}: user '${session.user.name}' authenticated and granted ` +
        `access to vhost '${session.vhost.name}'`,
    );
    session.begin(detailsOf(this.#broker, this.#ends, this.#mechanism, negotiated));
    return negotiated;
  }
}

/** Whether a client says that it understands something. */
export function hasCapability(properties: FieldTable | undefined, name: string): boolean {
  const capabilities = properties?.get("capabilities");
  return capabilities?.type === "F" && capabilities.value.get(name)?.value === true;
}

/** A client may lower what it was offered, not raise it; its 0 leaves it at that. */
function checkTuned(name: string, wanted: number, offered: number, least: number): number {
  if (wanted === 0) return offered;
  if (wanted < least) {
    throw new ConnectionError(
      "NOT_ALLOWED",
      `negotiated ${name} = ${wanted} is lower than the minimum allowed value (${least})`,
    );
  }
  if (offered !== 0 && wanted > offered) {
    throw new ConnectionError(
      "NOT_ALLOWED",
      `negotiated ${name} = ${wanted} is higher than the maximum allowed value (${offered})`,
    );
  }
  return wanted;
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}
