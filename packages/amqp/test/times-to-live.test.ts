// Goal: a message lives as long as it is to, from when it has come.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { drain, publish } from "./messages.ts";
import { roundTrip, withBroker } from "./virtual-broker.ts";

test("a message that comes after a long silence lives as long as any other", () =>
  withBroker(async (broker) => {
    const connection = await broker.open();
    const args = FieldTable.from({ "x-message-ttl": 1000 });
    connection.send(1, "queue.declare", { queue: "q", arguments: args });
    await roundTrip(connection);
    broker.clock.advance(3_600_000);
    publish(connection, "q", "1");
    publish(connection, "q", "2", { properties: { expiration: "500" } });
    await roundTrip(connection);
    broker.clock.advance(999);
    assert.deepEqual(await drain(connection, "q"), ["1"]);
    publish(connection, "q", "3");
    await roundTrip(connection);
    broker.clock.advance(1000);
    assert.deepEqual(await drain(connection, "q"), []);
  }));
