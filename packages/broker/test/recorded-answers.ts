/**
 * Reads the tables under recorded/: what a RabbitMQ 3.10.8 answered when it was asked once. Each
 * file says at its top what its columns are. Used by the tests of declarations.
 */

import { readFileSync } from "node:fs";
import { FieldTable, type FieldValue, textField } from "@haremq/wire";

/** What RabbitMQ calls each type of field. */
const typeNames: Readonly<Record<FieldValue["type"], string>> = {
  t: "bool",
  b: "byte",
  B: "unsignedbyte",
  s: "short",
  u: "unsignedshort",
  I: "signedint",
  i: "unsignedint",
  l: "long",
  f: "float",
  d: "double",
  D: "decimal",
  S: "longstr",
  A: "array",
  T: "timestamp",
  F: "table",
  V: "void",
  x: "binary",
};

/** One argument with one value, and what RabbitMQ said to it. */
export interface ArgumentAnswer {
  readonly queueType: string;
  readonly argument: string;
  readonly literal: string;
  /** The explanation of a PRECONDITION_FAILED, or undefined if it was accepted. */
  readonly refusal: string | undefined;
}

/** The rows of a table, cut into columns. */
export function recordedRows(file: string): string[][] {
  const text = readFileSync(new URL(`recorded/${file}`, import.meta.url), "utf8");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => line.split("\t"));
}

export function recordedArgumentAnswers(file: string): ArgumentAnswer[] {
  const answers: ArgumentAnswer[] = [];
  for (const [queueType, names, literals, answer] of recordedRows(file)) {
    for (const argument of names!.split(" ")) {
      for (const literal of literals!.split(" ")) {
        const refusal = answer === "ok" ? undefined : answerText(answer!, argument, literal);
        answers.push({ queueType: queueType!, argument, literal, refusal });
      }
    }
  }
  return answers;
}

/** The field that a literal such as I:5 stands for; undefined for none at all. */
export function fieldFromLiteral(literal: string): FieldValue | undefined {
  const text = literal.slice(2);
  const type = literal[0] as FieldValue["type"] | "-";
  switch (type) {
    case "-":
      return undefined;
    case "t":
      return { type, value: text === "true" };
    case "f":
    case "d":
      return { type, value: Number(text) };
    case "D": {
      const [scale, unscaled] = text.split(",").map(Number);
      return { type, value: { scale: scale!, unscaled: unscaled! } };
    }
    case "S":
      return textField(decodeURIComponent(text));
    case "x":
      return { type, value: Buffer.from(decodeURIComponent(text)) };
    case "A":
      return { type, value: [{ type: "I", value: 5 }] };
    case "F":
      return { type, value: new FieldTable([{ name: "a", value: { type: "I", value: 1 } }]) };
    case "V":
      return { type, value: null };
    case "l":
    case "T":
      return { type, value: Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text) };
    default:
      return { type, value: Number(text) };
  }
}

export function tableWith(entries: Readonly<Record<string, FieldValue | undefined>>): FieldTable {
  const table = new FieldTable();
  for (const [name, value] of Object.entries(entries)) {
    if (value !== undefined) table.entries.push({ name, value });
  }
  return table;
}

function answerText(answer: string, argument: string, literal: string): string {
  return answer
    .replace("%A", `invalid arg '${argument}' for queue 'q' in vhost '/'`)
    .replace("%T", typeNames[literal[0] as FieldValue["type"]])
    .replace("%V", literal.slice(2));
}
