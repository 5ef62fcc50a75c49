// Writes generated/CLASS.ts: for every method of one class its interface, decoder and encoder, then
// the class's union and its switches.

import type {
  ClassDescription,
  FieldDescription,
  FieldType,
  MethodDescription,
} from "../src/protocol/description.ts";
import { camelCase, header, importLine, list, methodTypeName, pascalCase } from "./source-text.ts";

interface TypeRule {
  typescript: string;
  /** Octets on the wire, without those that depend on the value. */
  fixedBytes: number;
  read: string;
  write: string;
  /** Checks the value before anything is written, and measures it where its length varies. */
  measure?: string;
  /** What a reserved field of this type is written as, and how it is skipped. */
  zero?: string;
  skip?: string;
}

const rules: Record<Exclude<FieldType, "bit" | "timestamp">, TypeRule> = {
  octet: { typescript: "number", fixedBytes: 1, read: "uint8", write: "uint8" },
  short: {
    typescript: "number",
    fixedBytes: 2,
    read: "uint16",
    write: "uint16",
    zero: "uint16(0)",
    skip: "skip(2)",
  },
  long: { typescript: "number", fixedBytes: 4, read: "uint32", write: "uint32" },
  deliveryTag: { typescript: "number", fixedBytes: 8, read: "deliveryTag", write: "uint64" },
  shortstr: {
    typescript: "string",
    fixedBytes: 1,
    read: "shortString",
    write: "shortString",
    measure: "shortStringByteLength",
    zero: "uint8(0)",
    skip: "utf8ShortString()",
  },
  longstr: {
    typescript: "Buffer",
    fixedBytes: 4,
    read: "longString",
    write: "longString",
    zero: "uint32(0)",
    skip: "skip(reader.uint32())",
  },
  table: {
    typescript: "FieldTable",
    fixedBytes: 0,
    read: "table",
    write: "table",
    measure: "tableByteLength",
  },
};

export function classFile(owner: ClassDescription): string {
  const body = owner.methods.map((method) => methodSource(owner, method)).join("\n");
  const dispatch = `${unionSource(owner)}\n${decodeSwitch(owner)}\n${encodeSwitch(owner)}`;
  const source = `${body}\n${dispatch}`;
  return (
    header(`Methods of class ${owner.name} (${owner.id}): arguments, decoders, encoders.`) +
    importsOf(source) +
    source
  );
}

/** Imports what the source mentions, in the linter's order. */
function importsOf(source: string): string {
  const candidates: [name: string, from: string, typeOnly: boolean][] = [
    ["FieldTable", "../field-table.ts", true],
    ["tableByteLength", "../field-writer.ts", false],
    ["UnknownMethodError", "../malformed-error.ts", false],
    ["shortStringByteLength", "../text.ts", false],
    ["WireReader", "../wire-reader.ts", true],
  ];
  const lines = candidates
    .filter(([name]) => new RegExp(`\\b${name}\\b`).test(source))
    .map(([name, from, typeOnly]) => importLine([name], from, typeOnly));
  const writer = source.includes("uint64ByteLength")
    ? importLine(["uint64ByteLength", "type WireWriter"], "../wire-writer.ts")
    : importLine(["WireWriter"], "../wire-writer.ts", true);
  return `${lines.join("")}${writer}${importLine(["MethodId"], "./method-id.ts")}\n`;
}

function methodSource(owner: ClassDescription, method: MethodDescription): string {
  const type = methodTypeName(owner, method);
  return [
    interfaceSource(type, method),
    decoderSource(type, method),
    encoderSource(type, owner, method),
  ].join("\n");
}

function interfaceSource(type: string, method: MethodDescription): string {
  const fields = method.fields.filter((field) => !field.reserved);
  if (fields.length === 0) return `export type ${type} = Record<string, never>;\n`;
  const members = fields.map((field) => `  ${camelCase(field.name)}: ${typescriptOf(field)};\n`);
  return `export interface ${type} {\n${members.join("")}}\n`;
}

function typescriptOf(field: FieldDescription): string {
  return field.type === "bit" ? "boolean" : ruleOf(field).typescript;
}

function decoderSource(type: string, method: MethodDescription): string {
  const members: string[] = [];
  const statements: string[] = [];
  let bit = 0;
  for (const field of method.fields) {
    const name = camelCase(field.name);
    if (field.type === "bit") {
      bit = nextBit(bit, method, field);
      if (bit === 1)
        statements.push(field.reserved ? "reader.skip(1);" : "const bits = reader.uint8();");
      if (!field.reserved) members.push(`${name}: (bits & ${bit}) !== 0`);
    } else if (field.reserved) {
      statements.push(`reader.${ruleOf(field).skip};`);
    } else {
      const local = localName(name);
      const read = readOf(method, field);
      statements.push(`const ${local} = reader.${read}();`);
      members.push(local === name ? name : `${name}: ${local}`);
    }
  }
  const parameter = method.fields.length === 0 ? "_reader" : "reader";
  statements.push(
    members.length === 0
      ? "return {};"
      : list("return {", members, "};", { separator: ",", last: ",", indent: 2 }),
  );
  return functionSource(`decode${type}(${parameter}: WireReader): ${type}`, statements);
}

