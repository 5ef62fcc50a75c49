/**
 * Reads a pattern as PCRE does, of which Erlang, and so RabbitMQ, compiles patterns of policies and
 * permissions. Works on octets, and knows what to make of every construct that can be matched in
 * time proportional to the text; back references, recursion and the like are refused.
 *
 *     choice   = sequence { "|" sequence }
 *     sequence = { atom [ quantifier ] }
 *     atom     = octet | "." | class | escape | group | place
 */

import { anyOctet, ByteSet, noLineFeed } from "./byte-set.ts";
import { ClassReader } from "./class-reader.ts";
import { emptyNode, type PatternNode, type Place } from "./pattern-node.ts";
import { PatternReader } from "./pattern-reader.ts";

/** Groups in groups. */
const nestingMax = 100;
const repetitionsMax = 65_535;

/** What (?i) and its like have switched on; each group has its own. */
interface Modes {
  readonly anyCase: boolean;
  /** ^ and $ stand at every line. */
  readonly perLine: boolean;
  /** The dot takes line feeds too. */
  readonly dotAll: boolean;
  /** Blanks and comments mean nothing. */
  readonly extended: boolean;
  /** What is repeated rather takes less, unless a question mark follows. */
  readonly ungreedy: boolean;
}

const modeLetters: Readonly<Record<string, keyof Modes>> = {
  i: "anyCase",
  m: "perLine",
  s: "dotAll",
  x: "extended",
  U: "ungreedy",
};

const places: Readonly<Record<string, Place>> = {
  A: "text-start",
  G: "text-start",
  z: "text-end",
  Z: "last-line-end",
  b: "word-edge",
  B: "no-word-edge",
};

const noModes: Modes = {
  anyCase: false,
  perLine: false,
  dotAll: false,
  extended: false,
  ungreedy: false,
};

/** Throws a PatternError. */
export function parsePattern(source: string): PatternNode {
  return new PatternParser(source).parse();
}

class PatternParser {
  readonly #reader: PatternReader;
  readonly #classes: ClassReader;
  readonly #groupNames = new Set<string>();
  #modes = noModes;
  #depth = 0;

  constructor(source: string) {
    this.#reader = new PatternReader(source);
    this.#classes = new ClassReader(this.#reader);
  }

