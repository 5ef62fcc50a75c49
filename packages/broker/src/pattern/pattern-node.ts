/** What a pattern says, as a tree: the parser makes it, the compiler turns it into a program. */

import type { ByteSet } from "./byte-set.ts";

/** Places between octets, by name. */
export type Place =
  | "line-start"
  | "line-end"
  | "text-start"
  | "text-end"
  | "last-line-end"
  | "word-edge"
  | "no-word-edge";

export type PatternNode =
  | { readonly kind: "set"; readonly set: ByteSet }
  | { readonly kind: "place"; readonly place: Place }
  | { readonly kind: "sequence"; readonly items: readonly PatternNode[] }
  | { readonly kind: "choice"; readonly branches: readonly PatternNode[] }
  | {
      readonly kind: "repeat";
      readonly body: PatternNode;
      readonly min: number;
      /** Infinity for no end. */
      readonly max: number;
      /** Whether it rather takes less. */
      readonly lazy: boolean;
    }
  /** Once it has matched, it is not asked for another way to. */
  | { readonly kind: "atomic"; readonly body: PatternNode }
  | {
      readonly kind: "look";
      readonly body: PatternNode;
      readonly negative: boolean;
      /** How many octets before the place each branch of the body begins; none for lookahead. */
      readonly behind: readonly number[] | undefined;
    };

export const emptyNode: PatternNode = { kind: "sequence", items: [] };
