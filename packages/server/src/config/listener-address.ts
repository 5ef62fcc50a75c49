/**
 * Where a listener listens, as RabbitMQ's configuration writes it:
 *
 *   5672                 every interface, IPv6 and IPv4
 *   192.168.1.2:5672     one address
 *   localhost:5672       what the name stands for
 *   ::1:5672, [::1]:5672 IPv6, with or without brackets: the port is what follows the last colon
 */

import { ConfigError } from "./config-error.ts";
import { quote } from "./value-parsers.ts";

export interface ListenerAddress {
  /** undefined: every interface. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

export function parseListenerAddress(text: string): ListenerAddress {
  const colon = text.lastIndexOf(":");
  const port = parsePort(text.slice(colon + 1));
  if (colon < 0) return { host: undefined, port };
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (host === "" || /[\s[\]]/.test(host)) {
    throw new ConfigError(`${quote(text)} is not an address such as 127.0.0.1:5672 or [::1]:5672`);
  }
  return { host, port };
}

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65535) return port;
  throw new ConfigError(`${quote(text)} is not a port number (0 to 65535)`);
}

/** The form for people: 127.0.0.1:5672, [::1]:5672, or the port alone for every interface. */
export function formatListenerAddress({ host, port }: ListenerAddress): string {
  if (host === undefined) return String(port);
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
