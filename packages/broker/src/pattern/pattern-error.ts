/** Why a text is no pattern, in the words of PCRE, and where in the text that became clear. */

export class PatternError extends Error {
  /** Octets from the beginning. */
  readonly offset: number;

  constructor(explanation: string, offset: number) {
    super(explanation);
    this.name = "PatternError";
    this.offset = offset;
  }
}
