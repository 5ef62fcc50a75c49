/**
 * The seven RabbitMQ tutorials need few verbs. Here they are, once for each client, each written
 * the way its own documentation does it, so that the tutorials can be told once and run with all.
 */
import type { AMQPMessage } from "@cloudamqp/amqp-client";
import type { ConfirmChannel, ConsumeMessage } from "amqplib";
import { Connection } from "rabbitmq-client";
import { openConnection } from "./amqplib-actions.ts";
import { openClient } from "./cloudamqp-actions.ts";
import type { TestBed } from "./test-bed.ts";

export interface TutorialMessage {
  body: string;
  routingKey: string;
  redelivered: boolean;
  replyTo: string | undefined;
  correlationId: string | undefined;
  ack(): void;
}

export interface PublishOptions {
  exchange?: string;
  routingKey: string;
  body: string;
  persistent?: boolean;
  replyTo?: string;
  correlationId?: string;
}

/** One connection with one channel, as every tutorial program has. */
export interface TutorialClient {
  declareExchange(exchange: string, type: "direct" | "fanout" | "topic"): Promise<void>;
  declareQueue(queue: string): Promise<void>;
  /** A queue named by the broker, for this client alone. */
  declareOwnQueue(): Promise<string>;
  bind(queue: string, exchange: string, routingKey: string): Promise<void>;
  prefetch(count: number): Promise<void>;
  useConfirms(): Promise<void>;
  /** In confirm mode, resolves when the broker has confirmed. */
  publish(options: PublishOptions): Promise<void>;
  consume(queue: string, noAck: boolean, each: (message: TutorialMessage) => void): Promise<void>;
  /** Ends the program: the connection closes, whatever was not acknowledged. */
  close(): Promise<void>;
}

export type OpenTutorialClient = (bed: TestBed) => Promise<TutorialClient>;

export const tutorialClients: Record<string, OpenTutorialClient> = {
  amqplib: openWithAmqplib,
  "@cloudamqp/amqp-client": openWithCloudAmqp,
  "rabbitmq-client": openWithRabbitmqClient,
};

async function openWithAmqplib(bed: TestBed): Promise<TutorialClient> {
  const connection = await openConnection(bed);
  const plain = await connection.createChannel();
  let confirming: ConfirmChannel | undefined;
  return {
    declareExchange: async (exchange, type) => {
      await plain.assertExchange(exchange, type);
    },
    declareQueue: async (queue) => {
      await plain.assertQueue(queue, { durable: true });
    },
    declareOwnQueue: async () => (await plain.assertQueue("", { exclusive: true })).queue,
    bind: async (queue, exchange, routingKey) => {
      await plain.bindQueue(queue, exchange, routingKey);
    },
    prefetch: async (count) => {
      await plain.prefetch(count);
    },
    useConfirms: async () => {
      confirming = await connection.createConfirmChannel();
    },
    publish: ({ exchange = "", routingKey, body, ...options }) => {
      const content = Buffer.from(body);
      const channel = confirming;
      if (channel === undefined) {
        plain.publish(exchange, routingKey, content, options);
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        channel.publish(exchange, routingKey, content, options, (error) =>
          error ? reject(error) : resolve(),
        );
      });
    },
    consume: async (queue, noAck, each) => {
      const onMessage = (message: ConsumeMessage | null) => {
        if (message === null) return;
        const { fields, properties } = message;
        each({
          body: message.content.toString(),
          routingKey: fields.routingKey,
          redelivered: fields.redelivered,
          replyTo: properties.replyTo,
          correlationId: properties.correlationId,
          ack: () => plain.ack(message),
        });
      };
      await plain.consume(queue, onMessage, { noAck });
    },
    // The connection alone would not wait for what the channel has yet to send.
    close: async () => {
      await plain.close();
      await connection.close();
    },
  };
}

async function openWithCloudAmqp(bed: TestBed): Promise<TutorialClient> {
  const client = await openClient(bed);
  const channel = await client.channel();
  return {
    declareExchange: (exchange, type) => channel.exchangeDeclare(exchange, type),
    declareQueue: async (queue) => {
      await channel.queueDeclare(queue, { durable: true });
    },
    declareOwnQueue: async () => (await channel.queueDeclare("", { exclusive: true })).name,
    bind: (queue, exchange, routingKey) => channel.queueBind(queue, exchange, routingKey),
    prefetch: (count) => channel.prefetch(count),
    useConfirms: () => channel.confirmSelect(),
    publish: async ({ exchange = "", routingKey, body, persistent = false, ...properties }) => {
      const deliveryMode = persistent ? 2 : 1;
      await channel.basicPublish(exchange, routingKey, body, { deliveryMode, ...properties });
    },
    consume: async (queue, noAck, each) => {
      await channel.basicConsume(queue, { noAck }, (message: AMQPMessage) => {
        each({
          body: message.bodyString() ?? "",
          routingKey: message.routingKey,
          redelivered: message.redelivered,
          replyTo: message.properties.replyTo,
          correlationId: message.properties.correlationId,
          ack: () => void message.ack(),
        });
      });
    },
    close: () => client.close(),
  };
}

async function openWithRabbitmqClient(bed: TestBed): Promise<TutorialClient> {
  const rabbit = new Connection({ url: bed.url, noDelay: true });
  await rabbit.onConnect(5000);
  const channel = await rabbit.acquire();
  const close = async () => {
    await channel.close();
    await rabbit.close();
  };
  bed.defer(close);
  return {
    declareExchange: (exchange, type) => channel.exchangeDeclare({ exchange, type, durable: true }),
    declareQueue: async (queue) => {
      await channel.queueDeclare({ queue, durable: true });
    },
    declareOwnQueue: async () => (await channel.queueDeclare({ exclusive: true })).queue,
    bind: (queue, exchange, routingKey) => channel.queueBind({ queue, exchange, routingKey }),
    prefetch: (prefetchCount) => channel.basicQos({ prefetchCount }),
    useConfirms: () => channel.confirmSelect(),
    publish: ({ body, persistent = false, ...envelope }) =>
      channel.basicPublish({ ...envelope, durable: persistent }, body),
    consume: async (queue, noAck, each) => {
      await channel.basicConsume({ queue, noAck }, (message) => {
        each({
          body: message.body,
          routingKey: message.routingKey,
          redelivered: message.redelivered,
          replyTo: message.replyTo,
          correlationId: message.correlationId,
          ack: () => channel.basicAck({ deliveryTag: message.deliveryTag }),
        });
      });
    },
    close,
  };
}
