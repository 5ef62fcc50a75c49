/**
 * Reads amqp:// and amqps:// URIs as RabbitMQ's URI specification defines them.
 *
 *     amqp://user:password@host:port/vhost?heartbeat=30&connection_timeout=10000
 *
 * Every part is percent-decoded. A URI without a path names the default virtual host; one that ends
 * in a slash names the virtual host whose name is empty: `/` itself is written `%2f`. Query
 * parameters that this client does not know are ignored, because other clients use the same URIs.
 */

import type { ConnectOptions, SaslMechanism } from "./connect-options.ts";

/**
 * scheme, user information, host, port, path, query. Node's URL class cannot read these: it refuses
 * an empty host beside a user or a port, which the specification allows.
 */
const authority = "(?:([^/?#]*)@)?(\\[[^\\]/?#]*\\]|[^:@/?#]*)(?::(\\d*))?";
const uriPattern = new RegExp(`^(amqps?)://${authority}(/[^?#]*)?(?:\\?([^#]*))?(?:#.*)?$`, "i");

/** What is in the URI and nothing else; `connect` fills in the defaults. */
export function parseUri(text: string): ConnectOptions {
  const parts = uriPattern.exec(text);
  if (parts === null) throw new TypeError("not an AMQP URI: amqp://user:password@host:port/vhost");
  const [, scheme = "", user, host = "", port = "", path, query = ""] = parts;
  const options: ConnectOptions = {};
  if (scheme.toLowerCase() === "amqps") options.tls = true;
  if (user !== undefined) readUser(user, options);
  if (host !== "") options.host = hostName(host);
  if (port !== "") options.port = Number(port);
  if (path !== undefined) {
    if (path.indexOf("/", 1) !== -1) {
      throw new TypeError("an AMQP URI has one path segment, the virtual host; write / as %2f");
    }
    options.vhost = decode(path.slice(1), "virtual host");
  }
  readQuery(new URLSearchParams(query), options);
  return options;
}

function readUser(text: string, options: ConnectOptions): void {
  const colon = text.indexOf(":");
  options.user = decode(colon === -1 ? text : text.slice(0, colon), "user");
  if (colon !== -1) options.password = decode(text.slice(colon + 1), "password");
}

function readQuery(query: URLSearchParams, options: ConnectOptions): void {
  for (const [name, value] of query) {
    if (name === "heartbeat") options.heartbeatSeconds = integer(name, value);
    else if (name === "connection_timeout") options.connectionTimeoutMs = integer(name, value);
    else if (name === "channel_max") options.channelMax = integer(name, value);
    else if (name === "frame_max") options.frameMax = integer(name, value);
    else if (name === "auth_mechanism") options.mechanism = value.toUpperCase() as SaslMechanism;
  }
}

/** IPv6 addresses stand in brackets in a URI, but not where a socket wants them. */
function hostName(hostname: string): string {
  if (hostname.startsWith("[") && hostname.endsWith("]")) return hostname.slice(1, -1);
  return decode(hostname, "host");
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TypeError(`bad percent-encoding in the ${what} of an AMQP URI`);
  }
}

function integer(name: string, value: string): number {
  if (!/^\d{1,10}$/.test(value)) {
    throw new TypeError(`${name} in an AMQP URI is a whole number, not "${value}"`);
  }
  return Number(value);
}
