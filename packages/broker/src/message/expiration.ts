/**
 * The expiration property of a message: a number of milliseconds, written out as text. The publish
 * path checks every message that carries one, so the usual case is a loop over a few digits.
 */

import { preconditionFailed } from "../errors.ts";
import { erlangPair, erlangString } from "../vhost/field-text.ts";

/** Ten years: the most that RabbitMQ accepts for any time to live. */
export const expirationMaxMs = 315_360_000_000;

const digitsMax = 12;
const zero = 0x30;

/**
 * The milliseconds an expiration stands for. Whatever RabbitMQ refuses is refused with its text.
 */
export function checkExpiration(text: string): number {
  const length = text.length;
  if (length === 0 || length > digitsMax) return parseExpiration(text);
  let milliseconds = 0;
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - zero;
    if (digit < 0 || digit > 9) return parseExpiration(text);
    milliseconds = milliseconds * 10 + digit;
  }
  return milliseconds <= expirationMaxMs ? milliseconds : parseExpiration(text);
}

/** The slow way, which also takes signs and any number of leading zeros. */
function parseExpiration(text: string): number {
  const [, sign, digits, rest] = /^([+-]?)(\d*)(.*)$/s.exec(text)!;
  if (digits === "") throw invalidExpiration(text, "no_integer");
  if (rest !== "") throw invalidExpiration(text, "leftover_string", erlangString(rest!));
  const milliseconds = sign === "-" ? -BigInt(digits!) : BigInt(digits!);
  if (milliseconds < 0) throw invalidExpiration(text, "value_negative", `${milliseconds}`);
  if (milliseconds > expirationMaxMs) {
    throw invalidExpiration(text, "value_too_large", `${milliseconds}`);
  }
  return Number(milliseconds);
}

function invalidExpiration(text: string, reason: string, term?: string): Error {
  const explanation = `invalid expiration '${text}': `;
  const detail = term === undefined ? reason : erlangPair(reason, term, explanation);
  return preconditionFailed(explanation + detail);
}
