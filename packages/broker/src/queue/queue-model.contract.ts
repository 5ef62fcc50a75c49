/**
 * Every kind of queue against the naive one: random sequences of all verbs run on both, on two
 * queues that share a store and consumers' channels. After each step the same consumers have got
 * the same messages in the same order, all counts agree, the store holds what is alive and nothing
 * else, and no message waits while a consumer in turn could take it. With limits, priorities and
 * times the same messages have died, of the same causes, in the same order.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SeededRandom, VirtualClock } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";
import fc from "fast-check";
import {
  canTake,
  type NaiveConsumer,
  type NaiveDelivery,
  NaiveQueue,
  type NaiveSink,
  type NaiveTerms,
  noNaiveTerms,
} from "../../test/naive-queue.ts";
import { type QueueFactory, queueSpec } from "../../test/queue-rig.ts";
import { testConsumer } from "../../test/recording-sink.ts";
import { plainMessage, plainText } from "../../test/text-message.ts";
import type { Consumer, ConsumerSink } from "../consumer/consumer.ts";
import { MessageStore } from "../message/message-store.ts";
import { termsOf } from "../message/message-terms.ts";
import { MessageView } from "../message/message-view.ts";
import type { Queue } from "./queue.ts";
import type { DeadLetter, QueueHost } from "./queue-host.ts";

/** A delivery as the real queue made it. */
interface RealDelivery {
  readonly queue: Queue;
  readonly consumer: Consumer | null;
  readonly body: string;
  readonly handle: number;
  readonly sequence: number;
}

/** Both sides of a queue. */
interface QueuePair {
  readonly real: Queue;
  readonly naive: NaiveQueue;
}

/** Both sides of a consumer, on the queue that it was made for. */
interface ConsumerPair {
  readonly real: Consumer;
  readonly naive: NaiveConsumer;
  readonly queue: QueuePair;
}

/** Surroundings for all real queues: one clock, and the dead letters of each. */
class ModelHost implements QueueHost {
  readonly clock = new VirtualClock();
  readonly #deaths = new Map<string, string[]>();
  readonly #messages: MessageStore;

  constructor(messages: MessageStore) {
    this.#messages = messages;
  }

  moveDeadLetter({ queue, view, handle, reason }: DeadLetter): boolean {
    const deaths = this.deathsIn(queue.name);
    deaths.push(`${reason}:${plainText(view)}`);
    this.#deaths.set(queue.name, deaths);
    this.#messages.release(handle);
    return true;
  }

  deathsIn(queue: string): string[] {
    return this.#deaths.get(queue) ?? [];
  }

  expire(): void {}
}

/** The real side of a channel: writes down what its consumers see. */
class ChannelSink implements ConsumerSink {
  readonly naive: NaiveSink = { writable: true, limit: 0, unsettled: 0 };
  readonly #events: string[];
  readonly #deliveries: RealDelivery[];
  #unsettled = 0;
  writable = true;
  limit = 0;

  constructor(events: string[], deliveries: RealDelivery[]) {
    this.#events = events;
    this.#deliveries = deliveries;
  }

  get withinPrefetch(): boolean {
    return this.limit === 0 || this.#unsettled < this.limit;
  }

  deliver(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    const { queue } = consumer;
    const body = plainText(view);
    const star = redelivered ? "*" : "";
    this.#events.push(`${queue.name} sends ${consumer.tag} ${body}${star}`);
    if (consumer.noAck) return;
    this.#unsettled++;
    this.#deliveries.push({ queue, consumer, body, handle, sequence });
  }

  park(consumer: Consumer): void {
    this.#events.push(`${consumer.queue.name} parks ${consumer.tag}`);
  }

  cancelled(consumer: Consumer): void {
    this.#events.push(`${consumer.queue.name} cancels ${consumer.tag}`);
  }

  onSettled(): void {
    this.#unsettled--;
  }
}

const verbs = {
  publish: 24,
  publishToAll: 3,
  subscribe: 5,
  unsubscribe: 4,
  wake: 12,
  serve: 4,
  get: 4,
  acknowledge: 14,
  reject: 3,
  requeue: 5,
  requeueMany: 2,
  toggleRoom: 3,
  limit: 1,
  purge: 0.4,
  close: 0.4,
  advance: 5,
} as const;
type Verb = keyof typeof verbs;

interface Step {
  readonly verb: Verb;
  /** Chooses the queue. */
  readonly at: number;
  /** Chooses whatever else the verb needs. */
  readonly of: number;
}

