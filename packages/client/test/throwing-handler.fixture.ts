/** Run by hostile-broker.test.ts in a process of its own: a consumer whose handler throws. */

import { connect } from "@haremq/client";
import { encodeBasicDeliver, encodeHeaderFrame } from "@haremq/wire";
import { ScriptedBroker } from "./scripted-broker.ts";

const write = (text: string): boolean => process.stdout.write(`${text}\n`);

process.on("uncaughtException", (error) => {
  write(`uncaught ${error.message}`);
  process.exit();
});

const broker = await ScriptedBroker.listen();
const accepted = broker.accept();
const connecting = connect(broker.url);
const peer = await accepted;
await peer.handshake();
const opening = (await connecting).openChannel();
await peer.openChannel();
const channel = await opening;
const consuming = channel.basicConsume("q", { consumerTag: "t" }, (delivery) => {
  write(`delivered ${delivery.deliveryTag}`);
  if (delivery.deliveryTag === 1) throw new Error("thrown by the handler");
});
await peer.consume();
await consuming;
peer.send((writer) => {
  for (const deliveryTag of [1, 2]) {
    const method = {
      consumerTag: "t",
      deliveryTag,
      redelivered: false,
      exchange: "",
      routingKey: "",
    };
    encodeBasicDeliver(writer, 1, method);
    encodeHeaderFrame(writer, 1, 0, {});
  }
});
