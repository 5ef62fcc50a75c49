/**
 * What the headers of a dead letter tell of its deaths, as RabbitMQ writes it: `x-death` with one
 * entry for each pair of queue and reason, the newest first, and the first and the last death once
 * more by themselves. Dead letters get it when they move; cycles are found by it.
 */

import {
  encodeText,
  FieldTable,
  type FieldValue,
  fieldText,
  type Properties,
  textByteLength,
} from "@haremq/wire";

/** More kinds of deaths than so many are forgotten, oldest first. */
const deathsMax = 256;

export interface Death {
  readonly queue: string;
  readonly reason: string;
  readonly exchange: string;
  /** Those the message was published with; BCC keys are not among them. */
  readonly routingKeys: readonly string[];
  /** Unix time in seconds. */
  readonly timeSeconds: number;
}

/** Notes the death in the properties, and takes the expiration out of them. */
export function noteDeath(properties: Properties, death: Death): void {
  const { expiration } = properties;
  delete properties.expiration;
  properties.headers ??= new FieldTable();
  const { headers } = properties;
  const deaths = deathsIn(headers);
  const same = deaths.findIndex((each) => isOf(each, death.queue, death.reason));
  const entry = same < 0 ? entryOf(death, expiration) : countedAgain(deaths[same]!);
  if (same >= 0) deaths.splice(same, 1);
  if (headers.get("x-death") === undefined) {
    headers.set("x-first-death-reason", text(death.reason));
    headers.set("x-first-death-queue", text(death.queue));
    headers.set("x-first-death-exchange", text(death.exchange));
  }
  headers.set("x-last-death-reason", text(death.reason));
  headers.set("x-last-death-queue", text(death.queue));
  headers.set("x-last-death-exchange", text(death.exchange));
  const tables = [entry, ...deaths].slice(0, deathsMax);
  headers.set("x-death", { type: "A", value: tables.map((value) => ({ type: "F", value })) });
  headers.entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/**
 * Whether a message that has died like that has been in this queue before, and nobody has rejected
 * it since: it would go round for ever. So may one that has died in more queues than it remembers.
 */
export function isCycle(headers: FieldTable, queue: string): boolean {
  const deaths = deathsIn(headers);
  for (const death of deaths) {
    if (fieldText(death.get("reason")) === "rejected") return false;
    if (fieldText(death.get("queue")) === queue) return true;
  }
  return deaths.length >= deathsMax;
}

function deathsIn(headers: FieldTable): FieldTable[] {
  const field = headers.get("x-death");
  if (field?.type !== "A") return [];
  return field.value.flatMap((each) => (each.type === "F" ? [each.value] : []));
}

function isOf(death: FieldTable, queue: string, reason: string): boolean {
  return fieldText(death.get("queue")) === queue && fieldText(death.get("reason")) === reason;
}

function entryOf(death: Death, expiration: string | undefined): FieldTable {
  const entry = new FieldTable();
  entry.set("count", { type: "l", value: 1 });
  entry.set("reason", text(death.reason));
  entry.set("queue", text(death.queue));
  entry.set("time", { type: "T", value: death.timeSeconds });
  entry.set("exchange", text(death.exchange));
  entry.set("routing-keys", { type: "A", value: death.routingKeys.map(text) });
  if (expiration !== undefined) entry.set("original-expiration", text(expiration));
  return entry;
}

function countedAgain(entry: FieldTable): FieldTable {
  const count = entry.get("count");
  const next = count?.type === "l" ? Number(count.value) + 1 : 1;
  entry.set("count", { type: "l", value: next });
  return entry;
}

function text(value: string): FieldValue {
  const bytes = Buffer.alloc(textByteLength(value));
  encodeText(value, bytes.length, bytes, 0);
  return { type: "S", value: bytes };
}
