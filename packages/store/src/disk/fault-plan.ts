/**
 * Which operations of the faulty disk go wrong, and how. Rules are tried in the order they were
 * injected; the first that fires decides. They stay with the disk over crashes, as a bad drive
 * would.
 */

import type { SeededRandom } from "@haremq/kernel";
import type { DiskOperation } from "./disk.ts";

export interface FaultRule {
  readonly operations: readonly DiskOperation[];
  /**
   * The code of the error, EIO or ENOSPC or any other; or "short": the write is done in two parts,
   * between which other things can happen, the disk can fill up or the process die.
   */
  readonly fault: string;
  /** Only for matching paths. */
  readonly path?: RegExp;
  /** Lets that many matching operations through first. */
  readonly skip?: number;
  /** Fires no more than that many times. */
  readonly times?: number;
  /** Fires by chance: 1, the default, always; 0.01 once in a hundred. */
  readonly probability?: number;
}

interface RuleState {
  readonly rule: FaultRule;
  matched: number;
  fired: number;
}

export class FaultPlan {
  readonly #random: SeededRandom;
  #rules: RuleState[] = [];
  /** Told of every operation that meets a fault. */
  onFault: (operation: DiskOperation, path: string) => void = () => undefined;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Returns what takes the rule away again. */
  inject(rule: FaultRule): () => void {
    const onlyWrites = rule.operations.every((operation) => operation === "write");
    if (rule.fault === "short" && !onlyWrites) throw new RangeError("only writes can be short");
    const state = { rule, matched: 0, fired: 0 };
    this.#rules.push(state);
    return () => {
      this.#rules = this.#rules.filter((other) => other !== state);
    };
  }

  clear(): void {
    this.#rules = [];
  }

  /** The fault that this operation meets, if any. */
  draw(operation: DiskOperation, path: string): string | undefined {
    const state = this.#rules.find((each) => this.#fires(each, operation, path));
    if (state !== undefined) this.onFault(operation, path);
    return state?.rule.fault;
  }

  #fires(state: RuleState, operation: DiskOperation, path: string): boolean {
    const { operations, skip = 0, times = Number.POSITIVE_INFINITY, probability = 1 } = state.rule;
    if (!operations.includes(operation)) return false;
    if (state.rule.path?.test(path) === false) return false;
    if (state.matched++ < skip || state.fired >= times) return false;
    if (probability < 1 && this.#random.uint32() >= probability * 2 ** 32) return false;
    state.fired++;
    return true;
  }
}