class Comparison {
  readonly #createQueue: QueueFactory;
  readonly #terms: NaiveTerms;
  readonly #messages = new MessageStore();
  readonly #host = new ModelHost(this.#messages);
  readonly #events: string[] = [];
  readonly #naiveEvents: string[] = [];
  readonly #deliveries: RealDelivery[] = [];
  readonly #sinks: ChannelSink[];
  readonly #view = new MessageView();
  readonly #queues: QueuePair[] = [];
  /** Queues that are deleted while something of theirs is unsettled. */
  #ended: QueuePair[] = [];
  #consumers: ConsumerPair[] = [];
  #published = 0;
  #made = 0;

  constructor(createQueue: QueueFactory, areSingle: readonly boolean[], terms: NaiveTerms) {
    this.#createQueue = createQueue;
    this.#terms = terms;
    this.#sinks = [0, 1].map(() => new ChannelSink(this.#events, this.#deliveries));
    for (const isSingle of areSingle) this.#queues.push(this.#declare(isSingle));
  }

  async run(steps: Iterable<Step>): Promise<void> {
    for (const step of steps) {
      this.#take(step);
      // Dead letters move at the end of the turn.
      await Promise.resolve();
      this.#check();
    }
    this.#finish();
  }

  #declare(isSingle: boolean): QueuePair {
    const name = `q${++this.#made}`;
    const single = { "x-single-active-consumer": isSingle };
    const args = FieldTable.from({ ...single, ...argumentsFor(this.#terms) });
    const naive = new NaiveQueue(name, isSingle, this.#naiveEvents, this.#terms);
    naive.nowMs = this.#host.clock.wallMs();
    const spec = queueSpec({ name, arguments: args });
    return { real: this.#createQueue(spec, this.#messages, this.#host), naive };
  }

  #take({ verb, at, of }: Step): void {
    const index = at % this.#queues.length;
    const queue = this.#queues[index]!;
    const { real, naive } = queue;
    if (verb === "publish") this.#publish([queue], of);
    else if (verb === "publishToAll") this.#publish(this.#queues, of);
    else if (verb === "subscribe") this.#subscribe(queue, of);
    else if (verb === "get") this.#get(queue, of % 3 === 0);
    else if (verb === "toggleRoom" || verb === "limit") this.#limit(verb, at, of);
    else if (verb === "purge") assert.equal(real.purge(), naive.purge());
    else if (verb === "close") this.#close(index, of);
    else if (verb === "advance") this.#advance([1, 1, 5, 30, 200][of % 5]!);
    else if (verb === "serve") {
      real.serve();
      naive.serve();
    } else if (verb === "wake" || verb === "unsubscribe") this.#move(verb, of);
    else this.#settle(verb, of);
  }

  #publish(queues: readonly QueuePair[], of: number): void {
    const number = ++this.#published;
    const body = `${number}${".".repeat(number % 97 === 0 ? 50_000 : of % 50)}`;
    const view = plainMessage(body);
    const isPlain = this.#terms === noNaiveTerms;
    const priority = isPlain ? 0 : (of * 7) % 11;
    const expirationMs = isPlain ? undefined : [undefined, undefined, 0, 10, 100][(of * 3) % 5];
    view.terms = termsOf(priority, expirationMs);
    this.#messages.nowMs = this.#host.clock.wallMs();
    for (const { real, naive } of queues) {
      const isTaken = real.publish(view);
      assert.equal(isTaken, naive.publish(body, priority, expirationMs), `${body} is taken`);
    }
  }

  #advance(ms: number): void {
    this.#host.clock.advance(ms);
    this.#messages.nowMs = this.#host.clock.wallMs();
    for (const { naive } of this.#queues) naive.advance(ms);
  }

  #subscribe(queue: QueuePair, of: number): void {
    const sink = this.#sinks[of % 2]!;
    const options = {
      tag: `c${++this.#made}`,
      noAck: of % 5 === 0,
      priority: [0, 0, 0, 1, -4][of % 7] ?? 0,
      prefetch: [1, 2, 5, 0][of % 4]!,
    };
    const real = testConsumer(queue.real, sink, options);
    const naive = { ...options, sink: sink.naive, unsettled: 0, parked: false };
    this.#consumers.push({ real, naive, queue });
    queue.real.subscribe(real);
    queue.naive.subscribe(naive);
  }

  #move(verb: "wake" | "unsubscribe", of: number): void {
    // Mostly one of whom it makes a difference, but any other will do, also one that has left.
    const fitting = this.#consumers.filter(({ naive, queue }) =>
      verb === "wake" ? naive.parked : queue.naive.consumers.includes(naive),
    );
    const candidates = of % 4 > 0 && fitting.length > 0 ? fitting : this.#consumers;
    const pair = candidates[of % Math.max(1, candidates.length)];
    if (pair === undefined) return;
    pair.queue.real[verb](pair.real);
    pair.queue.naive[verb](pair.naive);
  }

  #get({ real, naive }: QueuePair, noAck: boolean): void {
    const pulled = real.get(noAck, this.#view);
    const expected = naive.get(noAck);
    assert.equal(pulled !== undefined, expected !== undefined, "whether there is a message");
    if (pulled === undefined || expected === undefined) return;
    const { handle, sequence, redelivered, remaining } = pulled;
    const body = plainText(this.#view);
    assert.equal(body, expected.body);
    assert.equal(redelivered, expected.redelivered);
    assert.equal(remaining, naive.ready.length);
    if (!noAck) this.#deliveries.push({ queue: real, consumer: null, body, handle, sequence });
  }

  #limit(verb: "toggleRoom" | "limit", at: number, of: number): void {
    const sink = this.#sinks[at % 2]!;
    if (verb === "toggleRoom") {
      sink.writable = !sink.writable || of % 2 === 0;
      sink.naive.writable = sink.writable;
    } else {
      sink.limit = [0, 0, 0, 2, 8][of % 5]!;
      sink.naive.limit = sink.limit;
    }
  }

  #settle(verb: "acknowledge" | "reject" | "requeue" | "requeueMany", of: number): void {
    const settlement = verb === "requeueMany" ? "requeue" : verb;
    const count = verb === "requeueMany" ? 10 : 1;
    for (let nth = 0; nth < count && this.#deliveries.length > 0; nth++) {
      const at = (of + nth * 7) % this.#deliveries.length;
      const [delivery] = this.#deliveries.splice(at, 1);
      this.#settleOne(settlement, delivery!);
    }
    // Where time passes, nobody leaves what has come back without serving the queue.
    if (settlement !== "requeue" || this.#terms === noNaiveTerms) return;
    for (const { real, naive } of this.#queues) {
      real.serve();
      naive.serve();
    }
  }

  #settleOne(settlement: "acknowledge" | "reject" | "requeue", delivery: RealDelivery): void {
    const { queue, consumer, body, handle, sequence } = delivery;
    queue[settlement](handle, sequence);
    if (consumer !== null) {
      consumer.regainCredit();
      (consumer.sink as ChannelSink).onSettled();
    }
    const { naive } = [...this.#queues, ...this.#ended].find(({ real }) => real === queue)!;
    const expected = naive.unsettled.find(({ message }) => message.body === body);
    naive.settle(settlement, expected as NaiveDelivery);
  }

  #close(index: number, of: number): void {
    const ended = this.#queues[index]!;
    assert.equal(ended.real.close(), ended.naive.close());
    this.#ended.push(ended);
    this.#queues[index] = this.#declare(of % 2 === 0);
  }

  #check(): void {
    assert.deepEqual(this.#events, this.#naiveEvents);
    this.#events.length = 0;
    this.#naiveEvents.length = 0;
    for (const pair of [...this.#queues, ...this.#ended]) this.#checkQueue(pair);
    for (const { real, naive, queue } of this.#consumers) {
      assert.equal(real.parked, naive.parked, `${naive.tag} is parked`);
      assert.equal(real.unsettled, naive.unsettled, `unsettled of ${naive.tag}`);
      assert.equal(real.canTake, canTake(naive), `${naive.tag} can take a message`);
      if (queue.naive.awaitsServe || !queue.naive.waiting.includes(naive)) continue;
      if (real.canTake) assert.equal(queue.real.readyCount, 0, `${naive.tag} is kept waiting`);
    }
    const alive = [...this.#queues, ...this.#ended].flatMap(({ naive }) => [
      ...naive.ready.map(({ body }) => body),
      ...naive.unsettled.map(({ message }) => message.body),
    ]);
    assert.equal(this.#messages.liveMessages, new Set(alive).size, "messages in the store");
    this.#ended = this.#ended.filter(({ naive }) => naive.unsettled.length > 0);
    if (this.#consumers.length > 30) this.#forgetLeavers();
  }

  #checkQueue({ real, naive }: QueuePair): void {
    assert.equal(real.deleted, naive.deleted);
    if (this.#terms !== noNaiveTerms) this.#checkDeaths(naive);
    assert.equal(real.readyCount, naive.ready.length, `readyCount of ${naive.name}`);
    assert.equal(real.unsettledCount, naive.unsettled.length, `unsettledCount of ${naive.name}`);
    assert.equal(real.consumerCount, naive.consumers.length, `consumerCount of ${naive.name}`);
    assert.deepEqual(real.counts, naive.counts, `counts of ${naive.name}`);
    assert.deepEqual(
      [...real.consumers()].map(({ tag }) => tag),
      naive.consumers.map(({ tag }) => tag),
    );
  }

  #checkDeaths({ name, deaths }: NaiveQueue): void {
    const found = this.#host.deathsIn(name).splice(0);
    const expected = deaths.splice(0);
    // Those that have expired behind others go in the order of their times.
    if (this.#terms.expiresAnywhere) for (const each of [found, expected]) each.sort();
    assert.deepEqual(found, expected, `dead letters of ${name}`);
  }

  #forgetLeavers(): void {
    this.#consumers = this.#consumers.filter(
      ({ naive, queue }) => naive.unsettled > 0 || queue.naive.consumers.includes(naive),
    );
  }

  /** Settles what is left, in two ways, and ends the queues: nothing may remain. */
  #finish(): void {
    for (const [index] of this.#queues.entries()) this.#close(index, index);
    for (const [index, delivery] of this.#deliveries.splice(0).entries()) {
      this.#settleOne(index % 2 === 0 ? "requeue" : "acknowledge", delivery);
    }
    this.#check();
    assert.equal(this.#messages.liveMessages, 0, "no message is leaked");
  }
}

/** Each verb as often as its weight says. */
const verbList = Object.entries(verbs).flatMap(([verb, weight]) =>
  Array.from({ length: weight * 5 }, () => verb as Verb),
);

/** As a client would ask for it, with somewhere to send dead letters. */
function argumentsFor(terms: NaiveTerms): Record<string, unknown> {
  if (terms === noNaiveTerms) return {};
  const limits = {
    "x-message-ttl": terms.ttlMs,
    "x-max-length": terms.lengthMax,
    "x-max-length-bytes": terms.bytesMax,
    "x-delivery-limit": terms.deliveryLimit,
  };
  const finite = Object.entries(limits).filter(([, value]) => Number.isFinite(value));
  return {
    ...Object.fromEntries(finite),
    "x-max-priority": terms.priorityMax,
    "x-overflow": terms.overflow,
    "x-expire-anywhere": terms.expiresAnywhere,
    "x-dead-letter-exchange": "dlx",
  };
}

const none = Number.POSITIVE_INFINITY;
const someTerms: fc.Arbitrary<NaiveTerms> = fc.record({
  ttlMs: fc.constantFrom(none, none, 0, 20, 150),
  lengthMax: fc.constantFrom(none, none, 0, 1, 4, 15),
  bytesMax: fc.constantFrom(none, none, none, 40, 200),
  overflow: fc.constantFrom("drop-head", "drop-head", "reject-publish", "reject-publish-dlx"),
  priorityMax: fc.constantFrom(0, 0, 2, 9),
  deliveryLimit: fc.constantFrom(none, none, 0, 1, 3),
  expiresAnywhere: fc.boolean(),
});

export function queueModelContract(kind: string, createQueue: QueueFactory): void {
  describe(`${kind} against the naive queue`, () => {
    test("they do the same, whatever happens and is asked of them", async () => {
      const step = fc.record({
        verb: fc.constantFrom(...verbList),
        at: fc.nat(1),
        of: fc.nat(10_000),
      });
      const steps = fc.array(step, { maxLength: 300, size: "max" });
      const areSingle = fc.tuple(fc.boolean(), fc.boolean());
      const terms = fc.oneof(fc.constant(noNaiveTerms), someTerms);
      await fc.assert(
        fc.asyncProperty(areSingle, terms, steps, async (areSingle, terms, steps) => {
          await new Comparison(createQueue, areSingle, terms).run(steps);
        }),
        { numRuns: 300 },
      );
    });

    test("they do the same for long", async () => {
      const seed = Number(process.env.HAREMQ_SEED ?? Date.now());
      const random = new SeededRandom(seed);
      const steps = Array.from({ length: 8000 }, () => ({
        verb: random.pick(verbList),
        at: random.below(2),
        of: random.below(10_000),
      }));
      try {
        await new Comparison(createQueue, [false, true], noNaiveTerms).run(steps);
      } catch (error) {
        const reason = error instanceof Error ? error.message : error;
        throw new Error(`HAREMQ_SEED=${seed} repeats this: ${reason}`, { cause: error });
      }
    });
  });
}
