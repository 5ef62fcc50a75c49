/** Goal: parameters are kept under their components, and checked by them, as in RabbitMQ. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MemoryMetadataStore, type MetadataStore } from "@haremq/store";
import { GlobalParameters } from "./global-parameters.ts";
import { ParameterComponents } from "./parameter-components.ts";
import { RuntimeParameters } from "./runtime-parameters.ts";
import { limitsComponent, VirtualHostLimits, virtualHostLimits } from "./virtual-host-limits.ts";

function givenParameters(store?: MetadataStore, vhost = "v"): RuntimeParameters {
  const components = new ParameterComponents();
  components.register(limitsComponent, virtualHostLimits);
  components.register("odd", {
    check: (name, value) => (Number(value) % 2 === 1 ? [] : [`${name} is even`, "really"]),
  });
  return new RuntimeParameters(vhost, components, store);
}

describe("runtime parameters", () => {
  test("are set, replaced and cleared", async () => {
    const parameters = givenParameters();
    assert.equal(await parameters.set("odd", "b", 1), true);
    assert.equal(await parameters.set("odd", "a", 3), true);
    assert.equal(await parameters.set("odd", "b", 5), false);
    assert.equal(parameters.get("odd", "b"), 5);
    assert.deepEqual(parameters.list("odd"), [
      { component: "odd", name: "a", value: 3 },
      { component: "odd", name: "b", value: 5 },
    ]);
    assert.deepEqual(parameters.list("other"), []);
    assert.equal(await parameters.clear("odd", "a"), true);
    assert.equal(await parameters.clear("odd", "a"), false);
    assert.equal(parameters.list().length, 1);
  });

  test("are refused if their component refuses them, is unknown or is that of policies", async () => {
    const parameters = givenParameters();
    const refused = async (component: string, message: string): Promise<void> => {
      await assert.rejects(parameters.set(component, "n", 2), { name: "ParameterError", message });
    };
    await refused("odd", "Validation failed\n\nn is even\nreally\n");
    await refused("foo", "Validation failed\n\ncomponent foo not found\n");
    await refused("policy", "policies may not be set using this method");
    await refused("operator_policy", "policies may not be set using this method");
    await assert.rejects(parameters.clear("policy", "n"), /may not be cleared using this method/);
    assert.deepEqual(parameters.list(), []);
  });

  test("survive a restart, each in its virtual host", async () => {
    const store = new MemoryMetadataStore();
    await givenParameters(store).set("odd", "a", 1);
    await givenParameters(store).set("odd", "b", 1);
    await givenParameters(store).clear("odd", "b");
    const found = [{ component: "odd", name: "a", value: 1 }];
    assert.deepEqual(givenParameters(store).list(), found);
    assert.deepEqual(givenParameters(store, "w").list(), []);
    const none = new RuntimeParameters("v", new ParameterComponents(), store);
    assert.deepEqual(none.list(), found, "though the component has gone");
  });

  test("hold once they are saved", async () => {
    const store = new MemoryMetadataStore();
    const parameters = givenParameters(store);
    const setting = parameters.set("odd", "a", 1);
    assert.equal(parameters.get("odd", "a"), undefined);
    await setting;
    await store.close();
    await assert.rejects(parameters.set("odd", "a", 3), { code: "closed" });
    assert.equal(parameters.get("odd", "a"), 1);
  });

  test("of the broker may be anything", async () => {
    const store = new MemoryMetadataStore();
    const parameters = new GlobalParameters(store);
    const value = { a: [1, null, true, "x"] };
    assert.equal(await parameters.set("g", value), true);
    value.a.push(2);
    assert.equal(await parameters.set("f", 1), true);
    assert.equal(await parameters.set("f", 2), false);
    const found = [
      { name: "f", value: 2 },
      { name: "g", value: { a: [1, null, true, "x"] } },
    ];
    assert.deepEqual(parameters.list(), found);
    assert.deepEqual(new GlobalParameters(store).list(), found);
    assert.equal(await parameters.clear("g"), true);
    assert.equal(await parameters.clear("g"), false);
    assert.equal(new GlobalParameters(store).get("g"), undefined);
  });
});

describe("limits of a virtual host", () => {
  test("are set one by one, or as a parameter", async () => {
    const parameters = givenParameters();
    const limits = new VirtualHostLimits(parameters);
    assert.deepEqual([limits.maxConnections, limits.maxQueues], [undefined, undefined]);
    // Neither of two that come at once undoes the other.
    await Promise.all([limits.set("max-connections", 5), limits.set("max-queues", 0)]);
    assert.deepEqual([limits.maxConnections, limits.maxQueues], [5, 0]);
    await limits.set("max-queues", -1);
    assert.deepEqual([limits.maxConnections, limits.maxQueues], [5, undefined]);
    await limits.clear("max-queues");
    assert.deepEqual(limits.toObject(), { "max-connections": 5 });
    await parameters.set(limitsComponent, "limits", { "max-queues": 7 });
    assert.deepEqual([limits.maxConnections, limits.maxQueues], [undefined, 7]);
    await parameters.set(limitsComponent, "limits", []);
    assert.deepEqual([limits.maxConnections, limits.maxQueues], [undefined, undefined]);
    await limits.set("max-queues", 3);
    assert.deepEqual(limits.toObject(), { "max-queues": 3 });
    await parameters.clear(limitsComponent, "limits");
    assert.deepEqual(limits.toObject(), {});
  });

  test("are refused with RabbitMQ's texts", async () => {
    const limits = new VirtualHostLimits(givenParameters());
    const refused = async (setting: Promise<unknown>, text: string): Promise<void> => {
      await assert.rejects(setting, { message: `Validation failed\n\n${text}\n` });
    };
    const notNumber = "max-queues should be a number, actually was ";
    await refused(limits.set("max-queues", "a"), `${notNumber}<<"a">>`);
    await refused(limits.set("max-queues", 1.5), `${notNumber}1.5`);
    await refused(limits.set("max-queues", null), `${notNumber}null`);
    await refused(limits.set("foo", 1), 'Unrecognised terms [{<<"foo">>,1}] in limits');
    assert.deepEqual(limits.toObject(), {});
    const parameters = givenParameters();
    await refused(parameters.set(limitsComponent, "limits", 5), "limits not a list 5");
    await refused(parameters.set(limitsComponent, "x", {}), "name not recognised: x");
  });
});
