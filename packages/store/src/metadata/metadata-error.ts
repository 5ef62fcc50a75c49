/**
 * How the metadata store says that something cannot be done. The code is for programs, the message
 * for the log; `cause` is what the operating system or LMDB said.
 */

export type MetadataErrorCode =
  /** The key has no parts, or is longer than the store can take. */
  | "bad-key"
  /** The value is not of the kinds that the contract lists, or too large. */
  | "bad-value"
  /** No space left; commits work again when there is. */
  | "disk-full"
  /** What is on the disk is not what was written there. */
  | "damaged"
  /** The disk failed. Nothing more is written until the store is closed and opened anew. */
  | "failed"
  | "closed";

export class MetadataError extends Error {
  override readonly name = "MetadataError";
  readonly code: MetadataErrorCode;

  constructor(code: MetadataErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
