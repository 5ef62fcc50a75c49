/**
 * One scenario's share of the broker under test: names nobody else uses, and a list of what to
 * undo. `openBench` gives a test file its broker and a wrapper for its tests:
 *
 *     const bench = await openBench();
 *     test("a queue keeps what nobody reads", bench.scenario(async (bed) => { ... }));
 *
 * Whatever happens in a scenario, its connections are closed, and on an external broker every
 * queue and exchange it named is deleted. A scenario is bounded as a whole, because many client
 * promises never settle when a reply is missing.
 */
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { after } from "node:test";
import type { Channel, ChannelModel } from "amqplib";
import { connect } from "amqplib";
import type { BrokerUnderTest } from "./broker-under-test.ts";
import { brokerUnderTest } from "./broker-under-test.ts";
import { within } from "./deadline.ts";

const scenarioDeadlineMs = 15_000;
const run = randomUUID().slice(0, 8);
let named = 0;

export interface Bench {
  readonly broker: BrokerUnderTest;
  scenario(body: (bed: TestBed) => Promise<void>): (test: TestContext) => Promise<void>;
}

export async function openBench(): Promise<Bench> {
  const broker = await brokerUnderTest();
  after(() => broker.stop());
  return {
    broker,
    scenario: (body) => async (test) => {
      const bed = new TestBed(broker, test);
      try {
        await within(body(bed), "the scenario to end", scenarioDeadlineMs);
      } catch (failure) {
        // What went wrong first matters; a failing clean-up is often only its consequence.
        await within(bed.clear(), "the clean-up", scenarioDeadlineMs).catch(() => {});
        throw failure;
      }
      await within(bed.clear(), "the clean-up", scenarioDeadlineMs);
    },
  };
}

export class TestBed {
  readonly broker: BrokerUnderTest;
  readonly test: TestContext;
  readonly #undo: (() => unknown)[] = [];
  readonly #names: string[] = [];

  constructor(broker: BrokerUnderTest, test: TestContext) {
    this.broker = broker;
    this.test = test;
  }

  get url(): string {
    return this.broker.url;
  }

  /** A name for a queue or an exchange, unique to this scenario and deleted with it. */
  name(stem: string): string {
    const name = `haremq-test.${run}.${named++}.${stem}`;
    this.#names.push(name);
    return name;
  }

  /** Has a name that the scenario did not get from `name` deleted in the end. */
  remember(name: string): void {
    this.#names.push(name);
  }

  /** Runs at the end of the scenario, last deferred first, however the scenario ended. */
  defer(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  async clear(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
    if (this.broker.external && this.#names.length > 0) await this.#deleteNames();
  }

  async #deleteNames(): Promise<void> {
    const connection = await connect(this.broker.url, { noDelay: true });
    try {
      const channel = await connection.createChannel();
      for (const name of this.#names) await deleteEverythingNamed(channel, name);
    } finally {
      await connection.close();
    }
  }
}

/** Deleting what does not exist succeeds, so there is no need to know what a name was used for. */
async function deleteEverythingNamed(channel: Channel, name: string): Promise<void> {
  await channel.deleteQueue(name);
  // Server-named queues are remembered too, and the broker lets nobody delete an exchange amq.*.
  if (!name.startsWith("amq.")) await channel.deleteExchange(name);
}

/** Closes a connection that the scenario may have seen die already. */
export async function closeQuietly(connection: Pick<ChannelModel, "close">): Promise<void> {
  try {
    await connection.close();
  } catch {
    // It was closed by the broker or by the scenario, which was the point of the scenario.
  }
}
