/**
 * Reads a command line as PerfTest does: `-x 4`, `-x4`, `--producers 4`, `--producers=4`. It knows
 * which options there are (option-table.ts), not what their values mean (perf-options.ts).
 */

import { type OptionSpec, optionTable } from "./option-table.ts";

/** The user asked for something that does not exist or makes no sense: one line, exit code 2. */
export class UsageError extends Error {
  constructor(text: string) {
    super(text);
    this.name = "UsageError";
  }
}

/** What was given, by long name. */
export class CommandLine {
  readonly #given = new Map<string, string[]>();

  constructor(argv: readonly string[]) {
    for (let at = 0; at < argv.length; ) at = this.#read(argv, at);
  }

  has(long: string): boolean {
    return this.#given.has(long);
  }

  /** The last value given, or undefined; an optional value left out is an empty string. */
  text(long: string): string | undefined {
    return this.#given.get(long)?.at(-1);
  }

  list(long: string): string[] {
    return this.#given.get(long) ?? [];
  }

  /** A whole number of at least `min`. */
  integer<T>(long: string, absent: T, min = 0): number | T {
    const text = this.text(long);
    if (text === undefined) return absent;
    const number = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(number) || number < min) {
      throw new UsageError(`--${long} is a whole number of at least ${min}, not "${text}"`);
    }
    return number;
  }

  /** A number of at least 0, with a fraction perhaps. */
  number<T>(long: string, absent: T): number | T {
    const text = this.text(long);
    if (text === undefined) return absent;
    const number = Number(text);
    if (!/^\d+(\.\d+)?$/.test(text) || !Number.isFinite(number)) {
      throw new UsageError(`--${long} is a number of at least 0, not "${text}"`);
    }
    return number;
  }

  boolean(long: string, absent: boolean): boolean {
    const text = this.text(long);
    if (text === undefined) return absent;
    if (text === "true" || text === "false") return text === "true";
    throw new UsageError(`--${long} is true or false, not "${text}"`);
  }

  /** Reads the option at `at` and its values; returns where the next one is. */
  #read(argv: readonly string[], at: number): number {
    const token = argv[at] as string;
    const { spec, attached } = identify(token);
    const values = this.#given.get(spec.long) ?? [];
    this.#given.set(spec.long, values);
    if (spec.kind === "flag") {
      if (attached !== undefined) throw new UsageError(`--${spec.long} takes no value`);
      return at + 1;
    }
    if (attached !== undefined) {
      values.push(...(spec.kind === "list" ? attached.split(",") : [attached]));
      return at + 1;
    }
    let next = at + 1;
    const following: string[] = [];
    while (next < argv.length && isValue(argv[next] as string)) {
      following.push(argv[next++] as string);
      if (spec.kind !== "list") break;
    }
    if (following.length === 0 && spec.kind === "optional") following.push("");
    if (following.length === 0) throw new UsageError(`--${spec.long} needs a value`);
    values.push(
      ...(spec.kind === "list" ? following.flatMap((text) => text.split(",")) : following),
    );
    return next;
  }
}

/** Which option a token names, and the value that is attached to it. */
function identify(token: string): { spec: OptionSpec; attached: string | undefined } {
  const [, dashes = "", name = "", attached] = /^(--?)([^=]+)(?:=(.*))?$/s.exec(token) ?? [];
  const spec = optionTable.find((each) => (dashes === "--" ? each.long : each.short) === name);
  if (spec !== undefined) return { spec, attached };
  const [, letter, number] = /^-([a-zA-Z])(\d+(?:\.\d+)?)$/.exec(token) ?? [];
  const short = optionTable.find((each) => each.short === letter && each.kind === "value");
  if (short !== undefined) return { spec: short, attached: number };
  throw new UsageError(
    token.startsWith("-") ? `unknown option ${token}` : `unexpected argument "${token}"`,
  );
}

/** Whatever does not look like an option; negative numbers are values, as in PerfTest. */
function isValue(token: string): boolean {
  return !token.startsWith("-") || token === "-" || /^-\d+(\.\d+)?$/.test(token);
}
