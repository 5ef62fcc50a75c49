/** A connection of this adapter as operators see it; the handshake makes it at its end. */

import type { Socket } from "node:net";
import type { Broker, ConnectionDetails, ConnectionEnds } from "@haremq/broker";
import type { Negotiated } from "./handshake.ts";

/** Where a connection is from and to. */
export function endsOf(socket: Socket): ConnectionEnds {
  const { remoteAddress: peerHost = "", remotePort: peerPort = 0 } = socket;
  const { localAddress: host = "", localPort: port = 0 } = socket;
  const name = `${peerHost}:${peerPort} -> ${host}:${port}`;
  return { name, host, port, peerHost, peerPort };
}

export function detailsOf(
  broker: Broker,
  ends: ConnectionEnds,
  authMechanism: string,
  { session, ...limits }: Negotiated,
): ConnectionDetails {
  return {
    ...ends,
    ...limits,
    pid: broker.nextPid(),
    user: session.user.name,
    vhost: session.vhost.name,
    protocol: [0, 9, 1],
    authMechanism,
    connectedAtMs: Math.floor(broker.clock.wallMs()),
  };
}