function encoderSource(type: string, owner: ClassDescription, method: MethodDescription): string {
  const measures: string[] = [];
  const writes: string[] = [];
  const variable: string[] = [];
  let fixedBytes = 0;
  let bit = 0;
  for (const field of method.fields) {
    const name = camelCase(field.name);
    if (field.type === "bit") {
      bit = nextBit(bit, method, field);
      if (bit === 1) {
        fixedBytes += 1;
        measures.push(
          field.reserved
            ? "const bits = 0;"
            : `${flagsKeyword(method)} bits = args.${name} ? 1 : 0;`,
        );
        writes.push("writer.uint8(bits);");
      } else if (!field.reserved) {
        measures.push(`if (args.${name}) bits |= ${bit};`);
      }
      continue;
    }
    const rule = ruleOf(field);
    fixedBytes += rule.fixedBytes;
    if (field.reserved) {
      writes.push(`writer.${rule.zero};`);
    } else if (rule.measure) {
      measures.push(`const ${name}Bytes = ${rule.measure}(args.${name});`);
      variable.push(`${name}Bytes`);
      writes.push(`writer.${rule.write}(args.${name}, ${name}Bytes);`);
    } else {
      if (rule.write === "uint64") measures.push(`uint64ByteLength(args.${name});`);
      if (field.type === "longstr") variable.push(`args.${name}.length`);
      writes.push(`writer.${rule.write}(args.${name});`);
    }
  }
  const length = [
    ...(fixedBytes > 0 || variable.length === 0 ? [`${fixedBytes}`] : []),
    ...variable,
  ];
  const begin = list(
    "writer.beginMethod(",
    ["channel", `${owner.id}`, `${method.id}`, length.join(" + ")],
    ");",
    { separator: ",", last: ",", indent: 2 },
  );
  const taken = method.fields.some((field) => !field.reserved);
  const parameters = [
    "writer: WireWriter",
    "channel: number",
    taken ? `args: ${type}` : `_args?: ${type}`,
  ];
  return functionSource(
    `encode${type}(${parameters.join(", ")}): void`,
    [...measures, begin.replace(/^(.*\() (.*) (\);)$/, "$1$2$3"), ...writes, "writer.endFrame();"],
    [`encode${type}(`, parameters, "): void"],
  );
}

function flagsKeyword(method: MethodDescription): "const" | "let" {
  const bits = method.fields.filter((field) => field.type === "bit" && !field.reserved);
  return bits.length > 1 ? "let" : "const";
}

/**
 * The mask of this bit in its octet; no method of the protocol has more than eight bits or two
 * runs.
 */
function nextBit(previous: number, method: MethodDescription, field: FieldDescription): number {
  const index = method.fields.indexOf(field);
  const continues = index > 0 && method.fields[index - 1]?.type === "bit";
  if (previous > 0 && (!continues || previous === 128)) {
    throw new Error(`${method.name}: a second octet of bits`);
  }
  return previous === 0 ? 1 : previous << 1;
}

function ruleOf(field: FieldDescription): TypeRule {
  if (field.type === "bit" || field.type === "timestamp") throw new Error(`no rule: ${field.type}`);
  return rules[field.type];
}

/** Exchanges and routing keys of messages may be any octets, other short strings must be UTF-8. */
function readOf(method: MethodDescription, field: FieldDescription): string {
  if (field.type === "shortstr" && !method.content) return "utf8ShortString";
  return ruleOf(field).read;
}

/** "arguments" is no name for a variable. */
function localName(name: string): string {
  return name === "arguments" ? "table" : name;
}

function functionSource(
  signature: string,
  statements: readonly string[],
  broken?: [open: string, parameters: readonly string[], close: string],
): string {
  const oneLine = `export function ${signature} {`;
  const first =
    oneLine.length <= 100 || !broken
      ? oneLine
      : `export function ${broken[0]}\n${broken[1].map((p) => `  ${p},\n`).join("")}${broken[2]} {`;
  return `${first}\n${statements.map((line) => `  ${line}\n`).join("")}}\n`;
}

function unionSource(owner: ClassDescription): string {
  const members = owner.methods.map((method) => {
    const type = methodTypeName(owner, method);
    const fields = [
      `id: typeof MethodId.${type}`,
      `name: "${owner.name}.${method.name}"`,
      `args: ${type}`,
    ];
    return list("  | {", fields, "}", { separator: ";", last: ";", indent: 4 });
  });
  return `export type ${pascalCase(owner.name)}Method =\n${members.join("\n")};\n`;
}

function decodeSwitch(owner: ClassDescription): string {
  const union = `${pascalCase(owner.name)}Method`;
  const cases = owner.methods.map((method) => {
    const type = methodTypeName(owner, method);
    const members = [
      `id: MethodId.${type}`,
      `name: "${owner.name}.${method.name}"`,
      `args: decode${type}(reader)`,
    ];
    const object = list("      return {", members, "};", { separator: ",", last: ",", indent: 6 });
    return `    case ${method.id}:\n${object}\n`;
  });
  const refusal = `    default:\n      throw new UnknownMethodError(${owner.id}, methodId);\n`;
  const signature = `decode${union}(reader: WireReader, methodId: number): ${union}`;
  return `export function ${signature} {\n  switch (methodId) {\n${cases.join("")}${refusal}  }\n}\n`;
}

function encodeSwitch(owner: ClassDescription): string {
  const union = `${pascalCase(owner.name)}Method`;
  const cases = owner.methods.map((method) => {
    const type = methodTypeName(owner, method);
    return `    case MethodId.${type}:\n      encode${type}(writer, channel, method.args);\n      break;\n`;
  });
  const parameters = ["writer: WireWriter", "channel: number", `method: ${union}`];
  const oneLine = `export function encode${union}(${parameters.join(", ")}): void {`;
  const first =
    oneLine.length <= 100
      ? oneLine
      : `export function encode${union}(\n${parameters.map((p) => `  ${p},\n`).join("")}): void {`;
  return `${first}\n  switch (method.id) {\n${cases.join("")}  }\n}\n`;
}
