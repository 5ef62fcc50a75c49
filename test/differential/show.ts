/** Frames, methods and steps as lines of text, for transcripts that people compare. */

import { createHash } from "node:crypto";
import type { RawFrame } from "@haremq/testkit";
import {
  type FieldEntry,
  FieldTable,
  type FieldValue,
  FrameType,
  fieldText,
  type Method,
} from "@haremq/wire";
import type { Step } from "./step.ts";

const bodyBytesShown = 40;
/** Headers that RabbitMQ 3.10 does not know yet; unit tests look at ours. */
const newerDeaths = "x-last-death-";

/** Of the server's properties these are the broker's own affair. */
const individual = new Set([
  "time",
  "cluster_name",
  "copyright",
  "information",
  "platform",
  "product",
  "version",
]);

export function showFrame(frame: RawFrame): string {
  if (frame.method !== undefined) return showMethod(frame.method);
  if (frame.header !== undefined) {
    const { bodySize, properties } = frame.header;
    return `header size=${bodySize} ${showFields(properties)}`.trimEnd();
  }
  if (frame.type === FrameType.Body) return `body ${showBytes(frame.payload)}`;
  return `frame type=${frame.type} ${showBytes(frame.payload)}`;
}

export function showMethod(method: Method): string {
  return `${method.name} ${showFields(method.args)}`.trimEnd();
}

export function showBytes(content: Buffer): string {
  if (content.length <= bodyBytesShown) return JSON.stringify(content.toString("latin1"));
  const digest = createHash("sha1").update(content).digest("hex").slice(0, 8);
  return `${content.length} bytes, sha1 ${digest}`;
}

function showFields(fields: object): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${showValue(name === "mechanisms" ? inOrder(value) : value)}`)
    .join(" ");
}

/** RabbitMQ offers mechanisms in an order that changes with the plugins that it runs. */
function inOrder(mechanisms: unknown): string {
  return String(mechanisms).split(" ").sort().join(" ");
}

function showValue(value: unknown): string {
  if (Buffer.isBuffer(value)) return showBytes(value);
  if (value instanceof FieldTable) return showTable(value);
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function showTable(table: FieldTable): string {
  const entries = table.entries
    .filter(({ name }) => !name.startsWith("haremq_") && !name.startsWith(newerDeaths))
    .map(({ name, value }) =>
      individual.has(name) ? `${name}: ${value.type} ...` : `${name}: ${showField(value)}`,
    );
  return `{${entries.join(", ")}}`;
}

/** Tables in tables: in the entries of x-death versions of RabbitMQ have different orders. */
function byName(a: FieldEntry, b: FieldEntry): number {
  return a.name < b.name ? -1 : 1;
}

function showField(field: FieldValue): string {
  switch (field.type) {
    case "S":
      return `S ${JSON.stringify(fieldText(field))}`;
    case "A":
      return `A [${field.value.map(showField).join(", ")}]`;
    case "F":
      return showTable(new FieldTable(field.value.entries.toSorted(byName)));
    case "x":
      return `x ${field.value.toString("hex")}`;
    case "D":
      return `D ${field.value.unscaled}/10^${field.value.scale}`;
    default:
      return `${field.type} ${field.value}`;
  }
}

export function showStep(step: Step): string {
  const place = `${step.connection}/${step.channel}`;
  switch (step.kind) {
    case "call":
      return `${place} ${showChanged(step.method)}`;
    case "publish": {
      const properties = showFields(step.properties);
      return `${place} ${showChanged(step.method)} ${showBytes(step.body)} ${properties}`.trimEnd();
    }
    case "bytes":
      return `${place} ${step.what}`;
    case "settle": {
      const flags = `${step.multiple ? " multiple" : ""}${step.requeue ? " requeue" : ""}`;
      return `${place} ${step.how} outstanding ${step.pick.toFixed(2)}${flags}`;
    }
    case "together":
      return step.steps.map(showStep).join("; ");
    case "connect":
      return `${step.connection} connect until ${step.until}`;
    case "operate":
      return `operator ${JSON.stringify(step.operation)}`;
    case "await":
      return `${place} await ${step.what}`;
    default:
      return `${place} ${step.kind}`;
  }
}

/** The arguments that were given, for brevity: those that are neither zero nor empty nor false. */
function showChanged(method: Method): string {
  const given = Object.entries(method.args).filter(([, value]) =>
    value instanceof FieldTable ? value.size > 0 : Boolean(value),
  );
  return `${method.name} ${showFields(Object.fromEntries(given))}`.trimEnd();
}
