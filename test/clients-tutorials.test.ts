/**
 * The seven RabbitMQ tutorials (rabbitmq.com/tutorials), with three clients each. The programs of a
 * tutorial are separate connections here, as they are separate programs there.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { within, withResolvers } from "./clients/deadline.ts";
import { Mailbox } from "./clients/mailbox.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";
import {
  type OpenTutorialClient,
  type TutorialClient,
  type TutorialMessage,
  tutorialClients,
} from "./clients/tutorial-client.ts";

const bench = await openBench();

const tutorials: Record<string, (bed: TestBed, open: OpenTutorialClient) => Promise<void>> = {
  "1. Hello World": helloWorld,
  "2. work queues": workQueues,
  "3. publish/subscribe": publishSubscribe,
  "4. routing": routing,
  "5. topics": topics,
  "6. remote procedure calls": remoteProcedureCalls,
  "7. publisher confirms": publisherConfirms,
};

for (const [client, open] of Object.entries(tutorialClients)) {
  describe(`tutorials with ${client}`, () => {
    for (const [title, tell] of Object.entries(tutorials)) {
      test(
        title,
        bench.scenario((bed) => tell(bed, open)),
      );
    }
  });
}

async function helloWorld(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const queue = bed.name("hello");
  const sender = await open(bed);
  await sender.declareQueue(queue);
  await sender.publish({ routingKey: queue, body: "Hello World!" });
  await sender.close();

  const receiver = await open(bed);
  await receiver.declareQueue(queue);
  const received = await subscribe(receiver, queue, true);
  assert.equal((await received.next()).body, "Hello World!");
}

/** Round-robin, acknowledgement, a worker that dies with its task, persistence, fair dispatch. */
async function workQueues(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const queue = bed.name("task_queue");
  const newTask = await open(bed);
  await newTask.declareQueue(queue);
  const workers = [await open(bed), await open(bed)] as const;
  for (const worker of workers) await worker.prefetch(1);
  const first = await subscribe(workers[0], queue, false);
  const second = await subscribe(workers[1], queue, false);
  for (let i = 1; i <= 4; i++) {
    await newTask.publish({ routingKey: queue, body: `task ${i}`, persistent: true });
  }
  const heavy = await first.next();
  const light = await second.next();
  assert.deepEqual([heavy.body, light.body], ["task 1", "task 2"]);
  light.ack();
  const next = await second.next();
  assert.equal(next.body, "task 3", "the busy worker gets no more work");
  await workers[0].close();
  next.ack();
  const inherited = await second.next();
  assert.deepEqual([inherited.body, inherited.redelivered], ["task 1", true]);
  inherited.ack();
  const last = await second.next();
  assert.equal(last.body, "task 4");
  last.ack();
}

async function publishSubscribe(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const exchange = bed.name("logs");
  const emitter = await open(bed);
  await emitter.declareExchange(exchange, "fanout");
  await emitter.publish({ exchange, routingKey: "", body: "nobody listens yet" });
  const toScreen = await subscribeTo(await open(bed), exchange, [""]);
  const toDisk = await subscribeTo(await open(bed), exchange, [""]);
  await emitter.publish({ exchange, routingKey: "", body: "info: Hello World!" });
  assert.equal((await toScreen.next()).body, "info: Hello World!");
  assert.equal((await toDisk.next()).body, "info: Hello World!");
}

async function routing(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const exchange = bed.name("direct_logs");
  const emitter = await open(bed);
  await emitter.declareExchange(exchange, "direct");
  const errors = await subscribeTo(await open(bed), exchange, ["error"]);
  const everything = await subscribeTo(await open(bed), exchange, ["info", "warning", "error"]);
  for (const severity of ["info", "warning", "error"]) {
    await emitter.publish({ exchange, routingKey: severity, body: `a ${severity}` });
  }
  assert.deepEqual(bodies(await everything.take(3)), ["a info", "a warning", "a error"]);
  assert.deepEqual(bodies(await errors.take(1)), ["a error"]);
  assert.deepEqual(errors.unread, []);
}

