/**
 * Randomness, passed in like time: from the operating system in a broker, from a seed in a test or
 * a simulation, where the seed of a failing run reproduces it.
 */

import { randomBytes, randomFillSync } from "node:crypto";

export interface Random {
  /** A whole number in [0, 2^32). */
  uint32(): number;
  /** `length` fresh bytes that the caller owns. */
  bytes(length: number): Buffer;
}

const POOL_WORDS = 1024;

/** Cryptographically strong; numbers come from a pool, because a call into OpenSSL costs 1 us. */
export class SystemRandom implements Random {
  readonly #pool = new Uint32Array(POOL_WORDS);
  #next = POOL_WORDS;

  uint32(): number {
    if (this.#next === POOL_WORDS) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    const word = this.#pool[this.#next] as number;
    this.#pool[this.#next++] = 0;
    return word;
  }

  bytes(length: number): Buffer {
    return randomBytes(length);
  }
}

/** xoshiro128**: the same seed gives the same sequence on every machine. Not for secrets. */
export class SeededRandom implements Random {
  readonly seed: number;
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    this.seed = seed;
    // SplitMix32 spreads the seed over the state, which must not be all zeros.
    let mixed = seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b);
    for (let index = 0; index < 4; index++) {
      mixed = (mixed + 0x9e3779b9) | 0;
      let word = mixed ^ (mixed >>> 16);
      word = Math.imul(word, 0x21f0aaad);
      word ^= word >>> 15;
      word = Math.imul(word, 0x735a2d97);
      this.#state[index] = word ^ (word >>> 15);
    }
  }

  uint32(): number {
    const state = this.#state;
    const s1 = state[1] as number;
    const scrambled = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const s2 = (state[2] as number) ^ (state[0] as number);
    const s3 = (state[3] as number) ^ s1;
    state[1] = s1 ^ s2;
    state[0] = (state[0] as number) ^ s3;
    state[2] = s2 ^ (s1 << 9);
    state[3] = rotateLeft(s3, 11);
    return scrambled;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let index = 0; index < length; index++) bytes[index] = this.uint32() >>> 24;
    return bytes;
  }

  /** A whole number in [0, limit), each equally likely; `limit` is at most 2^32. */
  below(limit: number): number {
    if (!(limit >= 1 && limit <= 2 ** 32)) throw new RangeError(`limit out of range: ${limit}`);
    const whole = Math.floor(limit);
    const fairEnd = 2 ** 32 - (2 ** 32 % whole);
    let word = this.uint32();
    while (word >= fairEnd) word = this.uint32();
    return word % whole;
  }

  /** One of the elements, each equally likely. */
  pick<T>(elements: readonly T[]): T {
    return elements[this.below(elements.length)] as T;
  }
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
