/**
 * Goal: the permission matrix, row by row. Each verb is allowed to a user who has the permissions
 * of its row and no others, and refused with RabbitMQ's text to one who lacks one of them and has
 * all others. The users and their patterns are those of the internal database.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FieldTable } from "@haremq/wire";
import {
  allPermissions,
  bindingFrom,
  consumerThat,
  declaredIn,
  exchangeNamed,
  givenBroker,
  outcomeOf,
  queueNamed,
} from "../../test/given-broker.ts";
import type { Permission } from "../access/access.ts";
import type { Session } from "./session.ts";

/** "write exchange x": the permission, and what it is asked for. */
type Need = `${Permission} ${"exchange" | "queue"} ${string}`;

interface Row {
  readonly verb: string;
  readonly run: (session: Session) => unknown;
  /** In the order in which they are asked. */
  readonly needs: readonly Need[];
}

const alternate = { arguments: FieldTable.from({ "alternate-exchange": "ae" }) };
const deadLetters = { arguments: FieldTable.from({ "x-dead-letter-exchange": "dlx" }) };

/** The exchanges x and y, and the queue q, exist; everything else does not. */
const matrix: readonly Row[] = [
  {
    verb: "declaring a new exchange",
    run: (session) => session.declareExchange(exchangeNamed("new")),
    needs: ["configure exchange new"],
  },
  {
    verb: "declaring an exchange again",
    run: (session) => session.declareExchange(exchangeNamed("x")),
    needs: ["configure exchange x"],
  },
  {
    verb: "declaring a new exchange with an alternate one",
    run: (session) => session.declareExchange(exchangeNamed("new", alternate)),
    needs: ["configure exchange new", "read exchange new", "write exchange ae"],
  },
  {
    verb: "asking for an exchange",
    run: (session) => session.checkExchange("x"),
    needs: [],
  },
  {
    verb: "deleting an exchange",
    run: (session) => session.deleteExchange("x", false),
    needs: ["configure exchange x"],
  },
  {
    verb: "deleting an exchange that does not exist",
    run: (session) => session.deleteExchange("absent", false),
    needs: ["configure exchange absent"],
  },
  {
    verb: "declaring a new queue",
    run: (session) => session.declareQueue(queueNamed("new")),
    needs: ["configure queue new"],
  },
  {
    verb: "declaring a queue again",
    run: (session) => session.declareQueue(queueNamed("q")),
    needs: ["configure queue q"],
  },
  {
    verb: "declaring a new queue with a dead letter exchange",
    run: (session) => session.declareQueue(queueNamed("new", deadLetters)),
    needs: ["configure queue new", "read queue new", "write exchange dlx"],
  },
  {
    verb: "asking for a queue",
    run: (session) => session.checkQueue("q"),
    needs: [],
  },
  {
    verb: "deleting a queue",
    run: (session) => session.deleteQueue("q", false, false),
    needs: ["configure queue q"],
  },
  {
    verb: "deleting a queue that does not exist",
    run: (session) => session.deleteQueue("absent", false, false),
    needs: ["configure queue absent"],
  },
  {
    verb: "binding a queue",
    run: (session) => session.bind(bindingFrom("x", "queue", "q")),
    needs: ["write queue q", "read exchange x"],
  },
  {
    verb: "unbinding a queue",
    run: (session) => session.unbind(bindingFrom("x", "queue", "q")),
    needs: ["write queue q", "read exchange x"],
  },
  {
    verb: "binding an exchange",
    run: (session) => session.bind(bindingFrom("x", "exchange", "y")),
    needs: ["write exchange y", "read exchange x"],
  },
  {
    verb: "unbinding an exchange",
    run: (session) => session.unbind(bindingFrom("x", "exchange", "y")),
    needs: ["write exchange y", "read exchange x"],
  },
  {
    verb: "binding what does not exist",
    run: (session) =>
      outcomeOf(() => session.bind(bindingFrom("gone", "queue", "lost"))).then(fail),
    needs: ["write queue lost", "read exchange gone"],
  },
  {
    verb: "publishing",
    run: (session) => session.exchangeToPublish("x"),
    needs: ["write exchange x"],
  },
  {
    verb: "publishing to the default exchange",
    run: (session) => session.exchangeToPublish(""),
    needs: ["write exchange amq.default"],
  },
  {
    verb: "consuming",
    run: (session) => session.queueToConsume("q", consumerThat()),
    needs: ["read queue q"],
  },
  {
    verb: "getting",
    run: (session) => session.queueToGet("q"),
    needs: ["read queue q"],
  },
  {
    verb: "purging",
    run: (session) => session.purgeQueue("q"),
    needs: ["read queue q"],
  },
];

