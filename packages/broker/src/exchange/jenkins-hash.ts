/**
 * Bob Jenkins' hash of 1996 ("lookup2"), in the public domain: 32 well-mixed bits from any bytes.
 * Erlang uses it too, so the exchanges that have to agree with RabbitMQ are built on it
 * (portable-hash.ts); the others use it because one good hash is enough.
 *
 * Three words a, b and c are mixed with twelve bytes at a time:
 *
 *     | a += 4 bytes | b += 4 bytes | c += 4 bytes |  mix
 *
 * The last bytes, fewer than twelve, are added with the length in the lowest byte of c.
 */

export const goldenRatio = 0x9e3779b9 | 0;

let a = 0;
let b = 0;
let c = 0;

/** The hash of bytes, as a signed 32-bit number. HOT: runs for every key that is not remembered. */
export function jenkinsHash(bytes: Buffer, length: number, initial: number): number {
  a = goldenRatio;
  b = goldenRatio;
  c = initial | 0;
  let at = 0;
  for (; length - at >= 12; at += 12) {
    a = (a + bytes.readInt32LE(at)) | 0;
    b = (b + bytes.readInt32LE(at + 4)) | 0;
    c = (c + bytes.readInt32LE(at + 8)) | 0;
    mix();
  }
  c = (c + length) | 0;
  for (let shift = 0, i = at; i < length; i++, shift += 8) {
    if (shift < 32) a = (a + (bytes[i]! << shift)) | 0;
    else if (shift < 64) b = (b + (bytes[i]! << (shift - 32))) | 0;
    else c = (c + (bytes[i]! << (shift - 64 + 8))) | 0;
  }
  mix();
  return c;
}

/** Mixes a number and a constant into a hash. */
export function jenkinsMix(value: number, constant: number, hash: number): number {
  a = (constant + value) | 0;
  b = constant;
  c = hash;
  mix();
  return c;
}

function mix(): void {
  a = (a - b - c) ^ (c >>> 13);
  b = (b - c - a) ^ (a << 8);
  c = (c - a - b) ^ (b >>> 13);
  a = (a - b - c) ^ (c >>> 12);
  b = (b - c - a) ^ (a << 16);
  c = (c - a - b) ^ (b >>> 5);
  a = (a - b - c) ^ (c >>> 3);
  b = (b - c - a) ^ (a << 10);
  c = (c - a - b) ^ (b >>> 15);
}
