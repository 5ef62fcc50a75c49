/** Goal: whoever is bound to an x-recent-history exchange gets its last messages, oldest first. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeProperties, FieldTable, type FieldValue, WireWriter } from "@haremq/wire";
import {
  bindingFrom,
  exchangeNamed,
  givenBroker,
  outcomeOf,
  queueNamed,
} from "../../test/given-broker.ts";
import type { Broker } from "../broker.ts";
import { encodeBlindCopies } from "../message/blind-copies.ts";
import { propertiesOf } from "../message/message-address.ts";
import { MessageView } from "../message/message-view.ts";
import { distribute } from "../queue/distribute.ts";
import type { Session } from "../vhost/session.ts";
import { exchangeContract } from "./exchange.contract.ts";
import { recentHistoryType } from "./recent-history.ts";

exchangeContract({
  type: recentHistoryType,
  binding: { routingKey: "", arguments: new FieldTable() },
  matching: { routingKey: "any" },
});

const history = { type: "x-recent-history" };

function lengthOf(length: number): FieldTable {
  return FieldTable.from({ "x-recent-history-length": length });
}

async function given(exchange: Parameters<typeof exchangeNamed>[1] = history) {
  const { broker, connect } = givenBroker();
  const session = connect();
  await session.declareExchange(exchangeNamed("x", exchange));
  const publish = (body: string, headers?: Record<string, unknown>, routingKey = "k"): boolean =>
    publishTo(broker, body, headers, routingKey);
  /** Declares a queue, binds it, and takes out what it gets by that. */
  const bind = async (queue: string, routingKey = ""): Promise<string[]> => {
    await session.declareQueue(queueNamed(queue));
    await session.bind(bindingFrom("x", "queue", queue, { routingKey }));
    return taken(session, queue);
  };
  return { broker, session, publish, bind };
}

/** False if the message went nowhere. */
function publishTo(
  broker: Broker,
  body: string,
  headers: Record<string, unknown> | undefined,
  routingKey: string,
): boolean {
  return pass(broker, messageTo(body, headers, routingKey), [routingKey]);
}

function pass(broker: Broker, view: MessageView, routingKeys: readonly string[]): boolean {
  const { topology } = broker.vhost("/")!;
  const { headers } = propertiesOf(view);
  const passage = topology.pass(topology.exchange("x")!, { routingKeys, headers, view });
  distribute(broker.messages, passage.queues, view, "disk", undefined, passage.keepers);
  return passage.isRouted;
}

function messageTo(
  body: string,
  headers: Record<string, unknown> | undefined,
  routingKey: string,
): MessageView {
  const view = new MessageView();
  const writer = new WireWriter();
  writer.shortString("x");
  writer.shortString(routingKey);
  view.address = writer.take();
  view.addressLength = view.address.length;
  encodeProperties(writer, headers === undefined ? {} : { headers: FieldTable.from(headers) });
  view.properties = writer.take();
  view.propertiesLength = view.properties.length;
  view.body = Buffer.from(body);
  view.bodyLength = view.body.length;
  return view;
}

function taken(session: Session, name: string): string[] {
  const queue = session.vhost.queue(name)!;
  const bodies: string[] = [];
  const view = new MessageView();
  while (queue.get(true, view) !== undefined) {
    const { body, bodyStart, bodyLength } = view;
    bodies.push(body.toString("utf8", bodyStart, bodyStart + bodyLength));
  }
  return bodies;
}

test("a new queue gets the last messages, once, and then what comes", async () => {
  const { session, publish, bind } = await given({ ...history, arguments: lengthOf(3) });
  for (const body of ["1", "2", "3", "4", "5"]) assert.equal(publish(body), false);
  assert.deepEqual(await bind("q"), ["3", "4", "5"]);
  assert.equal(publish("6"), true);
  assert.deepEqual(taken(session, "q"), ["6"]);
  await session.bind(bindingFrom("x", "queue", "q"));
  assert.deepEqual(taken(session, "q"), [], "it was bound like that before");
  assert.deepEqual(await bind("q", "another key"), ["4", "5", "6"]);
  assert.deepEqual(await bind("late"), ["4", "5", "6"]);
});