/** What is refused for another reason than permissions counts as allowed here. */
function fail(outcome: string): void {
  if (outcome.includes("ACCESS_REFUSED")) throw new Error(outcome);
}

async function givenTopology() {
  const given = givenBroker();
  const owner = given.connect("owner");
  await owner.declareExchange(exchangeNamed("x"));
  await owner.declareExchange(exchangeNamed("y"));
  await owner.declareQueue(queueNamed("q"));
  return given;
}

function exactly(name: string): string {
  return `^${name.replaceAll(".", "\\.")}$`;
}

/** Patterns that grant exactly these, and nothing else. */
function only(needs: readonly Need[]): Record<Permission, string> {
  const names = (permission: Permission): string =>
    needs
      .filter((need) => need.startsWith(permission))
      .map((need) => exactly(need.split(" ")[2]!))
      .join("|");
  return { configure: names("configure"), write: names("write"), read: names("read") };
}

/** Patterns that grant everything but this. */
function allBut(need: Need): Record<Permission, string> {
  const [permission, , name] = need.split(" ");
  return { ...allPermissions, [permission!]: `^(?!${exactly(name!).slice(1)})` };
}

function refusalText(need: Need): string {
  const [permission, kind, name] = need.split(" ");
  return (
    `channel ACCESS_REFUSED ${permission} access to ${kind} '${name}' in vhost '/' ` +
    "refused for user 'u'"
  );
}

/** Every name and type, so that a refused verb is seen to have changed nothing. */
function snapshot(session: Session): string {
  const { topology } = session.vhost;
  const bindings = [...topology.exchanges()].flatMap((exchange) => [
    ...topology.bindingsFrom(exchange),
  ]);
  return JSON.stringify([declaredIn(session), bindings.length]);
}

for (const { verb, run, needs } of matrix) {
  describe(`${verb} needs ${needs.length === 0 ? "no permission" : needs.join(", ")}`, () => {
    test("and nothing else", async () => {
      const { connect } = await givenTopology();
      const session = connect("u", only(needs));
      await run(session);
    });

    for (const need of needs) {
      test(`refused without ${need}`, async () => {
        const { connect } = await givenTopology();
        const session = connect("u", allBut(need));
        const before = snapshot(session);
        // A verb that looks at its own outcome throws what it finds.
        const outcome = await outcomeOf(() => run(session)).catch((error: Error) => error.message);
        assert.equal(outcome, refusalText(need));
        assert.equal(snapshot(session), before);
      });
    }
  });
}

test("what is missing is named in the order in which it is asked", async () => {
  for (const { verb, run, needs } of matrix) {
    if (needs.length === 0) continue;
    const { connect } = await givenTopology();
    const session = connect("u", { configure: "", write: "", read: "" });
    const outcome = await outcomeOf(() => run(session)).catch((error: Error) => error.message);
    assert.equal(outcome, refusalText(needs[0]!), verb);
  }
});

test("a queue that the broker names is checked by the name it gets", async () => {
  const { connect } = givenBroker();
  const refused = connect("u", { ...allPermissions, configure: "^(?!amq\\.gen-)" });
  assert.match(
    await outcomeOf(() => refused.declareQueue(queueNamed(""))),
    /^channel ACCESS_REFUSED configure access to queue 'amq\.gen-[\w-]{22}' in vhost '\/' refused/,
  );
  const allowed = connect("u", { configure: "^amq\\.gen-[\\w-]{22}$", write: "", read: "" });
  await allowed.declareQueue(queueNamed(""));
});

