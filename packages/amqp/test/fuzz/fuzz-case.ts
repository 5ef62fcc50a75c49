/**
 * One case of the fuzzer: what a few clients do to the broker, step by step. A case is made from
 * its seed alone, so a seed is all that is needed to see a failure again; steps can be left out to
 * find those that matter.
 */

import { SeededRandom } from "@haremq/kernel";
import { FrameMaker } from "./frame-maker.ts";
import { mutations } from "./mutations.ts";

export type Step = {
  /** Which of the case's connections. */
  readonly connection: number;
} & (
  | { readonly kind: "send"; readonly bytes: Buffer; readonly note: string }
  /** Lets the broker read what was sent so far by itself. */
  | { readonly kind: "turn" }
  /** Agrees to every channel.close that has come, and opens those channels again. */
  | { readonly kind: "agree" }
  /** Settles every delivery that has come and is owed a settlement. */
  | { readonly kind: "settle"; readonly how: "ack" | "requeue" | "reject" }
  | { readonly kind: "stop reading" }
  | { readonly kind: "read again" }
  | { readonly kind: "end sending" }
  | { readonly kind: "vanish" }
  | { readonly kind: "wait"; readonly ms: number }
);

export interface FuzzCase {
  readonly seed: number;
  readonly connections: number;
  readonly steps: readonly Step[];
}

const mutationNames = Object.keys(mutations);

export function makeCase(seed: number): FuzzCase {
  const random = new SeededRandom(seed);
  const connections = 1 + random.below(3);
  // A third of the cases is sound from end to end: those go deepest.
  const mutationOdds = random.pick([0, 40, 15]);
  const plans = Array.from({ length: connections }, (_, connection) =>
    planConnection(random, connection, mutationOdds),
  );
  return { seed, connections, steps: interleave(random, plans) };
}

export function describeStep(step: Step): string {
  const where = `connection ${step.connection}: ${step.kind}`;
  if (step.kind === "wait") return `${where} ${step.ms} ms`;
  if (step.kind === "settle") return `${where}: ${step.how}`;
  if (step.kind !== "send") return where;
  const shown = step.bytes.toString("hex", 0, 64);
  const rest = step.bytes.length > 64 ? `... (${step.bytes.length} bytes)` : "";
  return `${where} ${step.note} ${shown}${rest}`;
}

function planConnection(random: SeededRandom, connection: number, mutationOdds: number): Step[] {
  const maker = new FrameMaker(random);
  const steps: Step[] = [];
  const mutates = () => mutationOdds > 0 && random.below(mutationOdds) === 0;
  const send = (frames: Buffer[]): void => {
    let sent = frames;
    let note = "";
    while (mutates() && note.length < 60) {
      const name = random.pick(mutationNames);
      sent = mutations[name]!(sent, random);
      note += `[${name}]`;
    }
    for (const bytes of sent) addBytes(random, steps, connection, bytes, note);
  };
  for (const part of maker.handshake()) {
    send([part]);
    // Some clients wait for answers, some do not.
    if (random.below(3) > 0) steps.push({ connection, kind: "turn" });
  }
  steps.push({ connection, kind: "turn" });
  if (random.below(4) > 0) send(maker.setUp());
  for (let actions = 5 + random.below(40); actions > 0; actions--) {
    send(maker.action());
    addEvent(random, steps, connection);
  }
  return steps;
}

/** Sends the bytes at once, or cut where the broker sees it. */
function addBytes(
  random: SeededRandom,
  steps: Step[],
  connection: number,
  bytes: Buffer,
  note: string,
): void {
  let start = 0;
  if (bytes.length > 1 && random.below(10) === 0) {
    for (let cuts = 1 + random.below(3); cuts > 0; cuts--) {
      const end = Math.min(bytes.length, start + 1 + random.below(bytes.length));
      steps.push({ connection, kind: "send", bytes: bytes.subarray(start, end), note });
      steps.push({ connection, kind: "turn" });
      start = end;
    }
  }
  if (start < bytes.length) {
    steps.push({ connection, kind: "send", bytes: bytes.subarray(start), note });
  }
}

function addEvent(random: SeededRandom, steps: Step[], connection: number): void {
  const kind = random.below(200);
  if (kind < 30) steps.push({ connection, kind: "turn" });
  else if (kind < 45) steps.push({ connection, kind: "turn" }, { connection, kind: "agree" });
  else if (kind < 60) {
    const how = random.pick(["ack", "ack", "requeue", "reject"] as const);
    steps.push({ connection, kind: "settle", how });
  } else if (kind < 63) steps.push({ connection, kind: "stop reading" });
  else if (kind < 68) steps.push({ connection, kind: "read again" });
  else if (kind < 70)
    steps.push({ connection, kind: "wait", ms: random.pick([500, 3000, 61_000]) });
  else if (kind < 71) steps.push({ connection, kind: "end sending" });
  else if (kind < 72) steps.push({ connection, kind: "vanish" });
}

/** One list out of several, each of which keeps its order. */
function interleave(random: SeededRandom, plans: readonly Step[][]): Step[] {
  const steps: Step[] = [];
  const left = plans.map((plan) => [...plan]).filter((plan) => plan.length > 0);
  while (left.length > 0) {
    const at = random.below(left.length);
    const plan = left[at]!;
    for (let run = 1 + random.below(6); run > 0 && plan.length > 0; run--) {
      steps.push(plan.shift()!);
    }
    if (plan.length === 0) left.splice(at, 1);
  }
  return steps;
}
