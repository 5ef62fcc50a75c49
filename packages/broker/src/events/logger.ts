/**
 * What the broker writes its log through. The server implements it; tests and embedders may pass
 * their own.
 *
 * Messages are for operators: a sentence that stands alone, with what varies in it. Fields carry
 * the same facts for machines. Text that came from the network may be passed as it is: whoever
 * implements this makes control characters harmless and leaves out passwords.
 */

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /**
   * For those who search for a fault; off by default, so the caller need not spare it, but must not
   * build costly text for it.
   */
  debug(message: string, fields?: LogFields): void;
  /** What an operator may want to know on a quiet day: connections, starts and stops. */
  info(message: string, fields?: LogFields): void;
  /** Something is not as it should be, and the broker goes on: a client error, a limit reached. */
  warn(message: string, fields?: LogFields): void;
  /**
   * Something failed that should not have. An Error under the field `error` is logged with its
   * stack.
   */
  error(message: string, fields?: LogFields): void;
}

/** For embedded brokers that nobody listens to. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};
