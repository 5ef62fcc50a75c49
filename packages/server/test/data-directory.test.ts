/**
 * Goal: one broker at a time uses a data directory, whatever became of the one before; users and
 * what they may do outlive it, and the configured default user is made once.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { connect } from "@haremq/client";
import { startBroker } from "haremq";
import { DurableBroker, scratchFolder } from "./durable-broker.ts";

const anything = { configure: ".*", write: ".*", read: ".*" };

describe("a data directory", () => {
  it("belongs to one broker, until that has stopped", async (t) => {
    const broker = await DurableBroker.start(t);
    const { directory: dataDirectory } = broker;
    const version = readFileSync(join(dataDirectory, "haremq.json"), "utf8");
    assert.match(version, /^\{"format":1,"nodeId":"[0-9a-f]{32}"\}\n$/);
    await assert.rejects(startBroker({ port: 0, dataDirectory }), {
      name: "DataDirectoryError",
      problem: "locked",
      message: /is in use by this very process\. Stop it first, or choose another directory\.$/,
    });
    await broker.onChannel((channel) => channel.queueDeclare("q"));
    await broker.stop();
    assert.equal(existsSync(join(dataDirectory, "lock")), false);
    await broker.start();
    assert.equal(readFileSync(join(dataDirectory, "haremq.json"), "utf8"), version);
  });

  it("is free again when starting has failed half way", async (t) => {
    const dataDirectory = scratchFolder(t);
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    t.after(() => taken.close());
    const { port } = taken.address() as { port: number };
    await assert.rejects(startBroker({ port, dataDirectory }), { code: "EADDRINUSE" });
    assert.equal(existsSync(join(dataDirectory, "lock")), false, "after the listener");

    const broker = await startBroker({ port: 0, dataDirectory });
    await broker.stop();
    writeFileSync(join(dataDirectory, "metadata", "metadata.mdb"), "no metadata");
    await assert.rejects(startBroker({ port: 0, dataDirectory }), { code: "damaged" });
    assert.equal(existsSync(join(dataDirectory, "lock")), false, "after the metadata");
  });

  it("is refused when it is something else", async (t) => {
    const dataDirectory = scratchFolder(t);
    writeFileSync(join(dataDirectory, "thesis.tex"), "");
    await assert.rejects(startBroker({ port: 0, dataDirectory }), { problem: "foreign" });
  });
});

describe("a restart, of users", () => {
  it("keeps users, passwords and permissions", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.running.users.addUser("alice", "s3cret", ["monitoring"]);
    await broker.running.users.setPermissions("alice", "/", { ...anything, configure: "^a" });
    await broker.restart();
    const url = `amqp://alice:s3cret@127.0.0.1:${broker.running.port}`;
    const connection = await connect(url);
    t.after(() => connection.close());
    const channel = await connection.openChannel();
    await channel.queueDeclare("a");
    await assert.rejects(channel.queueDeclare("b"), { replyCode: 403 });
  });

  it("makes the default user and virtual host once, in the life of the directory", async (t) => {
    const broker = await DurableBroker.start(t);
    const { users } = broker.running;
    await users.addUser("admin", "a", []);
    await users.setPermissions("admin", "/", anything);
    await users.deleteUser("guest");
    await broker.restart({ default_vhost: "later", default_user: "late" });
    const { port } = broker.running;
    for (const name of ["guest:guest", "late:guest"]) {
      await assert.rejects(connect(`amqp://${name}@127.0.0.1:${port}`), { replyCode: 403 });
    }
    assert.equal(broker.running.broker.vhost("later"), undefined);
    await (await connect(`amqp://admin:a@127.0.0.1:${port}`)).close();
  });
});
