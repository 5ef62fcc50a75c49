/** Why a data directory cannot be used, in words for whoever started the broker. */

export type DataDirectoryProblem =
  /** A living process uses it. */
  | "locked"
  /** It holds files, but none that says it is a data directory. */
  | "foreign"
  /** Made by a version of HareMQ that this one knows nothing of. */
  | "newer"
  /** The file that says what it is cannot be understood. */
  | "damaged";

export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
  readonly problem: DataDirectoryProblem;

  constructor(problem: DataDirectoryProblem, text: string, cause?: unknown) {
    super(text, cause === undefined ? undefined : { cause });
    this.problem = problem;
  }
}
