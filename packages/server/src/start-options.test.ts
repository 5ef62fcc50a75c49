/** What embedders may pass to startBroker(), and what becomes of it. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "./config/config-error.ts";
import { resolveOptions } from "./start-options.ts";

describe("resolveOptions", () => {
  it("listens on loopback only, on RabbitMQ's port, when nothing is said", () => {
    assert.deepEqual(resolveOptions({}).config.listeners, [{ host: "127.0.0.1", port: 5672 }]);
  });

  it("refuses an option that it does not know", () => {
    const misspelt = { prot: 0 } as object;
    assert.throws(() => resolveOptions(misspelt), /startBroker has no option "prot"/);
  });

  it("takes port and host over listeners among the settings", () => {
    const settings = { "listeners.tcp.default": 7000 };
    assert.deepEqual(resolveOptions({ settings }).config.listeners, [
      { host: undefined, port: 7000 },
    ]);
    assert.deepEqual(resolveOptions({ settings, port: 0 }).config.listeners, [
      { host: "127.0.0.1", port: 0 },
    ]);
    assert.deepEqual(resolveOptions({ settings, host: "::1" }).config.listeners, [
      { host: "::1", port: 5672 },
    ]);
  });

  it("reads settings of every plain type", () => {
    const settings = { heartbeat: 30, loopback_users: "none", "log.console": false };
    const { config } = resolveOptions({ settings });
    assert.equal(config.connection.heartbeatSeconds, 30);
    assert.deepEqual(config.access.loopbackUsers, []);
    assert.equal(config.log.console, false);
  });

  it("refuses a port that is none, an unknown setting, and a config beside options", () => {
    for (const port of [-1, 65536, 1.5, Number.NaN]) {
      assert.throws(() => resolveOptions({ port }), ConfigError);
    }
    assert.throws(() => resolveOptions({ settings: { heartbeet: 1 } }), ConfigError);
    const { config } = resolveOptions({});
    assert.equal(resolveOptions({ config }).config, config);
    assert.throws(() => resolveOptions({ config, port: 1 }), ConfigError);
  });
});
