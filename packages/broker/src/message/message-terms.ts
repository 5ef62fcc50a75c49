/**
 * What the queues of a message need to know of it without reading it: its priority and its
 * expiration, in one word, and when it arrived, in another. The message store keeps both words, and
 * gives them back after a restart.
 *
 *     terms:    | priority, 8 bits | expiration, 24 bits |
 *     arrival:  | eighths of a second, modulo 2^32 (17 years) |
 *
 * An expiration is 0 for none, or else one more than a number of 5 bits exponent and 19 bits
 * mantissa. It is exact up to 524 seconds; longer ones are rounded up by less than a 250,000th.
 *
 * This is a hot file.
 */

const mantissaBits = 19;
const mantissaMask = (1 << mantissaBits) - 1;
const expirationMask = 0xff_ffff;
const eighthMs = 125;
const eighthsRange = 2 ** 32;

/** Neither a priority nor an expiration: the usual message. */
export const noTerms = 0;

/** Terms of a message; `expirationMs` undefined for one that lives until it is consumed. */
export function termsOf(priority: number, expirationMs: number | undefined): number {
  return (priority << 24) | (expirationMs === undefined ? 0 : expirationCode(expirationMs));
}

export function priorityOf(terms: number): number {
  return terms >>> 24;
}

/** Infinity for a message without an expiration. */
export function expirationOf(terms: number): number {
  const code = terms & expirationMask;
  if (code === 0) return Number.POSITIVE_INFINITY;
  return ((code - 1) & mantissaMask) * 2 ** ((code - 1) >>> mantissaBits);
}

function expirationCode(expirationMs: number): number {
  let mantissa = expirationMs;
  let exponent = 0;
  while (mantissa > mantissaMask) {
    mantissa = Math.ceil(mantissa / 2);
    exponent++;
  }
  return ((exponent << mantissaBits) | mantissa) + 1;
}

/** The word for a moment of wall time. */
export function arrivalAt(wallMs: number): number {
  return Math.floor(wallMs / eighthMs) | 0;
}

/** When the message arrived, seen from a moment after that; never later than that moment. */
export function arrivalMs(arrival: number, wallMs: number): number {
  const now = Math.floor(wallMs / eighthMs);
  let eighths = now - (((((now | 0) - arrival) % eighthsRange) + eighthsRange) % eighthsRange);
  // A clock that was set back in between: what seems to come from the distant past is new.
  if (now - eighths > eighthsRange / 2) eighths = now;
  return eighths * eighthMs;
}
