/**
 * A compiled pattern, in the syntax of PCRE and over the octets of a text, as RabbitMQ matches the
 * names of queues and exchanges. Whoever may set a policy may write any pattern, so that its time
 * must be bounded, which that of JavaScript's expressions and of PCRE itself is not.
 *
 * The tree is laid out as a program:
 *
 *     Set n              the octet here must be in set n; go on behind both
 *     Fork a, b          go on at a; if that leads nowhere, at b
 *     Jump a             go on at a
 *     Place p            this must be such a place
 *     Group n            group n must match here, or must not; go on behind it, and in the text
 *                        where it ended if it is an atomic one
 *     End                the program or the group matches
 *
 * A state is (instruction, offset). What it leads to depends on nothing else, as there are no back
 * references, so that one that was tried before need not be tried again: the time is at most
 * proportional to program times text, and for groups that are asked on their own, as often as there
 * are offsets. Instead of recursion there is a stack of states that are still to be tried.
 */

import { encodeText, textByteLength } from "@haremq/wire";
import { wordOctet } from "./byte-set.ts";
import { PatternError } from "./pattern-error.ts";
import type { Place } from "./pattern-node.ts";
import { parsePattern } from "./pattern-parser.ts";
import {
  compilePattern,
  type GroupProgram,
  Operation,
  type PatternProgram,
} from "./pattern-program.ts";

/** Octets. */
const sourceMax = 8192;
/** States tried for one text. PCRE gives up after a number of steps too, and finds no match. */
const statesMax = 200_000;

export class Pattern {
  readonly source: string;
  readonly #program: PatternProgram;

  /** Throws a PatternError. */
  constructor(source: string) {
    const octets = octetsOf(source);
    if (octets.length > sourceMax) {
      throw new PatternError("regular expression is too large", sourceMax);
    }
    this.source = source;
    this.#program = compilePattern(parsePattern(octets.toString("latin1")));
  }

  /** Whether the pattern matches somewhere in the text. */
  matches(text: string): boolean {
    // Of most names that is all there is to do.
    if (!text.startsWith(this.#program.prefix)) return false;
    return new Search(octetsOf(text)).finds(this.#program);
  }
}

const lineFeed = 0x0a;
const noMatch = -1;

/** One text, and what is known of it. */
class Search {
  readonly #text: Uint8Array;
  /** Where each group that was asked ends, by the offset it was asked at. */
  readonly #ends = new Map<GroupProgram, Map<number, number>>();
  #states = 0;

  constructor(text: Uint8Array) {
    this.#text = text;
  }

  finds(program: PatternProgram): boolean {
    const tried = this.#triedBy(program);
    const lastStart = program.anchored ? 0 : this.#text.length;
    for (let start = 0; start <= lastStart; start++) {
      if (this.#run(program, start, tried) !== noMatch) return true;
    }
    return false;
  }

  /** Nothing yet: one bit a state. */
  #triedBy({ code }: PatternProgram): Uint8Array {
    return new Uint8Array((((code.length / 3) * (this.#text.length + 1)) >> 3) + 1);
  }

  /** Where the program ends that is begun there, in its preferred way. */
  #run(program: PatternProgram, start: number, tried: Uint8Array): number {
    const { code, sets, places, groups } = program;
    const text = this.#text;
    const width = text.length + 1;
    const waiting: number[] = [start];
    while (waiting.length > 0) {
      const state = waiting.pop()!;
      let instruction = Math.floor(state / width);
      let offset = state % width;
      while (this.#isNew(instruction * width + offset, tried)) {
        const first = code[instruction * 3 + 1]!;
        const operation = code[instruction * 3];
        instruction++;
        if (operation === Operation.Set) {
          if (offset === text.length || !sets[first]!.has(text[offset]!)) break;
          offset++;
        } else if (operation === Operation.Fork) {
          waiting.push(code[instruction * 3 - 1]! * width + offset);
          instruction = first;
        } else if (operation === Operation.Jump) instruction = first;
        else if (operation === Operation.Place) {
          if (!this.#isAt(places[first]!, offset)) break;
        } else if (operation === Operation.Group) {
          offset = this.#endOf(groups[first]!, offset);
          if (offset === noMatch) break;
        } else return offset;
      }
    }
    return noMatch;
  }

  #isNew(state: number, tried: Uint8Array): boolean {
    const bit = 1 << (state & 7);
    if ((tried[state >> 3]! & bit) !== 0 || ++this.#states > statesMax) return false;
    tried[state >> 3]! |= bit;
    return true;
  }

  /** Where the text goes on behind a group: an atomic one takes a part of it. */
  #endOf(group: GroupProgram, offset: number): number {
    const known = this.#ends.get(group) ?? new Map<number, number>();
    this.#ends.set(group, known);
    const end = known.get(offset) ?? this.#askGroup(group, offset);
    known.set(offset, end);
    return end;
  }

  #askGroup({ kind, branches }: GroupProgram, offset: number): number {
    let end = noMatch;
    for (const { program, behind } of branches) {
      if (behind > offset) continue;
      end = this.#run(program, offset - behind, this.#triedBy(program));
      if (end !== noMatch) break;
    }
    if (kind === "atomic") return end;
    return (end !== noMatch) === (kind === "look") ? offset : noMatch;
  }

  #isAt(place: Place, offset: number): boolean {
    const text = this.#text;
    switch (place) {
      case "text-start":
        return offset === 0;
      case "text-end":
        return offset === text.length;
      case "last-line-end":
        return offset === text.length || (offset === text.length - 1 && text[offset] === lineFeed);
      case "line-start":
        return offset === 0 || (text[offset - 1] === lineFeed && offset < text.length);
      case "line-end":
        return offset === text.length || text[offset] === lineFeed;
      default: {
        const isEdge = this.#isWord(offset - 1) !== this.#isWord(offset);
        return isEdge === (place === "word-edge");
      }
    }
  }

  #isWord(offset: number): boolean {
    const octet = this.#text[offset];
    return octet !== undefined && wordOctet.has(octet);
  }
}

function octetsOf(text: string): Buffer {
  const octets = Buffer.allocUnsafe(textByteLength(text));
  encodeText(text, octets.length, octets, 0);
  return octets;
}