test("an alternate exchange that exists already asks for no more permissions", async () => {
  const { connect } = givenBroker();
  const declaration = exchangeNamed("x", alternate);
  await connect("owner").declareExchange(declaration);
  const session = connect("u", { configure: "^x$", write: "", read: "" });
  assert.equal((await session.declareExchange(declaration)).alternateExchange, "ae");
});

test("the right to use one virtual host is none to use another", async () => {
  const { broker, users, connect } = givenBroker();
  broker.createVhost("v");
  connect();
  await users.setPermissions("u", "v", { configure: "", write: "", read: "" });
  const session = broker.openSession({ name: "u", tags: [] }, "v");
  assert.equal(
    await outcomeOf(() => session.declareQueue(queueNamed("q"))),
    "channel ACCESS_REFUSED configure access to queue 'q' in vhost 'v' refused for user 'u'",
  );
});

test("permissions that change count at once, and the session's epoch tells", async () => {
  const { users, connect } = await givenTopology();
  const session = connect();
  session.exchangeToPublish("x");
  const epoch = session.accessEpoch;
  await users.setPermissions("u", "/", { ...allPermissions, write: "" });
  assert.ok(session.accessEpoch > epoch);
  assert.equal(
    await outcomeOf(() => session.exchangeToPublish("x")),
    refusalText("write exchange x"),
  );
});

describe("topic permissions", () => {
  const refused =
    "channel ACCESS_REFUSED access to topic 'no.1' in exchange 't' in vhost '/' " +
    "refused for user 'u'";

  /** Lets a topic exchange be used with keys that begin with "ok" only, and notes the questions. */
  async function givenTopicRules() {
    const { broker, users, connect } = givenBroker();
    const asked: string[] = [];
    const known = { name: "u", tags: [] };
    connect();
    users.mayUseTopic = ((...question: unknown[]) => {
      const [user, permission, vhost, exchange, routingKey] = question;
      assert.equal((user as { name: string }).name, "u");
      asked.push([permission, vhost, exchange, routingKey].join(" "));
      return String(routingKey).startsWith("ok");
    }) as typeof users.mayUseTopic;
    const session = broker.openSession(known, "/");
    await session.declareExchange(exchangeNamed("t", { type: "topic" }));
    await session.declareExchange(exchangeNamed("d"));
    await session.declareQueue(queueNamed("q"));
    return { session, asked };
  }

  test("are asked for when binding to a topic exchange, and for no other type", async () => {
    const { session, asked } = await givenTopicRules();
    const bind = (source: string, routingKey: string): Promise<string> =>
      outcomeOf(() => session.bind(bindingFrom(source, "queue", "q", { routingKey })));
    assert.equal(await bind("t", "ok.1"), "ok");
    assert.equal(await bind("t", "no.1"), refused);
    assert.equal(await bind("d", "no.1"), "ok");
    assert.deepEqual(asked, ["read / t ok.1", "read / t no.1"]);
  });

  test("are asked for when unbinding as well", async () => {
    const { session } = await givenTopicRules();
    const unbind = bindingFrom("t", "queue", "q", { routingKey: "no.1" });
    assert.equal(await outcomeOf(() => session.unbind(unbind)), refused);
  });

  test("are asked for when publishing, where the publish path asks", async () => {
    const { session, asked } = await givenTopicRules();
    const write = (exchange: string, routingKey: string): Promise<string> =>
      outcomeOf(() => session.checkTopicWrite(session.exchangeToPublish(exchange), routingKey));
    assert.equal(await write("t", "ok"), "ok");
    assert.equal(await write("t", "no.1"), refused);
    assert.equal(await write("d", "no.1"), "ok");
    assert.deepEqual(asked, ["write / t ok", "write / t no.1"]);
  });
});
