/**
 * Goal: defaults are RabbitMQ's, options beside a URI win, and nonsense is refused before a socket
 * is opened.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FieldTable, WireReader } from "@haremq/wire";
import { resolveOptions } from "./connect-settings.ts";
import { clientVersion } from "./handshake.ts";
import { saslResponse } from "./sasl.ts";

test("the defaults are those of RabbitMQ's own clients", () => {
  const { host, port, user, password, vhost, mechanism, heartbeatSeconds, tls } = resolveOptions(
    {},
  );
  assert.deepEqual(
    { host, port, user, password, vhost, mechanism, heartbeatSeconds, tls },
    {
      host: "localhost",
      port: 5672,
      user: "guest",
      password: "guest",
      vhost: "/",
      mechanism: "PLAIN",
      heartbeatSeconds: undefined,
      tls: undefined,
    },
  );
});

test("options beside a URI win, and TLS moves the default port", () => {
  const settings = resolveOptions("amqps://u:p@h/v?heartbeat=7", {
    password: "q",
    heartbeatSeconds: 0,
  });
  const { host, port, user, password, vhost, heartbeatSeconds, tls } = settings;
  assert.deepEqual(
    { host, port, user, password, vhost, heartbeatSeconds, tls },
    { host: "h", port: 5671, user: "u", password: "q", vhost: "v", heartbeatSeconds: 0, tls: {} },
  );
});

for (const options of [
  { port: 0 },
  { port: 65_536 },
  { heartbeatSeconds: -1 },
  { heartbeatSeconds: 1.5 },
  { frameMax: 4095 },
  { channelMax: 65_536 },
  { connectionTimeoutMs: 0 },
  { writeHighWaterBytes: Number.NaN },
  { mechanism: "GSSAPI" as "PLAIN" },
]) {
  test(`refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => resolveOptions(options), { name: "RangeError" });
  });
}

test("SASL responses are as RabbitMQ reads them", () => {
  assert.deepEqual(saslResponse("PLAIN", "ü", "p"), Buffer.from("\0ü\0p"));
  const login = saslResponse("AMQPLAIN", "u", "p");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(login.length);
  const table = new WireReader(Buffer.concat([length, login])).table();
  assert.deepEqual(table, FieldTable.from({ LOGIN: "u", PASSWORD: "p" }));
});

test("the version brokers are told is the package's", () => {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  assert.equal(clientVersion, JSON.parse(manifest).version);
});
