/**
 * What the kill simulator looks at after a restart: every message of every queue, in order, and
 * every queue and binding that comes and goes.
 */

import {
  AmqpError,
  type Channel,
  type Connection,
  connect,
  type Delivery,
  PublishReturnedError,
} from "@haremq/client";
import { type KillWorld, type Presence, passingNames, queueNames } from "./kill-world.ts";
import type { FoundMessage } from "./message-model.ts";
import { demand } from "./promise-broken.ts";
import { identifyBody } from "./simulated-message.ts";

/** A queue that has more is emptied, so that the next check need not look at all of it again. */
const messagesMax = 3000;

/** Throws PromiseBroken if anything is not as the world knows that it must be. */
export async function checkBroker(url: string, world: KillWorld): Promise<void> {
  const connection = await connect(url);
  try {
    const found = new Map<number, FoundMessage[]>();
    const channels = new Map<string, { channel: Channel; deliveries: readonly Delivery[] }>();
    for (const name of queueNames) {
      const channel = await connection.openChannel();
      const deliveries = await takeAll(channel, name);
      channels.set(name, { channel, deliveries });
      found.set(world.queue(name).number, deliveries.map(describe));
    }
    world.model.recover(found, false);
    // It has been on the disk over the end of a process: nothing less will do from now on.
    world.model.onRest();
    world.model.forgetNoted();
    for (const name of queueNames) {
      const { channel, deliveries } = channels.get(name)!;
      await giveBack(channel, name, deliveries, world);
    }
    for (const name of passingNames) await checkPassing(connection, name, world);
  } finally {
    await connection.close();
  }
}

function describe({ body, redelivered }: Delivery): FoundMessage {
  return { id: identifyBody(body), isRedelivered: redelivered };
}

async function takeAll(channel: Channel, queue: string): Promise<Delivery[]> {
  const { messageCount } = await channel.queueDeclare(queue, { passive: true });
  const deliveries: Delivery[] = [];
  if (messageCount === 0) return deliveries;
  await new Promise<void>((resolve, reject) => {
    channel.on("close", reject);
    const onDelivery = (delivery: Delivery): void => {
      deliveries.push(delivery);
      if (deliveries.length === messageCount) resolve();
    };
    channel.basicConsume(queue, {}, onDelivery).catch(reject);
  });
  return deliveries;
}

/** The messages are left where they stood, or if there are many taken for good. */
async function giveBack(
  channel: Channel,
  name: (typeof queueNames)[number],
  deliveries: readonly Delivery[],
  world: KillWorld,
): Promise<void> {
  const { messages } = world.queue(name);
  const last = deliveries.at(-1);
  if (last !== undefined && deliveries.length > messagesMax) {
    const acknowledged = deliveries.map(({ body }) => messages.get(identifyBody(body))!);
    world.onAcknowledging(acknowledged);
    channel.ack(last, true);
    await channel.flow(true);
    world.onAcknowledged(acknowledged);
  }
  await channel.close();
  for (const message of messages.values()) if (message.state === "open") message.isMarked = true;
}

async function checkPassing(connection: Connection, name: string, world: KillWorld): Promise<void> {
  const state = world.passing.get(name)!;
  const queue = await presenceOf(connection, name);
  demand(agrees(state.queue, queue), () => `queue ${name} is ${queue}, not ${state.queue}`);
  const channel = await connection.openChannel();
  await channel.confirmSelect();
  const isBound = await channel.publish("amq.direct", name, "", {}, { mandatory: true }).then(
    () => true,
    (error) => {
      if (error instanceof PublishReturnedError) return false;
      throw error;
    },
  );
  const binding = isBound ? "there" : "gone";
  demand(
    agrees(state.binding, binding),
    () => `the binding of ${name} is ${binding}, not ${state.binding}`,
  );
  if (queue === "there") await channel.queuePurge(name);
  await channel.close();
  world.passing.set(name, { queue, binding });
}

async function presenceOf(connection: Connection, name: string): Promise<Presence> {
  const channel = await connection.openChannel();
  channel.on("error", () => {});
  try {
    await channel.queueDeclare(name, { passive: true });
    await channel.close();
    return "there";
  } catch (error) {
    if (error instanceof AmqpError && error.replyCode === 404) return "gone";
    throw error;
  }
}

function agrees(known: Presence, found: Presence): boolean {
  return known === "unknown" || known === found;
}
