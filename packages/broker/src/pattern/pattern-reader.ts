/** A place in the text of a pattern, which is octets, each a character of a string. */

import { PatternError } from "./pattern-error.ts";

export class PatternReader {
  readonly #source: string;
  offset = 0;

  constructor(source: string) {
    this.#source = source;
  }

  get atEnd(): boolean {
    return this.offset >= this.#source.length;
  }

  /** The octet here, which is passed. */
  next(): string {
    return this.#source[this.offset++] ?? "";
  }

  startsWith(text: string): boolean {
    return this.#source.startsWith(text, this.offset);
  }

  /** Passes the text, if it stands here. */
  take(text: string): boolean {
    if (!this.startsWith(text)) return false;
    this.offset += text.length;
    return true;
  }

  /** The expression must be sticky. */
  startsWithMatch(expression: RegExp): boolean {
    expression.lastIndex = this.offset;
    return expression.test(this.#source);
  }

  /** Passes what matches the sticky expression here, if something does. */
  takeMatch(expression: RegExp): string | undefined {
    expression.lastIndex = this.offset;
    const found = expression.exec(this.#source)?.[0];
    if (found !== undefined) this.offset += found.length;
    return found;
  }

  /** Passes everything up to the next such text, and the text; at the end if there is none. */
  skipPast(text: string): boolean {
    const found = this.#source.indexOf(text, this.offset);
    this.offset = found < 0 ? this.#source.length : found + text.length;
    return found >= 0;
  }

  error(explanation: string, offset = this.offset): PatternError {
    return new PatternError(explanation, offset);
  }
}
