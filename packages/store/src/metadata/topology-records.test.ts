/** Goal: every record comes back as it was, under keys and in a form that never change. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemoryMetadataStore } from "./memory-metadata-store.ts";
import type { MetadataKind } from "./metadata-kind.ts";
import type { MetadataKey } from "./metadata-store.ts";
import {
  bindingRecords,
  exchangeRecords,
  globalParameterRecords,
  operatorPolicyRecords,
  parameterRecords,
  permissionRecords,
  policyRecords,
  prepareTopology,
  queueRecords,
  removeUser,
  removeVirtualHost,
  topicPermissionRecords,
  userRecords,
  virtualHostRecords,
} from "./topology-records.ts";

type Decoder = Pick<MetadataKind<unknown, MetadataKey>, "decode">;

const none = new Uint8Array();
const table = new Uint8Array([0, 0, 0, 3, 1, 0x61, 0x56]);
const name = fc.string({ unit: fc.constantFrom("", "a", "/", "\0", "\udc80", "é"), maxLength: 3 });
const bytes = fc.uint8Array({ maxLength: 8 });
const texts = fc.array(name, { maxLength: 2 });
const object = fc.dictionary(name, fc.oneof(fc.nat(), name), { maxKeys: 2, noNullPrototype: true });
const flag = fc.boolean();
const integer = fc.maxSafeInteger();

function comesBack<T, K extends MetadataKey>(
  kind: MetadataKind<T, K>,
  record: fc.Arbitrary<T>,
): void {
  it(`of a ${kind.name} come back as they were`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 5 }), async (records) => {
        const store = new MemoryMetadataStore();
        const byKey = new Map(records.map((each) => [JSON.stringify(kind.keyOf(each)), each]));
        await store.commit(records.map((each) => kind.put(each)));
        const found = [...kind.scan(store)];
        assert.deepEqual(
          new Map(found.map((each) => [JSON.stringify(kind.keyOf(each)), each])),
          byKey,
        );
        for (const each of byKey.values()) {
          const [, ...key] = kind.keyOf(each);
          assert.deepEqual(kind.get(store, ...(key as readonly string[] as K)), each);
        }
        await store.commit(records.map((each) => kind.remove(each)));
        assert.deepEqual([...store.scan([])], []);
      }),
      { numRuns: 50 },
    );
  });
}

describe("topology records", () => {
  const shape = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
    fc.record(fields, { noNullPrototype: true }) as unknown as fc.Arbitrary<T>;
  const policy = shape({
    vhost: name,
    name,
    pattern: name,
    applyTo: name,
    priority: integer,
    definition: object,
  });

  comesBack(
    virtualHostRecords,
    shape({
      ...{ name, description: name, tags: texts, defaultQueueType: name, tracing: flag },
      confirmLevel: fc.constantFrom("", "disk", "os"),
    }),
  );
  comesBack(
    exchangeRecords,
    shape({
      vhost: name,
      name,
      type: name,
      autoDelete: flag,
      internal: flag,
      arguments: bytes,
      stores: fc.dictionary(name, integer, { noNullPrototype: true }),
    }),
  );
  comesBack(
    queueRecords,
    shape({ vhost: name, name, id: integer, type: name, autoDelete: flag, arguments: bytes }),
  );
  comesBack(
    bindingRecords,
    shape({
      vhost: name,
      source: name,
      destinationKind: fc.constantFrom("queue" as const, "exchange" as const),
      destination: name,
      routingKey: name,
      arguments: bytes,
    }),
  );
  comesBack(
    userRecords,
    shape({ name, passwordHash: bytes, hashingAlgorithm: name, tags: texts, limits: object }),
  );
  comesBack(
    permissionRecords,
    shape({ vhost: name, user: name, configure: name, write: name, read: name }),
  );
  comesBack(
    topicPermissionRecords,
    shape({ vhost: name, user: name, exchange: name, write: name, read: name }),
  );
  comesBack(policyRecords, policy);
  comesBack(operatorPolicyRecords, policy);
  comesBack(
    parameterRecords,
    shape({
      vhost: name,
      component: name,
      name,
      value: fc.oneof(object, texts, fc.constant(null)),
    }),
  );
  comesBack(globalParameterRecords, shape({ name, value: fc.oneof(name, integer) }));

  it("have keys and fields that never change", () => {
    assert.deepEqual(
      exchangeRecords.put({
        vhost: "/",
        name: "logs",
        type: "topic",
        autoDelete: false,
        internal: true,
        arguments: table,
        stores: { delay: 8 },
      }),
      {
        key: ["exchange", "/", "logs"],
        value: { type: "topic", internal: true, arguments: table, stores: { delay: 8 } },
      },
    );
    assert.deepEqual(
      queueRecords.put({
        vhost: "/",
        name: "orders",
        id: 7,
        type: "classic",
        autoDelete: false,
        arguments: none,
      }),
      { key: ["queue", "/", "orders"], value: { id: 7, type: "classic" } },
    );
    const binding = {
      vhost: "/",
      source: "logs",
      destinationKind: "queue",
      destination: "orders",
      routingKey: "#",
    } as const;
    assert.deepEqual(bindingRecords.put({ ...binding, arguments: none }), {
      key: ["binding", "/", "logs", "queue", "orders", "#", ""],
      value: {},
    });
    assert.deepEqual(bindingRecords.put({ ...binding, arguments: table }), {
      key: ["binding", "/", "logs", "queue", "orders", "#", "uAXK7dhAHLpjVfydu1qx3w"],
      value: { arguments: table },
    });
    assert.deepEqual(
      virtualHostRecords.put({
        name: "v",
        description: "",
        tags: [],
        defaultQueueType: "quorum",
        tracing: false,
        confirmLevel: "",
      }),
      { key: ["vhost", "v"], value: { defaultQueueType: "quorum" } },
    );
  });

  it("are not read as what they are not", () => {
    const queue = ["queue", "/", "q"];
    const refused: [Decoder, MetadataKey, unknown][] = [
      [queueRecords, queue, { type: "classic" }],
      [queueRecords, queue, { id: 1.5, type: "classic" }],
      [queueRecords, queue, { id: 1, type: 3 }],
      [queueRecords, queue, { id: 1, type: "classic", autoDelete: "yes" }],
      [queueRecords, queue, { id: 1, type: "classic", arguments: [1] }],
      [queueRecords, queue, null],
      [queueRecords, queue, [1]],
      [queueRecords, ["queue", "/"], { id: 1, type: "classic" }],
      [queueRecords, ["exchange", "/", "q"], { id: 1, type: "classic" }],
      [exchangeRecords, ["exchange", "/", "x"], { type: "direct", stores: { delay: "1" } }],
      [virtualHostRecords, ["vhost", "v"], { tags: ["a", 1] }],
      [virtualHostRecords, ["vhost", "v"], { confirmLevel: "paper" }],
      [userRecords, ["user", "u"], { hashingAlgorithm: "x", limits: new Uint8Array(1) }],
      [parameterRecords, ["parameter", "/", "c", "n"], {}],
      [bindingRecords, ["binding", "/", "s", "queue", "d", "k", ""], { arguments: table }],
      [bindingRecords, ["binding", "/", "s", "moon", "d", "k", ""], {}],
    ];
    for (const [kind, key, value] of refused) {
      assert.throws(() => kind.decode({ key, value }), { code: "damaged" }, JSON.stringify(value));
    }
  });

  it("may have fields of a later release", () => {
    const value = { id: 1, type: "classic", colour: "green" };
    assert.equal(queueRecords.decode({ key: ["queue", "/", "q"], value }).id, 1);
  });
});

describe("a topology in a metadata store", () => {
  it("is marked with its layout, and no other is touched", async () => {
    const store = new MemoryMetadataStore();
    await prepareTopology(store);
    await prepareTopology(store);
    assert.deepEqual(
      Array.from(store.scan([]), ({ key, value }) => [key, value]),
      [[["layout"], 1]],
    );
    await store.commit([{ key: ["layout"], value: 2 }]);
    await assert.rejects(prepareTopology(store), { code: "damaged", message: /layout 2, not 1/ });
    await store.commit([
      { key: ["layout"], value: undefined },
      { key: ["x"], value: 0 },
    ]);
    await assert.rejects(prepareTopology(store), { code: "damaged", message: /layout none/ });
  });

  it("loses with a virtual host all that is in it, and with a user all it may do", async () => {
    const store = new MemoryMetadataStore();
    const permission = { configure: "", write: "", read: ".*" };
    const rest = { pattern: "", applyTo: "all", priority: 0, definition: {} };
    for (const vhost of ["a", "ab"]) {
      const queue = { vhost, name: "q", id: 1, type: "classic", autoDelete: false };
      const exchange = { vhost, name: "x", type: "direct", autoDelete: false, internal: false };
      const flags = {
        ...{ description: "", tags: [], defaultQueueType: "", tracing: false },
        confirmLevel: "" as const,
      };
      const ends = { source: "x", destinationKind: "queue", destination: "q" } as const;
      await store.commit([
        virtualHostRecords.put({ name: vhost, ...flags }),
        exchangeRecords.put({ ...exchange, arguments: none, stores: {} }),
        queueRecords.put({ ...queue, arguments: none }),
        bindingRecords.put({ vhost, ...ends, routingKey: "k", arguments: table }),
        permissionRecords.put({ vhost, user: "u", ...permission }),
        permissionRecords.put({ vhost, user: "other", ...permission }),
        topicPermissionRecords.put({ vhost, user: "u", exchange: "x", ...permission }),
        policyRecords.put({ vhost, name: "p", ...rest }),
        operatorPolicyRecords.put({ vhost, name: "p", ...rest }),
        parameterRecords.put({ vhost, component: "shovel", name: "s", value: {} }),
      ]);
    }
    const user = { name: "u", passwordHash: none, hashingAlgorithm: "", tags: [], limits: {} };
    await store.commit([userRecords.put(user)]);
    const all = [...store.scan([])].length;
    await store.commit(removeVirtualHost(store, "a"));
    const left = Array.from(store.scan([]), ({ key }) => key);
    assert.equal(left.length, all - 10);
    assert.ok(left.every(([, vhost]) => vhost !== "a"));
    await store.commit(removeUser(store, "u"));
    assert.equal([...store.scan([])].length, left.length - 3);
    assert.ok(permissionRecords.get(store, "ab", "other"));
  });
});
