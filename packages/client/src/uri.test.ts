/** Goal: every example of RabbitMQ's URI specification reads as the specification's table says. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUri } from "./uri.ts";

const examples: [string, object][] = [
  [
    "amqp://user:pass@host:10000/vhost",
    { user: "user", password: "pass", host: "host", port: 10000, vhost: "vhost" },
  ],
  [
    "amqp://user%61:%61pass@ho%61st:10000/v%2fhost",
    { user: "usera", password: "apass", host: "hoast", port: 10000, vhost: "v/host" },
  ],
  ["amqp://", {}],
  ["amqp://:@/", { user: "", password: "", vhost: "" }],
  ["amqp://user@", { user: "user" }],
  ["amqp://user:pass@", { user: "user", password: "pass" }],
  ["amqp://host", { host: "host" }],
  ["amqp://:10000", { port: 10000 }],
  ["amqp:///vhost", { vhost: "vhost" }],
  ["amqp://host/", { host: "host", vhost: "" }],
  ["amqp://host/%2f", { host: "host", vhost: "/" }],
  ["amqp://[::1]", { host: "::1" }],
  ["amqp://a:b:c@d@host", { user: "a", password: "b:c@d", host: "host" }],
  ["AMQPS://host", { host: "host", tls: true }],
  [
    "amqp://h?heartbeat=5&connection_timeout=10000&channel_max=7&frame_max=8192" +
      "&auth_mechanism=amqplain",
    {
      host: "h",
      heartbeatSeconds: 5,
      connectionTimeoutMs: 10000,
      channelMax: 7,
      frameMax: 8192,
      mechanism: "AMQPLAIN",
    },
  ],
  ["amqp://h?something_else=1", { host: "h" }],
];

for (const [uri, expected] of examples) {
  test(`reads ${uri}`, () => {
    assert.deepEqual(parseUri(uri), expected);
  });
}

const refused: [string, RegExp][] = [
  ["http://host", /not an AMQP URI/],
  ["host:5672", /not an AMQP URI/],
  ["amqp://host:port", /not an AMQP URI/],
  ["", /not an AMQP URI/],
  ["amqp://host/a/b", /one path segment/],
  ["amqp://host/%zz", /bad percent-encoding in the virtual host/],
  ["amqp://host?heartbeat=soon", /heartbeat in an AMQP URI is a whole number, not "soon"/],
  ["amqp://host?channel_max=-1", /channel_max/],
];

for (const [uri, message] of refused) {
  test(`refuses "${uri}"`, () => {
    assert.throws(() => parseUri(uri), { name: "TypeError", message });
  });
}
