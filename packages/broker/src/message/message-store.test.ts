/** Goal: a message is stored once for all its holders, comes back whole, and goes with the last. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bodyText, textMessage } from "../../test/text-message.ts";
import { MessageStore } from "./message-store.ts";
import { MessageView, unstored } from "./message-view.ts";

const slabBytes = 2 ** 20;

function stored(store: MessageStore, handle: number): MessageView {
  const view = new MessageView();
  store.view(handle, view);
  return view;
}

test("a view that was never filled is an empty message that is not stored", () => {
  const view = new MessageView();
  assert.equal(view.handle, unstored);
  const { addressLength, propertiesLength, bodyLength } = view;
  assert.deepEqual([addressLength, propertiesLength, bodyLength], [0, 0, 0]);
  const store = new MessageStore();
  const again = stored(store, store.keep(view));
  assert.deepEqual([again.addressLength, again.propertiesLength, again.bodyLength], [0, 0, 0]);
});

test("a message comes back byte for byte", () => {
  const store = new MessageStore();
  const bodies = ["", "a", "é".repeat(20), "x".repeat(31), "y".repeat(5000), "z".repeat(3_000_000)];
  const handles = bodies.map((body) => store.keep(textMessage(body)));
  for (const [index, handle] of handles.entries()) {
    const view = stored(store, handle);
    assert.equal(bodyText(view), bodies[index]);
    assert.equal(view.handle, handle);
  }
  assert.equal(store.liveMessages, bodies.length);
});

test("the three runs of bytes are kept apart, whatever their lengths", () => {
  const run = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(run, run, run, fc.nat(5), (address, properties, body, gap) => {
      const store = new MessageStore();
      const view = new MessageView();
      view.address = Buffer.concat([Buffer.alloc(gap), address, Buffer.alloc(gap)]);
      view.addressStart = gap;
      view.addressLength = address.length;
      view.properties = properties;
      view.propertiesLength = properties.length;
      view.body = Buffer.concat([Buffer.alloc(gap), body]);
      view.bodyStart = gap;
      view.bodyLength = body.length;
      const again = stored(store, store.keep(view));
      const { addressStart, propertiesStart, bodyStart } = again;
      const runOf = (bytes: Buffer, start: number, length: number): Buffer =>
        bytes.subarray(start, start + length);
      assert.deepEqual(runOf(again.address, addressStart, again.addressLength), address);
      assert.deepEqual(
        runOf(again.properties, propertiesStart, again.propertiesLength),
        properties,
      );
      assert.deepEqual(runOf(again.body, bodyStart, again.bodyLength), body);
    }),
  );
});

test("keeping a view again adds a holder and no copy", () => {
  const store = new MessageStore();
  const view = textMessage("fan-out");
  const handle = store.keep(view);
  assert.equal(view.handle, handle);
  for (let count = 1; count < 1000; count++) assert.equal(store.keep(view), handle);
  assert.equal(store.liveMessages, 1);
  for (let count = 1; count < 1000; count++) store.release(handle);
  assert.equal(store.liveMessages, 1);
  assert.equal(bodyText(stored(store, handle)), "fan-out");
  store.release(handle);
  assert.equal(store.liveMessages, 0);
});

test("a stored message that is viewed can be kept and retained by further holders", () => {
  const store = new MessageStore();
  const handle = store.keep(textMessage("again"));
  const view = stored(store, handle);
  assert.equal(store.keep(view), handle);
  store.retain(handle);
  store.release(handle);
  store.release(handle);
  assert.equal(bodyText(stored(store, handle)), "again");
  store.release(handle);
  assert.equal(store.liveMessages, 0);
});

test("the view that was kept still shows its own bytes, not the store's", () => {
  const store = new MessageStore();
  const view = textMessage("mine");
  const { body } = view;
  store.keep(view);
  assert.equal(view.body, body);
  assert.equal(bodyText(view), "mine");
});

test("memory in use follows what is held", () => {
  const store = new MessageStore();
  assert.equal(store.usedBytes, 0);
  const handles = Array.from({ length: 10 }, () => store.keep(textMessage("x".repeat(900_000))));
  assert.equal(store.usedBytes, 10 * (slabBytes + 256), "with what it takes to know of them");
  for (const handle of handles) store.release(handle);
  assert.equal(store.usedBytes, slabBytes + 256);
  store.memory.positions.bytes += 1;
  store.memory.unsettled.bytes += 20;
  store.memory.received.bytes += 300;
  store.memory.output.bytes += 4000;
  store.memory.streams.bytes += 50_000;
  assert.equal(store.usedBytes, slabBytes + 256 + 54_321);
});
