/** Goal: objects obey the policies that apply to them, at once, and after a restart. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MemoryMetadataStore, type MetadataStore } from "@haremq/store";
import { FieldTable } from "@haremq/wire";
import { streamsFor } from "../../test/streams-for.ts";
import { MessageStore } from "../message/message-store.ts";
import { ParameterError } from "../parameter/parameter-error.ts";
import type { Queue } from "../queue/queue.ts";
import { TopologyJournal } from "../vhost/topology-journal.ts";
import { VirtualHost } from "../vhost/virtual-host.ts";
import { noPolicy } from "./effective-policy.ts";

function givenVhost(name = "v", journal?: TopologyJournal): VirtualHost {
  const messages = new MessageStore();
  return new VirtualHost({ name, messages, streams: streamsFor(messages), journal });
}

/** A virtual host as a restart finds it. */
async function reopened(store: MetadataStore): Promise<VirtualHost> {
  const journal = await TopologyJournal.open(store);
  const vhost = givenVhost("v", journal);
  for (const exchange of journal.exchanges()) vhost.restoreExchange(exchange);
  for (const queue of journal.queues()) vhost.restoreQueue(queue);
  return vhost;
}

function queueOf(vhost: VirtualHost, name: string, args: object = {}): Promise<Queue> {
  return vhost.createQueue({
    ...{ name, durable: true, exclusiveOwner: null, autoDelete: false },
    arguments: FieldTable.from(args as Record<string, unknown>),
  });
}

function shown({ policy }: { policy: Queue["policy"] }): unknown {
  return [policy.name, policy.operatorName, policy.toDefinition()];
}

describe("a policy", () => {
  test("is obeyed by what is there, until it is cleared", async () => {
    const vhost = givenVhost();
    const queue = await queueOf(vhost, "q1");
    const other = await queueOf(vhost, "other");
    assert.equal(
      await vhost.policies.set("p", { pattern: "^q", definition: { expires: 5 } }),
      true,
    );
    assert.deepEqual(shown(queue), ["p", undefined, { expires: 5 }]);
    assert.equal(other.policy, noPolicy);
    const changed = { pattern: "^o", definition: { expires: 6 } };
    assert.equal(await vhost.policies.set("p", changed), false);
    assert.equal(queue.policy, noPolicy);
    assert.deepEqual(shown(other), ["p", undefined, { expires: 6 }]);
    assert.equal(await vhost.policies.clear("p"), true);
    assert.equal(other.policy, noPolicy);
    assert.equal(await vhost.policies.clear("p"), false);
  });

  test("is obeyed by what comes", async () => {
    const vhost = givenVhost();
    await vhost.policies.set("p", { pattern: ".*", definition: { expires: 5 }, applyTo: "queues" });
    assert.deepEqual(shown(await queueOf(vhost, "q")), ["p", undefined, { expires: 5 }]);
    const stream = await queueOf(vhost, "s", { "x-queue-type": "stream" });
    assert.equal(stream.policy, noPolicy, "streams do not expire");
  });

  test("applies to every exchange, and has those it names alternates route to them", async () => {
    const vhost = givenVhost();
    const definition = { "alternate-exchange": "amq.fanout" };
    await vhost.policies.set("p", { pattern: "^$|^amq\\.direct$", definition });
    const queue = await queueOf(vhost, "q");
    await vhost.bind(vhost.exchange("amq.fanout")!, queue, "", new FieldTable());
    assert.equal(vhost.exchange("")!.policy.name, "p");
    const { topology } = vhost;
    assert.deepEqual(topology.route(vhost.exchange("amq.direct")!, "k").queues, [queue]);
    assert.deepEqual(topology.route(vhost.exchange("")!, "k").queues, [], "it has no alternate");
    await vhost.policies.clear("p");
    assert.deepEqual(topology.route(vhost.exchange("amq.direct")!, "k").queues, []);
  });

  test("of the highest priority applies alone, of equals the first by name", async () => {
    const vhost = givenVhost();
    const queue = await queueOf(vhost, "q");
    await vhost.policies.set("b", { pattern: "q", definition: { "max-length": 1 }, priority: 1 });
    await vhost.policies.set("c", { pattern: "q", definition: { expires: 2 }, priority: 1 });
    assert.deepEqual(shown(queue), ["b", undefined, { "max-length": 1 }]);
    await vhost.policies.set("a", { pattern: "q", definition: { expires: 3 }, priority: 1 });
    assert.equal(queue.policy.name, "a");
    await vhost.policies.set("z", { pattern: "q", definition: { expires: 4 }, priority: 1.5 });
    assert.equal(queue.policy.name, "z");
    await vhost.policies.set("zz", { pattern: "q", definition: { "max-age": "1h" }, priority: 9 });
    assert.equal(queue.policy.name, "z", "the other does not apply to such queues");
    await vhost.policies.clear("z");
    assert.equal(queue.policy.name, "a");
  });

  test("of an operator is merged with that of a user", async () => {
    const vhost = givenVhost();
    const queue = await queueOf(vhost, "q");
    const quorum = await queueOf(vhost, "qq", { "x-queue-type": "quorum" });
    const limits = { "max-length": 5, "max-length-bytes": 7, overflow: "drop-head" };
    await vhost.policies.set("u", { pattern: "q", definition: { ...limits, "message-ttl": 5 } });
    const operators = { "max-length": 7, "max-length-bytes": 5, overflow: "reject-publish" };
    await vhost.operatorPolicies.set("o", {
      pattern: "q",
      definition: { ...operators, expires: 9 },
    });
    const merged = [
      ["expires", 9],
      ["max-length", 5],
      ["max-length-bytes", 5],
      ["message-ttl", 5],
      ["overflow", "reject-publish"],
    ];
    assert.deepEqual(Object.entries(queue.policy.toDefinition()), merged);
    assert.deepEqual([queue.policy.name, queue.policy.operatorName], ["u", "o"]);
    await vhost.policies.clear("u");
    assert.deepEqual(shown(queue), [undefined, "o", { ...operators, expires: 9 }]);
    await vhost.operatorPolicies.clear("o");

    const both = async (user: object, operator: object): Promise<unknown> => {
      await vhost.policies.set("u", { pattern: "q", definition: user });
      await vhost.operatorPolicies.set("o", { pattern: "q", definition: operator });
      return quorum.policy.toDefinition();
    };
    const limit = (count: number): object => ({ "delivery-limit": count });
    assert.deepEqual(await both(limit(5), limit(8)), limit(5));
    assert.deepEqual(await both(limit(-1), limit(8)), limit(8), "a negative limit is none");
    assert.deepEqual(await both(limit(5), limit(-1)), limit(5));
    const group = (size: number): object => ({ "target-group-size": size });
    assert.deepEqual(await both(group(5), group(8)), group(8));
    assert.deepEqual(await both(group(8), group(5)), group(8));
  });

  test("is given once to all that the same policies apply to, and again only if they change", async () => {
    const vhost = givenVhost();
    const [one, other] = [await queueOf(vhost, "q1"), await queueOf(vhost, "q2")];
    await vhost.policies.set("p", { pattern: "q", definition: { expires: 5 }, priority: 1 });
    assert.equal(one.policy, other.policy);
    const before = one.policy;
    await vhost.policies.set("lower", { pattern: "q", definition: { expires: 6 } });
    assert.equal(one.policy, before);
  });

  test("that is refused changes nothing", async () => {
    const vhost = givenVhost();
    const refused = vhost.policies.set("p", { pattern: "(", definition: { expires: 5 } });
    await assert.rejects(refused, ParameterError);
    const keyForUsers = { "dead-letter-exchange": "x" };
    const operators = vhost.operatorPolicies.set("p", { pattern: "", definition: keyForUsers });
    await assert.rejects(operators, /are not recognised policy settings/);
    assert.deepEqual(vhost.policies.list(), []);
    assert.deepEqual(vhost.operatorPolicies.list(), []);
  });
});

