/** Goal: nobody has more connections and channels open than allowed, and all are given back. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { givenBroker, outcomeOf } from "../../test/given-broker.ts";

const u = { name: "u", tags: [] };
const w = { name: "w", tags: [] };

describe("connections", () => {
  test("to a virtual host are limited, whoever they are of", async () => {
    const { broker, connect } = givenBroker();
    const first = connect("u");
    connect("w");
    const vhost = broker.vhost("/")!;
    await vhost.limits.set("max-connections", 2);
    const refused = (user: string): string =>
      `connection NOT_ALLOWED access to vhost '/' refused for user '${user}': ` +
      "connection limit (2) is reached";
    assert.equal(await outcomeOf(() => broker.openSession(u, "/")), refused("u"));
    const stranger = { name: "stranger", tags: [] };
    assert.equal(await outcomeOf(() => broker.openSession(stranger, "/")), refused("stranger"));
    await first.close();
    await first.close();
    assert.equal(await outcomeOf(() => broker.openSession(w, "/")), "ok");
    assert.equal(await outcomeOf(() => broker.openSession(w, "/")), refused("w"));
    await vhost.limits.set("max-connections", -1);
    assert.equal(await outcomeOf(() => broker.openSession(w, "/")), "ok");
    await vhost.limits.set("max-connections", 0);
    assert.match(await outcomeOf(() => broker.openSession(w, "/")), /limit \(0\) is reached/);
  });

  test("of a user are limited, wherever they go", async () => {
    const { broker, users, connect } = givenBroker();
    const first = connect("u");
    connect("w");
    await broker.createVhost("other");
    await users.setPermissions("u", "other", { configure: "", write: "", read: "" });
    await users.setLimit("u", "max-connections", 1);
    const refused =
      "connection NOT_ALLOWED connection refused for user 'u': user connection limit (1) is reached";
    assert.equal(await outcomeOf(() => broker.openSession(u, "other")), refused);
    assert.equal(await outcomeOf(() => broker.openSession(w, "/")), "ok");
    await first.close();
    assert.equal(await outcomeOf(() => broker.openSession(u, "other")), "ok");
    await users.clearLimit("u", "max-connections");
    assert.equal(await outcomeOf(() => broker.openSession(u, "/")), "ok");
  });

  test("that are refused for another reason do not count", async () => {
    const { broker, connect } = givenBroker();
    connect("u");
    await broker.vhost("/")!.limits.set("max-connections", 2);
    const stranger = { name: "stranger", tags: [] };
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.equal(
        await outcomeOf(() => broker.openSession(stranger, "/")),
        "connection NOT_ALLOWED access to vhost '/' refused for user 'stranger'",
      );
    }
    assert.equal(await outcomeOf(() => broker.openSession(u, "/")), "ok");
  });
});

describe("channels", () => {
  test("of a user are limited over all connections", async () => {
    const { users, connect } = givenBroker();
    const one = connect("u");
    const other = connect("u");
    one.openChannel(1);
    await users.setLimit("u", "max-channels", 2);
    other.openChannel(1);
    const refused =
      "connection NOT_ALLOWED number of channels opened for user 'u' has reached the maximum " +
      "allowed user limit of (2)";
    assert.equal(await outcomeOf(() => one.openChannel(1)), refused);
    connect("w").openChannel(1);
    other.closeChannel(1);
    one.openChannel(1);
    assert.equal(await outcomeOf(() => other.openChannel(1)), refused);
    await one.close();
    one.closeChannel(1);
    other.openChannel(1);
    other.openChannel(1);
    assert.equal(await outcomeOf(() => other.openChannel(1)), refused);
  });
});
