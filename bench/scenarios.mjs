// What can be measured: for each scenario a title, the load generator's options and, where the
// project has set itself one, a goal. Read by every other file of the benchmark; the letters are
// stable, so that results of different days can be compared.
//
// A goal is about the first target: rate (consumed messages a second), kibPerConnection, startS,
// idleMb and those of a backlog hold by themselves; rateRatio and cpuRatio compare it with RabbitMQ
// 3.10 in the same run, cpuRatio being the processor time a message of RabbitMQ divided by ours.

const durable1Kib = "--persistent --durable --size 1024";
const durable100B = "--persistent --durable --size 100";
const window200 = `${durable1Kib} --confirm 200 --prefetch 200`;

/**
 * kind: "load" runs the generator for a window of time, repeatedly; the others are procedures in
 * procedures.mjs. steady: at a given rate, so that the time from publish to delivery is the
 * broker's and not that of a queue which grows as fast as the publisher can fill it. once: too
 * long, or too little scattered, to be repeated. needs: what a target must be given. messages and
 * survives: how large a backlog is, and whether it is to be there after restarts.
 *
 * @typedef {{ kind: string, title: string, load?: string, steady?: boolean, once?: boolean,
 *   messages?: number, survives?: boolean, needs?: string[], goal?: Record<string, number> }}
 *   Scenario
 * @type {Record<string, Scenario>}
 */
export const scenarios = {
  a: {
    kind: "load",
    title: "transient 16 B, 1 publisher, 1 consumer, automatic ack",
    load: "--size 16",
    goal: { rateRatio: 8, rate: 1_000_000, cpuRatio: 12 },
  },
  b: {
    kind: "load",
    title: "the same with 1 KiB",
    load: "--size 1024",
    goal: { rateRatio: 4, cpuRatio: 6 },
  },
  c: {
    kind: "load",
    title: "persistent 1 KiB, confirm window 200, prefetch 200, ack each",
    load: `${window200} --ack 1`,
    goal: { rateRatio: 4, cpuRatio: 8 },
  },
  c50: {
    kind: "load",
    title: "the same, one multiple ack per 50",
    load: `${window200} --ack 50`,
  },
  cw: {
    kind: "load",
    title: "persistent 1 KiB, confirm window 1000, prefetch 1000, multiple ack per 50",
    load: `${durable1Kib} --confirm 1000 --prefetch 1000 --ack 50`,
    goal: { rateRatio: 8, cpuRatio: 12 },
  },
  cw1: {
    kind: "load",
    title: "persistent 1 KiB, one confirm at a time",
    load: `${durable1Kib} --confirm 1 --prefetch 200 --ack 1`,
    goal: { rateRatio: 1 },
  },
  d: {
    kind: "load",
    title: "like c, 10 queues, 10 publishers, 10 consumers",
    load: `${window200} --ack 1 --queues 10 --pubs 10 --cons 10`,
    goal: { rateRatio: 6 },
  },
  e: {
    kind: "load",
    title: "fan-out 1 to 10 queues, 100 B, automatic ack",
    load: "--exchange fanout --queues 10 --cons 10 --size 100",
    goal: { rateRatio: 6 },
  },
  f: {
    kind: "load",
    title: "topic exchange with 1,000 bindings, 100 B, automatic ack",
    load: "--exchange topic --bindings 1000 --size 100",
    goal: { rateRatio: 12 },
  },
  i: {
    kind: "load",
    title: "like c on a quorum queue",
    load: `${window200} --ack 1 --qtype quorum`,
  },
  l: {
    kind: "load",
    title: "persistent 1 KiB at 1,000 messages a second",
    steady: true,
    load: `${window200} --ack 1 --rate 1000`,
  },
  h: {
    kind: "idle",
    title: "5,000 idle connections with one channel each",
    load: "--idle 5000 --time 5",
    once: true,
    goal: { kibPerConnection: 25 },
  },
  k: {
    kind: "start",
    title: "start to the first AMQP handshake, memory when idle",
    needs: ["start"],
    goal: { startS: 0.5, idleMb: 80 },
  },
  g: {
    kind: "backlog",
    title: "1,000,000 x 1 KiB backlog: publish, restart, kill -9, drain",
    ...{ messages: 1_000_000, load: durable1Kib, survives: true },
    needs: ["start", "data"],
    once: true,
    goal: { publishRate: 120_000, residentMb: 300, restartS: 2, drainRate: 150_000 },
  },
  g10: {
    kind: "backlog",
    title: "the same with 10,000,000 x 100 B",
    ...{ messages: 10_000_000, load: durable100B, survives: true },
    needs: ["start", "data"],
    once: true,
    goal: { residentMb: 400, restartS: 15 },
  },
  g100: {
    kind: "backlog",
    title: "the same with 100,000,000 x 100 B",
    ...{ messages: 100_000_000, load: durable100B, survives: true },
    needs: ["start", "data"],
    once: true,
  },
  gt: {
    kind: "backlog",
    title: "10,000,000 x 100 B backlog, transient: publish, drain",
    ...{ messages: 10_000_000, load: "--size 100", survives: false },
    needs: ["data"],
    once: true,
    goal: { residentMb: 400 },
  },
};

/** Measured when none is named: what has a goal. */
export const defaultScenarios = ["a", "b", "c", "cw", "cw1", "d", "e", "f", "h", "k"];
