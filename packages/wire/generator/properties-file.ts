// Writes generated/properties.ts: the interface of the message properties, their flags, decoder,
// measurer and encoder.

import type { FieldDescription } from "../src/protocol/description.ts";
import { camelCase, header, pascalCase } from "./source-text.ts";

interface PropertyRule {
  typescript: string;
  read: string;
  measure: (value: string) => string;
  write: (value: string) => string;
}

const rules: Partial<Record<FieldDescription["type"], PropertyRule>> = {
  shortstr: {
    typescript: "string",
    read: "shortString",
    measure: (value) => `1 + shortStringByteLength(${value})`,
    write: (value) => `shortString(${value})`,
  },
  octet: {
    typescript: "number",
    read: "uint8",
    measure: () => "1",
    write: (value) => `uint8(${value})`,
  },
  table: {
    typescript: "FieldTable",
    read: "table",
    measure: (value) => `tableByteLength(${value})`,
    write: (value) => `table(${value})`,
  },
  timestamp: {
    typescript: "number | bigint",
    read: "exactUint64",
    measure: (value) => `uint64ByteLength(${value})`,
    write: (value) => `uint64(${value})`,
  },
};

export function propertiesFile(properties: readonly FieldDescription[]): string {
  const known = properties.map((property, index) => {
    const rule = rules[property.type];
    if (!rule) throw new Error(`no rule for a property of type ${property.type}`);
    const flag = `0x${(0x8000 >>> index).toString(16).padStart(4, "0")}`;
    return { rule, flag, type: pascalCase(property.name), name: camelCase(property.name) };
  });
  const members = known.map(({ name, rule }) => `  ${name}?: ${rule.typescript};\n`);
  const flags = known.map(({ type, flag }) => `  ${type}: ${flag},\n`);
  const decode = known.map(
    ({ flag, name, rule }) =>
      `  if (flags & ${flag}) properties.${name} = reader.${rule.read}();\n`,
  );
  const measure = known.map(({ name, rule }) => {
    const value = `properties.${name}`;
    return conditional(`${value} !== undefined`, `bytes += ${rule.measure(value)};`);
  });
  const flagOf = known.map(
    ({ flag, name }) => `  if (properties.${name} !== undefined) flags |= ${flag};\n`,
  );
  const encode = known.map(({ name, rule }) => {
    const value = `properties.${name}`;
    return conditional(`${value} !== undefined`, `writer.${rule.write(value)};`);
  });
  return `${header(`Message properties: a word of flags, highest bit first, then the properties that are present.
A set lowest bit announces another word of flags; none of its bits is defined in 0-9-1.`)}\
import type { FieldTable } from "../field-table.ts";
import { tableByteLength } from "../field-writer.ts";
import { decodePropertyFlags } from "../property-flags.ts";
import { shortStringByteLength } from "../text.ts";
import type { WireReader } from "../wire-reader.ts";
import { uint64ByteLength, type WireWriter } from "../wire-writer.ts";

export interface Properties {
${members.join("")}}

export const PropertyFlag = {
${flags.join("")}} as const;

/** The reader stands at the property flags. */
export function decodeProperties(reader: WireReader): Properties {
  const flags = decodePropertyFlags(reader);
  const properties: Properties = {};
${decode.join("")}  return properties;
}

/** The octets that encodeProperties will write, the flags included. */
export function propertiesByteLength(properties: Properties): number {
  let bytes = 2;
${measure.join("")}  return bytes;
}

/** Writes the flags and the properties that are not undefined. */
export function encodeProperties(writer: WireWriter, properties: Properties): void {
  writer.ensure(propertiesByteLength(properties));
  writer.uint16(flagsOf(properties));
${encode.join("")}}

function flagsOf(properties: Properties): number {
  let flags = 0;
${flagOf.join("")}  return flags;
}
`;
}

function conditional(condition: string, statement: string): string {
  const oneLine = `  if (${condition}) ${statement}\n`;
  return oneLine.length <= 101 ? oneLine : `  if (${condition})\n    ${statement}\n`;
}
