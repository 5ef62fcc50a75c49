/**
 * What Erlang's `phash2` makes of a list of strings: the same number on every machine and in every
 * version, by its documentation. RabbitMQ's x-modulus-hash picks a binding with it, and ours has to
 * pick the same.
 *
 * Strings are hashed one after the other, each beginning with the hash so far, then the end of the
 * list; an empty string is not mixed at all.
 */

import { encodeText, textByteLength } from "@haremq/wire";
import { goldenRatio, jenkinsHash, jenkinsMix } from "./jenkins-hash.ts";

const binaryConstant = Math.imul(goldenRatio, 13);
const endConstant = Math.imul(goldenRatio, 2);
/** What stands for the end of a list, alone and behind elements. */
const emptyListHash = 3468870702;
const endOfList = 2;

let scratch = Buffer.alloc(256);

/** The text's bytes at the start of a buffer that the next call uses again. */
export function scratchBytes(text: string): { readonly bytes: Buffer; readonly length: number } {
  const length = textByteLength(text);
  if (length > scratch.length) scratch = Buffer.alloc(length);
  encodeText(text, length, scratch, 0);
  return { bytes: scratch, length };
}

/** In [0, 2^32). */
export function portableHash(texts: readonly string[]): number {
  let hash = 0;
  for (const text of texts) {
    const { bytes, length } = scratchBytes(text);
    const initial = (binaryConstant + hash) | 0;
    hash = length === 0 ? initial : jenkinsHash(bytes, length, initial);
  }
  // Erlang, too, takes a hash that happens to be 0 for none.
  return (hash === 0 ? emptyListHash : jenkinsMix(endOfList, endConstant, hash)) >>> 0;
}
