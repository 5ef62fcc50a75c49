/**
 * Goal: amqps:// encrypts, believes certificates as told, and moves messages like a plain
 * connection.
 *
 * The certificate in certificates/ is self-signed for localhost and 127.0.0.1, for these tests
 * only.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { createServer, type Server } from "node:tls";
import { connect } from "@haremq/client";
import { encodeBasicDeliver, encodeBodyFrames, encodeHeaderFrame } from "@haremq/wire";
import { collector } from "./brokers.ts";
import { ScriptedBroker } from "./scripted-broker.ts";

const read = (name: string): Buffer =>
  readFileSync(new URL(`certificates/${name}`, import.meta.url));
const certificate = read("localhost.pem");

let broker: ScriptedBroker;
let server: Server;
let port: number;

beforeEach(async () => {
  broker = await ScriptedBroker.listen();
  const target = Number(new URL(broker.url.replace("amqp:", "http:")).port);
  // What a TLS listener does, in front of a broker that has none.
  server = createServer({ cert: certificate, key: read("localhost-key.pem") }, (encrypted) => {
    const plain = connectTcp(target, "127.0.0.1");
    encrypted.pipe(plain).pipe(encrypted);
    encrypted.on("error", () => plain.destroy());
    plain.on("error", () => encrypted.destroy());
    plain.on("close", () => encrypted.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as { port: number }).port;
});

afterEach(async () => {
  await broker.close();
  server.close();
  await once(server, "close");
});

test("a certificate that is not trusted ends the connection", async () => {
  await assert.rejects(connect(`amqps://localhost:${port}`), {
    name: "ConnectError",
    message: /self-signed certificate/,
  });
});

test("with a trusted certificate large messages go both ways", async () => {
  const accepted = broker.accept();
  const connecting = connect(`amqps://localhost:${port}`, {
    tls: { ca: certificate },
    writeHighWaterBytes: 64 * 1024,
  });
  const peer = await accepted;
  await peer.handshake();
  const connection = await connecting;
  const opening = connection.openChannel();
  await peer.openChannel();
  const channel = await opening;
  const { handler, all } = collector<{ body: Buffer }>(1);
  const consuming = channel.basicConsume("q", { noAck: true, consumerTag: "t" }, handler);
  await peer.consume();
  await consuming;
  const body = Buffer.alloc(3_000_000, "abcdefg");
  peer.send((writer) => {
    const method = {
      consumerTag: "t",
      deliveryTag: 1,
      redelivered: false,
      exchange: "",
      routingKey: "",
    };
    encodeBasicDeliver(writer, 1, method);
    encodeHeaderFrame(writer, 1, body.length, {});
    encodeBodyFrames(writer, 1, body, 131_072);
  });
  const [delivery] = await all;
  assert.ok(delivery?.body.equals(body));
  const received = peer.bodyBytes(body.length * 2);
  for (let i = 0; i < 2; i++) {
    if (channel.basicPublish("", "q", body)) continue;
    await new Promise<void>((resolve) => channel.once("drain", resolve));
  }
  assert.ok((await received).equals(Buffer.concat([body, body])));
  connection.destroy();
});
