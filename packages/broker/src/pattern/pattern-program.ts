/**
 * Lays a pattern's tree out as instructions, three numbers each, which pattern.ts describes and
 * runs. What is repeated a number of times is laid out as often, within a bound.
 */

import type { ByteSet } from "./byte-set.ts";
import { PatternError } from "./pattern-error.ts";
import type { PatternNode, Place } from "./pattern-node.ts";

export const Operation = { Set: 0, Fork: 1, Jump: 2, Place: 3, Group: 4, End: 5 } as const;

/** A part of a pattern that is matched on its own. */
export interface GroupProgram {
  readonly kind: "atomic" | "look" | "look-not";
  readonly branches: readonly {
    readonly program: PatternProgram;
    /** How many octets before the place it begins. */
    readonly behind: number;
  }[];
}

export interface PatternProgram {
  /** Operation and two operands, again and again. */
  readonly code: Int32Array;
  readonly sets: readonly ByteSet[];
  readonly places: readonly Place[];
  readonly groups: readonly GroupProgram[];
  /** It can match at the beginning of the text only. */
  readonly anchored: boolean;
  /** What a text must begin with: as many octets as are certain, each a character of ASCII. */
  readonly prefix: string;
}

const instructionsMax = 20_000;

/** Throws a PatternError for what would be too long. */
export function compilePattern(node: PatternNode): PatternProgram {
  return new PatternCompiler({ left: instructionsMax }, false).compile(node);
}

class PatternCompiler {
  /** Shared by all groups of a pattern. */
  readonly #room: { left: number };
  /** Whether it counts where the program ends, and not only whether it does. */
  readonly #endCounts: boolean;
  readonly #code: number[] = [];
  readonly #sets: ByteSet[] = [];
  readonly #places: Place[] = [];
  readonly #groups: GroupProgram[] = [];

  constructor(room: { left: number }, endCounts: boolean) {
    this.#room = room;
    this.#endCounts = endCounts;
  }

  compile(node: PatternNode): PatternProgram {
    this.#lay(node);
    this.#emit(Operation.End);
    return {
      code: Int32Array.from(this.#code),
      sets: this.#sets,
      places: this.#places,
      groups: this.#groups,
      anchored: isAnchored(node),
      prefix: prefixOf(node),
    };
  }

  get #next(): number {
    return this.#code.length / 3;
  }

  /** Returns where the instruction stands. */
  #emit(operation: number, first = 0, second = 0): number {
    if (--this.#room.left < 0) throw new PatternError("regular expression is too large", 0);
    return this.#code.push(operation, first, second) / 3 - 1;
  }

  #point(instruction: number, operand: 1 | 2, target: number): void {
    this.#code[instruction * 3 + operand] = target;
  }

  #lay(node: PatternNode): void {
    switch (node.kind) {
      case "set":
        this.#emit(Operation.Set, this.#sets.push(node.set) - 1);
        return;
      case "place":
        this.#emit(Operation.Place, this.#places.push(node.place) - 1);
        return;
      case "sequence":
        for (const item of node.items) this.#lay(item);
        return;
      case "choice":
        this.#layChoice(node.branches);
        return;
      case "repeat":
        this.#layRepeat(node.body, node.min, node.max, node.lazy);
        return;
      case "atomic":
        this.#layGroup("atomic", [node.body]);
        return;
      case "look":
        this.#layGroup(
          node.negative ? "look-not" : "look",
          node.behind !== undefined && node.body.kind === "choice"
            ? node.body.branches
            : [node.body],
          node.behind,
        );
    }
  }

  #layChoice(branches: readonly PatternNode[]): void {
    const ends: number[] = [];
    const last = branches.length - 1;
    for (const [index, branch] of branches.entries()) {
      if (index === last) {
        this.#lay(branch);
        break;
      }
      const fork = this.#emit(Operation.Fork);
      this.#point(fork, 1, this.#next);
      this.#lay(branch);
      ends.push(this.#emit(Operation.Jump));
      this.#point(fork, 2, this.#next);
    }
    for (const end of ends) this.#point(end, 1, this.#next);
  }

  #layRepeat(body: PatternNode, min: number, max: number, lazy: boolean): void {
    // Where the end does not count it is found sooner by taking less.
    const [inside, behind] = lazy || !this.#endCounts ? ([2, 1] as const) : ([1, 2] as const);
    for (let count = 0; count < min; count++) this.#lay(body);
    if (max === Number.POSITIVE_INFINITY) {
      const fork = this.#emit(Operation.Fork);
      this.#point(fork, inside, this.#next);
      this.#lay(body);
      this.#emit(Operation.Jump, fork);
      this.#point(fork, behind, this.#next);
      return;
    }
    const forks: number[] = [];
    for (let count = min; count < max; count++) {
      const fork = this.#emit(Operation.Fork);
      forks.push(fork);
      this.#point(fork, inside, this.#next);
      this.#lay(body);
    }
    for (const fork of forks) this.#point(fork, behind, this.#next);
  }

  #layGroup(
    kind: GroupProgram["kind"],
    branches: readonly PatternNode[],
    behind: readonly number[] = [],
  ): void {
    const compiled = branches.map((branch, index) => ({
      program: new PatternCompiler(this.#room, kind === "atomic").compile(branch),
      behind: behind[index] ?? 0,
    }));
    const group = this.#groups.push({ kind, branches: compiled }) - 1;
    this.#emit(Operation.Group, group);
  }
}

function prefixOf(node: PatternNode): string {
  const [start, ...items] = node.kind === "sequence" ? node.items : [node];
  let prefix = "";
  if (start?.kind !== "place" || start.place !== "text-start") return prefix;
  for (const item of items) {
    const octet = item.kind === "set" ? item.set.only : undefined;
    if (octet === undefined || octet > 0x7f) break;
    prefix += String.fromCharCode(octet);
  }
  return prefix;
}

function isAnchored(node: PatternNode): boolean {
  switch (node.kind) {
    case "place":
      return node.place === "text-start";
    case "sequence":
      return node.items[0] !== undefined && isAnchored(node.items[0]);
    case "choice":
      return node.branches.every(isAnchored);
    case "atomic":
      return isAnchored(node.body);
    default:
      return false;
  }
}