test("20 messages are remembered unless something else is asked for", async () => {
  const { publish, bind } = await given();
  const bodies = Array.from({ length: 30 }, (_, index) => `${index}`);
  for (const body of bodies) publish(body);
  assert.deepEqual(await bind("q"), bodies.slice(-20));
});

test("what is not to be remembered is not, and is routed all the same", async () => {
  const { session, publish, bind } = await given();
  await bind("first");
  publish("kept");
  publish("secret", { "x-recent-history-no-store": true });
  publish("kept too", { "x-recent-history-no-store": false });
  publish("a word is no truth", { "x-recent-history-no-store": "true" });
  assert.deepEqual(taken(session, "first"), ["kept", "secret", "kept too", "a word is no truth"]);
  assert.deepEqual(await bind("second"), ["kept", "kept too", "a word is no truth"]);
});

test("an exchange that is bound gets it by the messages' own keys", async () => {
  const { session, publish } = await given();
  publish("a", undefined, "key.a");
  publish("b", undefined, "key.b");
  publish("c", { CC: ["key.a"] }, "key.c");
  await session.declareExchange(exchangeNamed("to", { type: "topic" }));
  await session.declareQueue(queueNamed("q"));
  await session.bind(bindingFrom("to", "queue", "q", { routingKey: "key.a" }));
  await session.bind(bindingFrom("x", "exchange", "to"));
  assert.deepEqual(taken(session, "q"), ["a", "c"]);
});

test("an exchange that is bound gets it by keys of CC and BCC, too", async () => {
  const { broker, session } = await given();
  const view = messageTo("copied", { CC: ["open"] }, "k");
  view.blindCopies = encodeBlindCopies(["blind"]);
  pass(broker, view, ["k", "open", "blind"]);
  await session.declareExchange(exchangeNamed("to"));
  for (const key of ["k", "open", "blind"]) {
    await session.declareQueue(queueNamed(key));
    await session.bind(bindingFrom("to", "queue", key, { routingKey: key }));
  }
  await session.bind(bindingFrom("x", "exchange", "to"));
  for (const key of ["k", "open", "blind"]) assert.deepEqual(taken(session, key), ["copied"]);
});

test("a loop of exchanges remembers what it is given and comes to an end", async () => {
  const { session, publish, bind } = await given({ ...history, arguments: lengthOf(2) });
  publish("1");
  publish("2");
  await session.bind(bindingFrom("x", "exchange", "x"));
  assert.deepEqual(await bind("q"), ["1", "2"]);
});

test("with the exchange goes what it remembers", async () => {
  const { broker, session, publish, bind } = await given({ ...history, arguments: lengthOf(5) });
  for (let message = 0; message < 9; message++) publish(`${message}`);
  assert.equal(broker.messages.liveMessages, 5);
  assert.equal((await bind("q")).length, 5);
  assert.equal(broker.messages.liveMessages, 5);
  await session.deleteExchange("x", false);
  assert.equal(broker.messages.liveMessages, 0);
  await session.declareExchange(exchangeNamed("x", history));
  assert.deepEqual(await bind("q"), []);
});

describe("the length that is remembered", () => {
  async function outcome(value: FieldValue): Promise<string> {
    const session = givenBroker().connect();
    const args = new FieldTable([{ name: "x-recent-history-length", value }]);
    return outcomeOf(() =>
      session.declareExchange(exchangeNamed("x", { ...history, arguments: args })),
    );
  }

  for (const type of ["b", "s", "I", "l"] as const) {
    test(`may be an integer of type ${type}`, async () => {
      assert.equal(await outcome({ type, value: 5 }), "ok");
    });
  }

  const refused: [FieldValue, string][] = [
    [{ type: "I", value: 0 }, "0"],
    [{ type: "l", value: -5 }, "-5"],
    [{ type: "u", value: 5 }, "5"],
    [{ type: "d", value: 5 }, "5.0"],
    [{ type: "t", value: true }, "true"],
    [{ type: "S", value: Buffer.from("5") }, '<<"5">>'],
  ];
  for (const [value, shown] of refused) {
    test(`may not be ${shown} of type ${value.type}`, async () => {
      assert.equal(
        await outcome(value),
        `channel PRECONDITION_FAILED Invalid argument ${shown}, 'x-recent-history-length' must ` +
          "be a positive integer",
      );
    });
  }
});