async function topics(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const exchange = bed.name("topic_logs");
  const emitter = await open(bed);
  await emitter.declareExchange(exchange, "topic");
  const all = await subscribeTo(await open(bed), exchange, ["#"]);
  const kernel = await subscribeTo(await open(bed), exchange, ["kern.*"]);
  const critical = await subscribeTo(await open(bed), exchange, ["*.critical"]);
  const both = await subscribeTo(await open(bed), exchange, ["kern.*", "*.critical"]);
  const keys = ["kern.info", "cron.info", "kern.critical", "cron.critical", "kern.a.critical"];
  for (const routingKey of keys) await emitter.publish({ exchange, routingKey, body: "log" });
  const received = async (mailbox: Mailbox<TutorialMessage>, count: number) =>
    (await mailbox.take(count)).map((message) => message.routingKey);
  assert.deepEqual(await received(all, 5), keys);
  assert.deepEqual(await received(kernel, 2), ["kern.info", "kern.critical"]);
  assert.deepEqual(await received(critical, 2), ["kern.critical", "cron.critical"]);
  assert.deepEqual(await received(both, 3), ["kern.info", "kern.critical", "cron.critical"]);
  for (const mailbox of [all, kernel, critical, both]) assert.deepEqual(mailbox.unread, []);
}

async function remoteProcedureCalls(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const queue = bed.name("rpc_queue");
  const server = await open(bed);
  await server.declareQueue(queue);
  await server.prefetch(1);
  await server.consume(queue, false, (request) => {
    const { replyTo = "", correlationId = "" } = request;
    const body = String(fibonacci(Number(request.body)));
    void server.publish({ routingKey: replyTo, body, correlationId });
    request.ack();
  });
  const client = await open(bed);
  const callbackQueue = await client.declareOwnQueue();
  const pending = new Map<string, (body: string) => void>();
  await client.consume(callbackQueue, true, ({ correlationId = "", body }) => {
    pending.get(correlationId)?.(body);
  });
  const call = async (n: number) => {
    const { promise, resolve } = withResolvers<string>();
    pending.set(`call-${n}`, resolve);
    const correlationId = `call-${n}`;
    await client.publish({
      routingKey: queue,
      body: `${n}`,
      replyTo: callbackQueue,
      correlationId,
    });
    return Number(await within(promise, `the reply to call ${n}`));
  };
  assert.deepEqual(await Promise.all([30, 1, 2, 10].map(call)), [832_040, 1, 1, 55]);
}

/** One at a time, in batches, and all at once. */
async function publisherConfirms(bed: TestBed, open: OpenTutorialClient): Promise<void> {
  const publisher = await open(bed);
  const queue = await publisher.declareOwnQueue();
  const received = await subscribe(publisher, queue, true);
  await publisher.useConfirms();
  const publish = (body: string) => publisher.publish({ routingKey: queue, body });
  for (let i = 0; i < 50; i++) await publish(`single ${i}`);
  for (let batch = 0; batch < 5; batch++) {
    const batched = Array.from({ length: 20 }, (_, i) => publish(`batch ${batch}.${i}`));
    await within(Promise.all(batched), "a batch of confirms");
  }
  const all = Array.from({ length: 200 }, (_, i) => publish(`asynchronous ${i}`));
  await within(Promise.all(all), "all confirms");
  assert.equal(new Set(bodies(await received.take(350))).size, 350);
}

async function subscribe(
  client: TutorialClient,
  queue: string,
  noAck: boolean,
): Promise<Mailbox<TutorialMessage>> {
  const mailbox = new Mailbox<TutorialMessage>();
  await client.consume(queue, noAck, mailbox.put);
  return mailbox;
}

/** A queue of the client's own, bound with each of the keys, and consumed. */
async function subscribeTo(
  client: TutorialClient,
  exchange: string,
  keys: string[],
): Promise<Mailbox<TutorialMessage>> {
  const queue = await client.declareOwnQueue();
  for (const key of keys) await client.bind(queue, exchange, key);
  return subscribe(client, queue, true);
}

function bodies(messages: TutorialMessage[]): string[] {
  return messages.map((message) => message.body);
}

function fibonacci(n: number): number {
  let [current, next] = [0, 1];
  for (let i = 0; i < n; i++) [current, next] = [next, current + next];
  return current;
}
