/**
 * A set of octets: what one place of a pattern may be. The parser builds them, and the compiled
 * pattern asks them. Classes such as \w take octets for Latin-1, as Erlang's do.
 */

export class ByteSet {
  readonly #has = new Uint8Array(256);

  static of(isMember: (octet: number) => boolean): ByteSet {
    const set = new ByteSet();
    for (let octet = 0; octet < 256; octet++) if (isMember(octet)) set.#has[octet] = 1;
    return set;
  }

  addRange(first: number, last: number): void {
    for (let octet = first; octet <= last; octet++) this.#has[octet] = 1;
  }

  addAll(other: ByteSet): void {
    for (let octet = 0; octet < 256; octet++) if (other.has(octet)) this.#has[octet] = 1;
  }

  has(octet: number): boolean {
    return this.#has[octet] === 1;
  }

  /** The one octet in it, if it is one. */
  get only(): number | undefined {
    const first = this.#has.indexOf(1);
    return first >= 0 && this.#has.lastIndexOf(1) === first ? first : undefined;
  }

  inverse(): ByteSet {
    return ByteSet.of((octet) => !this.has(octet));
  }

  /** With the other case of every letter in it. */
  inBothCases(): ByteSet {
    return ByteSet.of((octet) => this.has(octet) || this.has(otherCase(octet)));
  }
}

/** The octet itself if there is none. */
function otherCase(octet: number): number {
  const upper = octet & ~0x20;
  const isLetter = (upper >= 0x41 && upper <= 0x5a) || (upper >= 0xc0 && upper <= 0xde);
  return isLetter && upper !== 0xd7 ? octet ^ 0x20 : octet;
}

const wordOctets = /[0-9A-Za-z_\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\xff]/;

export const anyOctet = ByteSet.of(() => true);
export const wordOctet = fromExpression(wordOctets);
const digit = fromExpression(/[0-9]/);
const space = fromExpression(/[\t-\r ]/);
const horizontal = fromExpression(/[\t \xa0]/);
const vertical = fromExpression(/[\n-\r\x85]/);
export const noLineFeed = fromExpression(/[^\n]/);

/** By the letter behind the backslash. */
const escapeClasses = new Map<string, ByteSet>([
  ["d", digit],
  ["D", digit.inverse()],
  ["w", wordOctet],
  ["W", wordOctet.inverse()],
  ["s", space],
  ["S", space.inverse()],
  ["h", horizontal],
  ["H", horizontal.inverse()],
  ["v", vertical],
  ["V", vertical.inverse()],
]);

/** By the name between [: and :]. */
const posixClasses = new Map<string, ByteSet>([
  ["alnum", ByteSet.of((octet) => octet !== 0x5f && wordOctet.has(octet))],
  ["alpha", ByteSet.of((octet) => octet > 0x40 && octet !== 0x5f && wordOctet.has(octet))],
  ["ascii", ByteSet.of((octet) => octet < 0x80)],
  ["blank", fromExpression(/[\t ]/)],
  ["cntrl", ByteSet.of((octet) => octet < 0x20 || (octet >= 0x7f && octet < 0xa0))],
  ["digit", digit],
  ["graph", fromExpression(/[!-~\xa0-\xff]/)],
  ["lower", fromExpression(/[a-z\xaa\xb5\xba\xdf-\xf6\xf8-\xff]/)],
  ["print", fromExpression(/[ -~\xa0-\xff]/)],
  ["punct", fromExpression(/[!-/:-@[-`{-~\xa0-\xbf\xd7\xf7]/)],
  ["space", space],
  ["upper", fromExpression(/[A-Z\xc0-\xd6\xd8-\xde]/)],
  ["word", wordOctet],
  ["xdigit", fromExpression(/[0-9A-Fa-f]/)],
]);

/** The class that a backslash and this letter mean; undefined if they mean none. */
export function escapeClass(letter: string): ByteSet | undefined {
  return escapeClasses.get(letter);
}

export function posixClass(name: string): ByteSet | undefined {
  return posixClasses.get(name);
}

/** The octets with a general category of Unicode or of a script; undefined for an unknown one. */
export function propertyClass(name: string): ByteSet | undefined {
  if (name === "Any") return anyOctet;
  const property = name === "L&" ? "LC" : name.length > 2 ? `Script=${name}` : name;
  if (!/^[\w&=]+$/.test(property)) return undefined;
  try {
    return fromExpression(new RegExp(`\\p{${property}}`, "u"));
  } catch {
    return undefined;
  }
}

function fromExpression(expression: RegExp): ByteSet {
  return ByteSet.of((octet) => expression.test(String.fromCharCode(octet)));
}
