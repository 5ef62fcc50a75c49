/** Goal: the log says which alternate exchange is missing, and cannot be filled by that. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { exchangeNamed, givenBroker } from "./given-broker.ts";

test("a missing alternate exchange is logged once, and many not all at once", async (t) => {
  const { broker, clock, connect } = givenBroker();
  const warned = t.mock.method(broker.log, "warn");
  const session = connect();
  const publishTo = async (name: string): Promise<void> => {
    const args = FieldTable.from({ "alternate-exchange": "ae" });
    const exchange = await session.declareExchange(exchangeNamed(name, { arguments: args }));
    for (const key of ["a", "b"]) session.vhost.topology.route(exchange, key);
  };
  await publishTo("x");
  await publishTo("x2");
  const text =
    "alternate exchange 'ae' of exchange 'x' in vhost '/' does not exist: " +
    "messages that match no binding are unroutable";
  assert.deepEqual(
    warned.mock.calls.map(({ arguments: [message] }) => message),
    [text],
  );
  clock.advance(1000);
  await publishTo("x3");
  assert.equal(warned.mock.callCount(), 2);
});
