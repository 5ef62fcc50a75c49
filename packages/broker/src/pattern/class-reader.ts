/** Reads what stands between brackets in a pattern, and the escapes that mean octets. */

import { ByteSet, escapeClass, posixClass, propertyClass } from "./byte-set.ts";
import type { PatternReader } from "./pattern-reader.ts";

const controls: Readonly<Record<string, number>> = {
  a: 0x07,
  e: 0x1b,
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
};

export class ClassReader {
  readonly #reader: PatternReader;

  constructor(reader: PatternReader) {
    this.#reader = reader;
  }

  /** Behind the opening bracket; passes the closing one. */
  read(): ByteSet {
    const reader = this.#reader;
    const isNegated = reader.take("^");
    const set = new ByteSet();
    while (reader.take("\\E"));
    // A bracket that comes first does not close the class.
    if (reader.take("]")) this.#addRangeFrom(0x5d, set);
    while (!reader.take("]")) {
      if (reader.atEnd) throw reader.error("missing terminating ] for character class");
      this.#addItem(set);
    }
    return isNegated ? set.inverse() : set;
  }

  #addItem(set: ByteSet): void {
    const reader = this.#reader;
    if (reader.take("\\E")) return;
    if (reader.take("\\Q")) {
      for (const octet of reader.takeMatch(/(?:(?!\\E).)*/sy) ?? "") {
        set.addRange(octet.charCodeAt(0), octet.charCodeAt(0));
      }
      return;
    }
    const named = reader.takeMatch(/\[([:.=])\^?[a-z]*\1\]/y);
    if (named !== undefined) {
      set.addAll(this.#posix(named));
      return;
    }
    const item = this.#octetOrClass();
    if (item instanceof ByteSet) set.addAll(item);
    else this.#addRangeFrom(item, set);
  }

  /** The octet, and the others up to the one behind a hyphen. */
  #addRangeFrom(first: number, set: ByteSet): void {
    const reader = this.#reader;
    if (!reader.startsWithMatch(/-(?!\]|\\E\])./sy)) {
      set.addRange(first, first);
      return;
    }
    reader.next();
    if (reader.startsWithMatch(/\[[:.=]\^?[a-z]*[:.=]\]/y)) {
      throw reader.error("invalid range in character class");
    }
    const last = this.#octetOrClass();
    if (last instanceof ByteSet) {
      throw reader.error("invalid range in character class", reader.offset - 1);
    }
    if (last < first) {
      throw reader.error("range out of order in character class", reader.offset - 1);
    }
    set.addRange(first, last);
  }

  #octetOrClass(): ByteSet | number {
    const octet = this.#reader.next();
    return octet === "\\" ? this.#meaning(true) : octet.charCodeAt(0);
  }

  #posix(item: string): ByteSet {
    const reader = this.#reader;
    const start = reader.offset - item.length;
    if (item[1] !== ":") {
      throw reader.error("POSIX collating elements are not supported", start);
    }
    const isNegated = item[2] === "^";
    const set = posixClass(item.slice(isNegated ? 3 : 2, -2));
    if (set === undefined) throw reader.error("unknown POSIX class name", start + 2);
    return isNegated ? set.inverse() : set;
  }

  /** What the escape behind a backslash stands for, outside of brackets. */
  escape(): ByteSet {
    const meant = this.#meaning(false);
    return meant instanceof ByteSet ? meant : ByteSet.of((octet) => octet === meant);
  }

  #meaning(inClass: boolean): ByteSet | number {
    const reader = this.#reader;
    if (reader.atEnd) throw reader.error("\\ at end of pattern");
    const letter = reader.next();
    if (Object.hasOwn(controls, letter)) return controls[letter]!;
    const set = escapeClass(letter);
    if (set !== undefined) return set;
    switch (letter) {
      case "p":
      case "P":
        return this.#property(letter === "P");
      case "b":
        return 0x08;
      case "c":
        return this.#control();
      case "x":
        return this.#hexadecimal();
      case "o":
        return this.#braced(/[0-7]/y, 8, "octal");
      case "0":
        return Number.parseInt(`0${reader.takeMatch(/[0-7]{1,2}/y) ?? ""}`, 8);
      default:
        if (inClass && /[1-7]/.test(letter)) {
          return Number.parseInt(letter + (reader.takeMatch(/[0-7]{1,2}/y) ?? ""), 8) & 0xff;
        }
        if (inClass && letter === "N") this.#refuse("\\N is not supported in a class");
        if (/[LlNuU]/.test(letter)) {
          this.#refuse("PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u");
        }
        return letter.charCodeAt(0);
    }
  }

  /** Refuses what was just passed. */
  #refuse(explanation: string): never {
    throw this.#reader.error(explanation, this.#reader.offset - 1);
  }

  #property(isNegated: boolean): ByteSet {
    const reader = this.#reader;
    if (reader.atEnd) throw reader.error("malformed \\P or \\p sequence");
    const isBraced = reader.take("{");
    const isInverse = isBraced && reader.take("^");
    const name = isBraced ? reader.takeMatch(/[^}]*/y) : reader.next();
    if (name === undefined || (isBraced && !reader.take("}"))) {
      throw reader.error("malformed \\P or \\p sequence");
    }
    const set = propertyClass(name);
    if (set === undefined) this.#refuse("unknown property name after \\P or \\p");
    return isNegated === isInverse ? set : set.inverse();
  }

  #control(): number {
    const reader = this.#reader;
    if (reader.atEnd) throw reader.error("\\c at end of pattern");
    const letter = reader.next();
    if (letter > "\x7f") this.#refuse("\\c must be followed by an ASCII character");
    return letter.toUpperCase().charCodeAt(0) ^ 0x40;
  }

  #hexadecimal(): number {
    const reader = this.#reader;
    if (reader.startsWith("{")) return this.#braced(/[0-9A-Fa-f]/y, 16, "hex");
    return Number.parseInt(`0${reader.takeMatch(/[0-9A-Fa-f]{1,2}/y) ?? ""}`, 16);
  }

  /** Digits between braces. */
  #braced(digit: RegExp, radix: number, kind: "octal" | "hex"): number {
    const reader = this.#reader;
    const letters = kind === "octal" ? "\\o" : "\\x";
    if (!reader.take("{")) this.#refuse(`missing opening brace after ${letters}`);
    let value = 0;
    do {
      const found = reader.takeMatch(digit);
      if (found === undefined) {
        throw reader.error(`non-${kind} character in ${letters}{} (closing brace missing?)`);
      }
      value = value * radix + Number.parseInt(found, radix);
      if (value > 0xff) throw reader.error("character value in \\x{} or \\o{} is too large");
    } while (!reader.take("}"));
    return value;
  }
}
