/** A connection as operators see it, whatever its protocol. Adapters describe theirs. */

import type { FieldTable } from "@haremq/wire";

export interface ConnectionEnds {
  /** Where both ends are, as one text. */
  readonly name: string;
  /** Our end. */
  readonly host: string;
  readonly port: number;
  readonly peerHost: string;
  readonly peerPort: number;
}

export interface ConnectionDetails extends ConnectionEnds {
  /** What RabbitMQ's tools take for a process identifier. */
  readonly pid: string;
  readonly user: string;
  readonly vhost: string;
  /** As in the protocol's header: 0, 9, 1. */
  readonly protocol: readonly number[];
  readonly authMechanism: string;
  readonly heartbeatSeconds: number;
  readonly frameMax: number;
  readonly channelMax: number;
  readonly clientProperties: FieldTable;
  readonly connectedAtMs: number;
}

export function channelName({ name }: ConnectionDetails, channel: number): string {
  return `${name} (${channel})`;
}

/** The same for a channel: identifiers of connections end in .0>. */
export function channelPid({ pid }: ConnectionDetails, channel: number): string {
  return `${pid.slice(0, -2)}${channel}>`;
}
