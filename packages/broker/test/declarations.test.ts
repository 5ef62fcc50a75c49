/**
 * Goal: every declaration, subscription and expiration is answered as RabbitMQ 3.10.8 answered it
 * when the tables under recorded/ were made: accepted, or refused with the very same text. Where we
 * answer otherwise on purpose, a test of its own says so.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { FieldTable, textField } from "@haremq/wire";
import type { Authorizer } from "../src/access/access.ts";
import { Presence } from "../src/access/presence.ts";
import { ChannelError } from "../src/errors.ts";
import { checkExpiration } from "../src/message/expiration.ts";
import { MessageStore } from "../src/message/message-store.ts";
import { fieldTypeName, fieldValueText } from "../src/vhost/field-text.ts";
import { type QueueDeclaration, Session } from "../src/vhost/session.ts";
import { VirtualHost } from "../src/vhost/virtual-host.ts";
import { consumerThat } from "./given-broker.ts";
import {
  type ArgumentAnswer,
  fieldFromLiteral,
  recordedArgumentAnswers,
  recordedRows,
  tableWith,
} from "./recorded-answers.ts";
import { streamsFor } from "./streams-for.ts";

const everythingAllowed: Authorizer = {
  epoch: 0,
  mayEnter: () => true,
  limitsOf: () => ({ maxConnections: undefined, maxChannels: undefined }),
  may: () => true,
  mayUseTopic: () => true,
};

const takenByAll = ["x-queue-leader-locator", "x-delivery-limit"];

test("new queues: every argument with every type of value", async () => {
  const answers = recordedArgumentAnswers("queue-arguments.tsv");
  assert.ok(answers.length > 1500);
  for (const answer of answers) {
    const { queueType, argument, literal } = answer;
    if (queueType === "classic" && takenByAll.includes(argument)) continue;
    const given = await refusal(() => declare(answer, queueType));
    assert.equal(given, answer.refusal, `${queueType} ${argument}=${literal}`);
  }
});

test("classic queues take some arguments that RabbitMQ has for quorum queues only", async () => {
  const answers = recordedArgumentAnswers("queue-arguments.tsv").filter(
    ({ queueType, argument }) => queueType === "quorum" && takenByAll.includes(argument),
  );
  assert.ok(answers.length > 20);
  for (const answer of answers) {
    assert.equal(await refusal(() => declare(answer, "classic")), answer.refusal, answer.literal);
  }
});

test("consumers: every argument with every type of value", async () => {
  const answers = recordedArgumentAnswers("consumer-arguments.tsv");
  assert.ok(answers.length > 200);
  for (const answer of answers) {
    const { queueType, argument, literal } = answer;
    if (argument === "x-cancel-on-ha-failover") continue;
    const given = await refusal(() => consume(answer, queueType));
    assert.equal(given, answer.refusal, `${queueType} ${argument}=${literal}`);
  }
});

test("consumers may pass any x-cancel-on-ha-failover, as in RabbitMQ 4", async () => {
  const answers = recordedArgumentAnswers("consumer-arguments.tsv").filter(
    ({ argument }) => argument === "x-cancel-on-ha-failover",
  );
  assert.ok(answers.length > 30);
  for (const answer of answers) {
    for (const queueType of ["classic", "quorum"] as const) {
      assert.equal(await refusal(() => consume(answer, queueType)), undefined, answer.literal);
    }
  }
});

test("redeclared queues: every value against every value", async () => {
  const rows = recordedRows("equivalence.tsv");
  const texts = new Map(rows.map(([literal, text]) => [literal!, decodeURIComponent(text!)]));
  const typed = (literal: string) => {
    const field = fieldFromLiteral(literal);
    if (field === undefined) return "none";
    return `the value '${texts.get(literal)}' of type '${fieldTypeName(field.type)}'`;
  };
  const plain = (literal: string) => (literal === "V:" ? "none" : `'${texts.get(literal)}'`);
  for (const [current, , same] of rows) {
    const equals = same!.split(" ");
    for (const received of texts.keys()) {
      const show = current === "-:" || received === "-:" ? typed : plain;
      const expected = equals.includes(received)
        ? undefined
        : "inequivalent arg 'x-queue-master-locator' for queue 'q' in vhost '/': received " +
          `${show(received)} but current is ${show(current!)}`;
      assert.equal(await refusal(() => redeclare(current!, received)), expected);
    }
  }
});

test("texts show every value as RabbitMQ does", () => {
  for (const [literal, text] of recordedRows("equivalence.tsv")) {
    const field = fieldFromLiteral(literal!);
    if (field !== undefined) assert.equal(fieldValueText(field), decodeURIComponent(text!));
  }
});

test("expirations: accepted, or refused with the reply text of RabbitMQ", async () => {
  for (const [expiration, reply] of recordedRows("expiration.tsv")) {
    const explanation = await refusal(async () => checkExpiration(JSON.parse(expiration!)));
    const expected = reply === "" ? undefined : JSON.parse(reply!);
    assert.equal(explanation === undefined ? undefined : replyText(explanation), expected);
  }
});

test("what goes with its connection never counts as durable", async () => {
  const session = openSession();
  await session.declareQueue({ ...declaration(), exclusive: true, durable: true });
  const queue = await session.declareQueue({ ...declaration(), exclusive: true });
  assert.equal(queue.durable, false);
});

test("reserved names are refused before arguments, even for the queue that has such a name", async () => {
  const session = openSession();
  const { name } = await session.declareQueue({ ...declaration(), name: "" });
  assert.match(name, /^amq\.gen-/);
  const args = FieldTable.from({ "x-dead-letter-exchange": 1 });
  await assert.rejects(session.declareQueue({ ...declaration(args), name }), {
    condition: "ACCESS_REFUSED",
    message: `queue name '${name}' contains reserved prefix 'amq.*'`,
  });
});

test("the name of the dead letter exchange is checked before the type of the queue", async () => {
  const args = FieldTable.from({ "x-queue-type": "zz", "x-dead-letter-exchange": 1 });
  assert.equal(
    await refusal(() => openSession().declareQueue(declaration(args))),
    "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
  );
});

test("a queue without a name must be of a type that can have one given", async () => {
  const args = FieldTable.from({ "x-queue-type": "quorum" });
  assert.equal(
    await refusal(() => openSession().declareQueue({ ...declaration(args), name: "" })),
    "Cannot declare a server-named queue for type rabbit_quorum_queue",
  );
});

async function declare({ argument, literal }: ArgumentAnswer, type: string): Promise<void> {
  const isOther = type === "quorum" || type === "stream";
  const args = tableWith({
    "x-queue-type": isOther ? textField(type) : undefined,
    [argument]: fieldFromLiteral(literal),
    ...(argument === "x-dead-letter-routing-key" && { "x-dead-letter-exchange": textField("dlx") }),
  });
  if (!isOther) {
    await openSession().declareQueue(declaration(args));
    return;
  }
  // As it was recorded: that this property is refused means that all arguments are good.
  const doomed = { ...declaration(args), durable: true, autoDelete: true };
  const given = await refusal(() => openSession().declareQueue(doomed));
  assert.notEqual(given, undefined);
  if (given === "invalid property 'auto-delete' for queue 'q' in vhost '/'") return;
  throw new ChannelError("PRECONDITION_FAILED", given!);
}

async function consume({ argument, literal }: ArgumentAnswer, type: string): Promise<void> {
  const session = openSession();
  const typed = tableWith({ "x-queue-type": textField(type) });
  await session.declareQueue({ ...declaration(typed), durable: true });
  const args = tableWith({ [argument]: fieldFromLiteral(literal) });
  session.queueToConsume("q", consumerThat({ arguments: args }));
}

async function redeclare(current: string, received: string): Promise<void> {
  const session = openSession();
  const argument = "x-queue-master-locator";
  for (const literal of [current, received]) {
    await session.declareQueue(declaration(tableWith({ [argument]: fieldFromLiteral(literal) })));
  }
}

function openSession(): Session {
  const messages = new MessageStore();
  const vhost = new VirtualHost({ name: "/", messages, streams: streamsFor(messages) });
  const user = { name: "u", tags: [] };
  const visit = new Presence(everythingAllowed).enter(user, vhost);
  return new Session(user, vhost, everythingAllowed, new SeededRandom(1), visit);
}

function declaration(args = new FieldTable()): QueueDeclaration {
  return { name: "q", durable: false, exclusive: false, autoDelete: false, arguments: args };
}

/** The explanation of the channel error that it throws, undefined if it throws nothing. */
async function refusal(action: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ChannelError && error.condition === "PRECONDITION_FAILED") {
      return error.message;
    }
    throw error;
  }
  return undefined;
}

/** The reply text on the wire, which has room for 255 octets. */
function replyText(explanation: string): string {
  const text = Buffer.from(`PRECONDITION_FAILED - ${explanation}`);
  return text.length > 255 ? `${text.subarray(0, 252)}...` : text.toString();
}
