/**
 * Names in a scenario against names on a broker. One Names belongs to one play of one scenario.
 *
 *   in the steps and the transcript     on the broker
 *   ~q                                  d17k3.04a.q       (the prefix is as long on every broker)
 *   <queue 1>                           amq.gen-tJ7iVdoYTQOnyV5eNOj1Gg
 *   <tag 1>                             amq.ctag-...
 *   <reply-to 1>                        amq.rabbitmq.reply-to.g1h2AA5yZXBse...
 */

import { FieldTable, type FieldValue, fieldText, type Method, textField } from "@haremq/wire";

const generated = [
  { kind: "queue", pattern: /amq\.gen-[\w-]{22}/g },
  { kind: "tag", pattern: /amq\.ctag-[\w-]{22}/g },
  { kind: "reply-to", pattern: /amq\.rabbitmq\.reply-to\.[\w+/=-]{8,}(?:\.[\w+/=-]+)?/g },
];

export class Names {
  readonly #prefix: string;
  readonly #symbols = new Map<string, string>();
  readonly #originals = new Map<string, string>();
  /** Every name of the scenario's own that a step has used. */
  readonly used = new Set<string>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What the broker is to be told. */
  outward(text: string): string {
    if (text.startsWith("~")) {
      const name = this.#prefix + text.slice(1);
      this.used.add(name);
      return name;
    }
    return this.#originals.get(text) ?? text;
  }

  /** What the transcript says. */
  inward(text: string): string {
    let shown = text.replaceAll(this.#prefix, "~");
    for (const { kind, pattern } of generated) {
      shown = shown.replace(pattern, (original) => this.#symbol(kind, original));
    }
    return shown;
  }

  /** Renames every string of something like JSON; in patterns too, wherever in them a "~" is. */
  outwardData<T>(data: T): T {
    return this.#outwardJson(data, "") as T;
  }

  #outwardJson(data: unknown, key: string): unknown {
    if (typeof data === "string") {
      return key === "pattern"
        ? data.replaceAll("~", this.#prefix.replaceAll(".", "\\."))
        : this.outward(data);
    }
    if (typeof data !== "object" || data === null) return data;
    if (Array.isArray(data)) return data.map((item) => this.#outwardJson(item, ""));
    const entries = Object.entries(data).map(([name, item]) => [
      name,
      this.#outwardJson(item, name),
    ]);
    return Object.fromEntries(entries);
  }

  outwardMethod(method: Method): Method {
    return { ...method, args: this.outwardFields(method.args) } as Method;
  }

  /** Renames every string of an object and of the tables in it. */
  outwardFields<T extends object>(fields: T): T {
    const renamed = Object.entries(fields).map(([key, value]) => [key, this.#outwardAny(value)]);
    return Object.fromEntries(renamed) as T;
  }

  #outwardAny(value: unknown): unknown {
    if (typeof value === "string") return this.outward(value);
    if (value instanceof FieldTable) return this.#outwardTable(value);
    return value;
  }

  #outwardTable(table: FieldTable): FieldTable {
    return new FieldTable(
      table.entries.map(({ name, value }) => ({ name, value: this.#outwardField(value) })),
    );
  }

  #outwardField(field: FieldValue): FieldValue {
    if (field.type === "S") {
      const text = fieldText(field) ?? "";
      const renamed = this.outward(text);
      return renamed === text ? field : textField(renamed);
    }
    if (field.type === "A") {
      return { type: "A", value: field.value.map((item) => this.#outwardField(item)) };
    }
    if (field.type === "F") return { type: "F", value: this.#outwardTable(field.value) };
    return field;
  }

  #symbol(kind: string, original: string): string {
    const known = this.#symbols.get(original);
    if (known !== undefined) return known;
    const count = [...this.#originals.keys()].filter((key) => key.startsWith(`<${kind} `)).length;
    const symbol = `<${kind} ${count + 1}>`;
    this.#symbols.set(original, symbol);
    this.#originals.set(symbol, original);
    return symbol;
  }
}
