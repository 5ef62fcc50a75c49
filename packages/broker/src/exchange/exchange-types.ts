/**
 * The exchange types that a broker knows, by name. Further types are registered at start-up; an
 * exchange keeps the type it was declared with.
 */

import { type Random, SystemRandom } from "@haremq/kernel";
import { deduplicatingType } from "../deduplication/deduplication-arguments.ts";
import { consistentHashType } from "./consistent-hash.ts";
import { directType } from "./direct.ts";
import type { ExchangeType } from "./exchange-type.ts";
import { fanoutType } from "./fanout.ts";
import { headersType } from "./headers.ts";
import { modulusHashType } from "./modulus-hash.ts";
import { localRandomType, randomType } from "./random.ts";
import { recentHistoryType } from "./recent-history.ts";
import { topicType } from "./topic.ts";

export class ExchangeTypes {
  readonly #types = new Map<string, ExchangeType>();

  constructor(random: Random = new SystemRandom()) {
    for (const type of [
      directType,
      fanoutType,
      topicType,
      headersType,
      consistentHashType,
      modulusHashType,
      recentHistoryType,
      randomType(random),
      localRandomType(random),
      { ...fanoutType, name: deduplicatingType },
    ]) {
      this.register(type);
    }
  }

  register(type: ExchangeType): void {
    if (this.#types.has(type.name)) throw new Error(`exchange type ${type.name} registered twice`);
    this.#types.set(type.name, type);
  }

  has(name: string): boolean {
    return this.#types.has(name);
  }

  get(name: string): ExchangeType | undefined {
    return this.#types.get(name);
  }

  /** The type of an exchange that has been checked; an unknown name is a mistake of the caller. */
  require(name: string): ExchangeType {
    const type = this.#types.get(name);
    if (type === undefined) throw new Error(`unknown exchange type ${name}`);
    return type;
  }

  names(): string[] {
    return [...this.#types.keys()];
  }
}