describe("with a store", () => {
  test("policies and who obeys them survive a restart", async () => {
    const store = new MemoryMetadataStore();
    const vhost = await reopened(store);
    await queueOf(vhost, "q");
    const policy = { pattern: "q", definition: { expires: 5 }, priority: -1.5, applyTo: "queues" };
    await vhost.policies.set("p", policy);
    await vhost.policies.set("gone", policy);
    await vhost.policies.clear("gone");
    await vhost.operatorPolicies.set("o", { pattern: "q", definition: { "max-length": 3 } });
    const definition = { "alternate-exchange": "amq.fanout" };
    await vhost.policies.set("ae", { pattern: "^amq.direct$", definition });

    const again = await reopened(store);
    assert.deepEqual(shown(again.queue("q")!), ["p", "o", { expires: 5, "max-length": 3 }]);
    assert.equal(again.exchange("amq.direct")!.alternateExchange, "amq.fanout");
    const [{ name, pattern, priority, applyTo }] = again.policies.list().slice(1) as [never];
    assert.deepEqual(
      { name, pattern, priority, applyTo, definition: { expires: 5 } },
      { name: "p", ...policy },
    );
    assert.equal(again.policies.get("gone"), undefined);
  });

  test("policies are of one virtual host", async () => {
    const store = new MemoryMetadataStore();
    const vhost = await reopened(store);
    await vhost.policies.set("p", { pattern: "q", definition: { expires: 5 } });
    const journal = await TopologyJournal.open(store);
    const other = givenVhost("w", journal);
    assert.deepEqual(other.policies.list(), []);
  });

  test("a policy is obeyed once it is saved, and not if it cannot be", async () => {
    const store = new MemoryMetadataStore();
    const vhost = await reopened(store);
    const queue = await queueOf(vhost, "q");
    const setting = vhost.policies.set("p", { pattern: "q", definition: { expires: 5 } });
    assert.equal(queue.policy, noPolicy);
    await setting;
    assert.equal(queue.policy.name, "p");
    await store.close();
    await assert.rejects(vhost.policies.clear("p"), { code: "closed" });
    assert.equal(queue.policy.name, "p");
  });

  test("a policy that comes while a queue is being saved is obeyed by it", async () => {
    const vhost = await reopened(new MemoryMetadataStore());
    const declaring = queueOf(vhost, "q");
    const setting = vhost.policies.set("p", { pattern: "q", definition: { expires: 5 } });
    const [queue] = await Promise.all([declaring, setting]);
    assert.equal(queue.policy.name, "p");
  });
});
