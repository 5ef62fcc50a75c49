/**
 * The way from an open socket to an open connection. The connection passes every method of channel
 * 0 on until the handshake is over.
 *
 *     client                             broker
 *       | -- protocol header AMQP 0-9-1 --> |
 *       | <---------------- start --------- |   mechanisms, server properties
 *       | -- start-ok --------------------> |   client properties, SASL response
 *       | <---------------- tune ---------- |   channel-max, frame-max, heartbeat
 *       | -- tune-ok, open(vhost) --------> |
 *       | <---------------- open-ok ------- |
 */

import {
  type ConnectionStart,
  type ConnectionTune,
  encodeConnectionOpen,
  encodeConnectionStartOk,
  encodeConnectionTuneOk,
  FieldTable,
  type Method,
  MethodId,
  ReplyCode,
} from "@haremq/wire";
import type { ConnectSettings } from "./connect-settings.ts";
import { ConnectError } from "./errors.ts";
import type { FrameOutput } from "./frame-output.ts";
import { ProtocolFault } from "./protocol-fault.ts";
import { saslResponse } from "./sasl.ts";

const protocolHeader = Buffer.from("AMQP\x00\x00\x09\x01", "latin1");

/** What both sides agreed on. */
export interface Tuning {
  readonly channelMax: number;
  /**
   * The largest frame; where neither side has a limit, the largest that a frame head can announce.
   */
  readonly frameMax: number;
  readonly heartbeatSeconds: number;
}

export class Handshake {
  readonly #settings: ConnectSettings;
  readonly #output: FrameOutput;
  readonly #onTuned: (tuning: Tuning) => void;
  #expected: number = MethodId.ConnectionStart;
  serverProperties = new FieldTable();

  constructor(settings: ConnectSettings, output: FrameOutput, onTuned: (tuning: Tuning) => void) {
    this.#settings = settings;
    this.#output = output;
    this.#onTuned = onTuned;
    output.bytes(protocolHeader);
    output.flush();
  }

  /** Whether the login was sent and not answered: a broker that now hangs up has refused it. */
  get loggingIn(): boolean {
    return this.#expected === MethodId.ConnectionTune;
  }

  /** Returns true when the connection is open. */
  onMethod(method: Method): boolean {
    if (method.id !== this.#expected) {
      throw new ProtocolFault(ReplyCode.CommandInvalid, `unexpected method ${method.name}`);
    }
    if (method.id === MethodId.ConnectionStart) this.#onStart(method.args);
    else if (method.id === MethodId.ConnectionTune) this.#onTune(method.args);
    else return true;
    this.#output.flush();
    return false;
  }

  #onStart(start: ConnectionStart): void {
    const { mechanism, user, password, clientProperties } = this.#settings;
    this.serverProperties = start.serverProperties;
    const offered = start.mechanisms.toString("latin1").split(" ");
    if (!offered.includes(mechanism)) {
      throw new ConnectError(`the broker does not offer ${mechanism}, only ${offered.join(", ")}`);
    }
    encodeConnectionStartOk(this.#output, 0, {
      clientProperties: FieldTable.from({ ...ownProperties, ...clientProperties }),
      mechanism,
      response: saslResponse(mechanism, user, password),
      locale: "en_US",
    });
    this.#expected = MethodId.ConnectionTune;
  }

  #onTune(tune: ConnectionTune): void {
    const { frameMax, channelMax, heartbeatSeconds } = this.#settings;
    const agreed = {
      channelMax: smallerLimit(channelMax, tune.channelMax),
      frameMax: smallerLimit(frameMax, tune.frameMax),
      heartbeat: heartbeatSeconds === 0 ? 0 : smallerLimit(heartbeatSeconds ?? 0, tune.heartbeat),
    };
    encodeConnectionTuneOk(this.#output, 0, agreed);
    this.#onTuned({
      channelMax: agreed.channelMax || 0xffff,
      frameMax: agreed.frameMax || 0xffff_ffff,
      heartbeatSeconds: agreed.heartbeat,
    });
    encodeConnectionOpen(this.#output, 0, { virtualHost: this.#settings.vhost });
    this.#expected = MethodId.ConnectionOpenOk;
  }
}

/** Of two limits the smaller one, where 0 stands for none. */
function smallerLimit(one: number, other: number): number {
  return one === 0 || other === 0 ? Math.max(one, other) : Math.min(one, other);
}

export const clientVersion = "0.1.0";

/** What brokers are told about this client; the capabilities decide what they send it. */
const ownProperties = {
  product: "HareMQ client",
  version: clientVersion,
  platform: `Node.js ${process.version}`,
  capabilities: {
    publisher_confirms: true,
    exchange_exchange_bindings: true,
    "basic.nack": true,
    consumer_cancel_notify: true,
    "connection.blocked": true,
    authentication_failure_close: true,
  },
};