  parse(): PatternNode {
    const node = this.#choice();
    if (!this.#reader.atEnd) throw this.#reader.error("unmatched parentheses");
    return node;
  }

  #choice(): PatternNode {
    const before = this.#modes;
    const branches = [this.#sequence()];
    while (this.#reader.take("|")) branches.push(this.#sequence());
    this.#modes = before;
    return branches.length === 1 ? branches[0]! : { kind: "choice", branches };
  }

  #sequence(): PatternNode {
    const reader = this.#reader;
    const items: PatternNode[] = [];
    while (!reader.atEnd && !reader.startsWith("|") && !reader.startsWith(")")) {
      if (this.#takesNothing()) continue;
      if (reader.take("\\Q")) items.push(...this.#quoted());
      else {
        const atom = this.#atom();
        if (atom !== undefined) items.push(this.#quantified(atom));
      }
    }
    return items.length === 1 ? items[0]! : { kind: "sequence", items };
  }

  /** Passes what means nothing: comments, an empty quotation, and blanks in extended patterns. */
  #takesNothing(): boolean {
    const reader = this.#reader;
    if (reader.take("\\E") || reader.take("\\Q\\E")) return true;
    if (reader.take("(?#")) {
      if (!reader.skipPast(")")) throw reader.error("missing ) after comment");
      return true;
    }
    if (!this.#modes.extended) return false;
    if (reader.takeMatch(/[\t-\r ]+/y) !== undefined) return true;
    return reader.takeMatch(/#[^\n]*\n?/y) !== undefined;
  }

  /** Octets up to \E, the last of which may be quantified. */
  #quoted(): PatternNode[] {
    const text = this.#reader.takeMatch(/(?:(?!\\E).)*/sy) ?? "";
    const ended = this.#reader.take("\\E");
    const nodes = Array.from(text, (octet) => this.#octet(octet.charCodeAt(0)));
    const last = nodes.pop();
    if (last !== undefined) nodes.push(ended ? this.#quantified(last) : last);
    return nodes;
  }

  /** Undefined for what stands for nothing, such as (?i). */
  #atom(): PatternNode | undefined {
    const reader = this.#reader;
    const start = reader.offset;
    const octet = reader.next();
    switch (octet) {
      case "(":
        return this.#group();
      case "[": {
        const named = reader.startsWithMatch(/([:.=])[^\\\]]*?\1\]/y);
        if (named) {
          throw reader.error("POSIX named classes are supported only within a class", start);
        }
        return this.#set(this.#classes.read());
      }
      case "\\":
        return this.#escape();
      case ".":
        return { kind: "set", set: this.#modes.dotAll ? anyOctet : noLineFeed };
      case "^":
        return place(this.#modes.perLine ? "line-start" : "text-start");
      case "$":
        return place(this.#modes.perLine ? "line-end" : "last-line-end");
      case "*":
      case "+":
      case "?":
        throw reader.error("nothing to repeat", start);
      case "{":
        if (reader.takeMatch(/\d+(?:,\d*)?\}/y) === undefined) return this.#octet(0x7b);
        throw reader.error("nothing to repeat", reader.offset - 1);
      default:
        return this.#octet(octet.charCodeAt(0));
    }
  }

  #escape(): PatternNode {
    const reader = this.#reader;
    if (reader.atEnd) throw reader.error("\\ at end of pattern");
    const found = reader.takeMatch(/[AGzZbB]/y);
    if (found !== undefined) return place(places[found]!);
    if (reader.take("C")) return { kind: "set", set: anyOctet };
    if (reader.take("X")) return { kind: "set", set: anyOctet };
    if (reader.startsWithMatch(/N(?!\{)/y) && reader.take("N")) {
      return { kind: "set", set: noLineFeed };
    }
    if (reader.take("R")) return lineBreak;
    if (reader.take("K")) return emptyNode;
    // Of two digits and more it is octal in PCRE where there are not as many groups.
    if (reader.startsWithMatch(/[1-9]|g|k/y)) {
      throw reader.error("back references are not supported");
    }
    return this.#set(this.#classes.escape());
  }

  /** Behind its parenthesis. */
  #group(): PatternNode | undefined {
    const reader = this.#reader;
    if (this.#depth === nestingMax) throw reader.error("parentheses are too deeply nested");
    if (reader.startsWithMatch(/\*./sy)) {
      throw reader.error("(*VERB) is not supported", reader.offset + 1);
    }
    if (!reader.take("?")) return this.#body();
    if (reader.take(":") || reader.take("|")) return this.#body();
    if (reader.take(">")) return { kind: "atomic", body: this.#body() };
    if (reader.take("=")) return look(this.#body(), false, undefined);
    if (reader.take("!")) return look(this.#body(), true, undefined);
    if (reader.take("<=")) return this.#lookBehind(false);
    if (reader.take("<!")) return this.#lookBehind(true);
    const quote = reader.takeMatch(/P?<|'/y);
    if (quote !== undefined) {
      this.#takeName(quote === "'" ? "'" : ">");
      return this.#body();
    }
    if (reader.startsWithMatch(/[R&(0-9C]|P[=>]|[+-][0-9]/y)) {
      throw reader.error("references to groups, conditions and callouts are not supported");
    }
    if (reader.take("P")) throw reader.error("unrecognized character after (?P");
    return this.#modeGroup();
  }

  #takeName(quote: string): void {
    const reader = this.#reader;
    if (reader.startsWithMatch(/[0-9]/y)) {
      throw reader.error("group name must start with a non-digit");
    }
    const name = reader.takeMatch(/\w{1,32}/y);
    if (name === undefined) throw reader.error("unrecognized character after (?<");
    if (!reader.startsWith(quote)) {
      throw reader.error("syntax error in subpattern name (missing terminator)");
    }
    if (this.#groupNames.has(name)) {
      throw reader.error("two named subpatterns have the same name");
    }
    this.#groupNames.add(name);
    reader.next();
  }

  /** (?i) for what follows in its group, or (?i:...) for what stands in it. */
  #modeGroup(): PatternNode | undefined {
    const reader = this.#reader;
    const modes = { ...this.#modes };
    let on = true;
    while (true) {
      if (reader.atEnd) throw reader.error("unrecognized character after (? or (?-");
      const letter = reader.next();
      if (letter === ")") {
        this.#modes = modes;
        return undefined;
      }
      if (letter === ":") {
        const outside = this.#modes;
        this.#modes = modes;
        const body = this.#body();
        this.#modes = outside;
        return body;
      }
      if (letter === "-") on = false;
      else if (Object.hasOwn(modeLetters, letter)) modes[modeLetters[letter]!] = on;
      // Those two do not change whether a text matches.
      else if (!"JX".includes(letter)) {
        throw reader.error("unrecognized character after (? or (?-", reader.offset - 1);
      }
    }
  }

  #body(): PatternNode {
    this.#depth++;
    const body = this.#choice();
    this.#depth--;
    if (!this.#reader.take(")")) throw this.#reader.error("missing )");
    // Only outside of parentheses a place cannot be repeated.
    return body.kind === "place" ? { kind: "sequence", items: [body] } : body;
  }

  #lookBehind(negative: boolean): PatternNode {
    const reader = this.#reader;
    const body = this.#body();
    const branches = body.kind === "choice" ? body.branches : [body];
    const lengths = branches.map(lengthOf);
    if (lengths.includes(undefined)) {
      throw reader.error("lookbehind assertion is not fixed length", reader.offset - 1);
    }
    return look(body, negative, lengths as number[]);
  }

  #quantified(atom: PatternNode): PatternNode {
    const reader = this.#reader;
    while (this.#takesNothing());
    const [min, max] = this.#quantity() ?? [];
    if (min === undefined || max === undefined) return atom;
    if (atom.kind === "place") throw reader.error("nothing to repeat", reader.offset - 1);
    const isPossessive = reader.take("+");
    const lazy = reader.take("?") !== this.#modes.ungreedy;
    const repeat: PatternNode = { kind: "repeat", body: atom, min, max, lazy };
    return isPossessive ? { kind: "atomic", body: repeat } : repeat;
  }

  #quantity(): [min: number, max: number] | undefined {
    const reader = this.#reader;
    if (reader.take("*")) return [0, Number.POSITIVE_INFINITY];
    if (reader.take("+")) return [1, Number.POSITIVE_INFINITY];
    if (reader.take("?")) return [0, 1];
    if (!reader.startsWithMatch(/\{\d+(?:,\d*)?\}/y)) return undefined;
    reader.next();
    const min = this.#repetitions();
    let max = min;
    if (reader.take(",")) {
      max = reader.startsWith("}") ? Number.POSITIVE_INFINITY : this.#repetitions();
    }
    if (max < min) throw reader.error("numbers out of order in {} quantifier");
    reader.next();
    return [min, max];
  }

  #repetitions(): number {
    let count = 0;
    while (this.#reader.startsWithMatch(/\d/y)) {
      count = count * 10 + Number(this.#reader.next());
      if (count > repetitionsMax) throw this.#reader.error("number too big in {} quantifier");
    }
    return count;
  }

  #octet(octet: number): PatternNode {
    return this.#set(ByteSet.of((each) => each === octet));
  }

  #set(set: ByteSet): PatternNode {
    return { kind: "set", set: this.#modes.anyCase ? set.inBothCases() : set };
  }
}

function place(at: Place): PatternNode {
  return { kind: "place", place: at };
}

function look(
  body: PatternNode,
  negative: boolean,
  behind: readonly number[] | undefined,
): PatternNode {
  return { kind: "look", body, negative, behind };
}

/** \R: any one end of a line. */
const lineBreak: PatternNode = {
  kind: "atomic",
  body: {
    kind: "choice",
    branches: [
      {
        kind: "sequence",
        items: [0x0d, 0x0a].map((octet) => ({
          kind: "set",
          set: ByteSet.of((each) => each === octet),
        })),
      },
      { kind: "set", set: ByteSet.of((octet) => /[\n-\r\x85]/.test(String.fromCharCode(octet))) },
    ],
  },
};

/** How many octets a node takes, if that is always the same. */
function lengthOf(node: PatternNode): number | undefined {
  switch (node.kind) {
    case "set":
      return 1;
    case "place":
    case "look":
      return 0;
    case "atomic":
      return lengthOf(node.body);
    case "sequence":
      return node.items.reduce<number | undefined>((sum, item) => {
        const length = lengthOf(item);
        return sum === undefined || length === undefined ? undefined : sum + length;
      }, 0);
    case "choice": {
      const lengths = new Set(node.branches.map(lengthOf));
      return lengths.size === 1 ? [...lengths][0] : undefined;
    }
    case "repeat": {
      const length = lengthOf(node.body);
      return length === undefined || node.min !== node.max ? undefined : length * node.min;
    }
  }
}
