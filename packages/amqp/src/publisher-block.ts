/**
 * Whether a client that publishes has to wait because the broker is short of something. A client is
 * blocked by its next publish during a shortage, and goes on when that is over. Connections own one
 * each.
 */

import type { Alarms } from "@haremq/broker";

export class PublisherBlock {
  readonly #alarms: Alarms;
  readonly #onBlock: () => void;
  readonly #onUnblock: (isShortageOver: boolean) => void;
  #isBlocked = false;
  /** Ends the listening for the end of the shortage. */
  #stopListening: (() => void) | undefined;

  constructor(alarms: Alarms, onBlock: () => void, onUnblock: (isShortageOver: boolean) => void) {
    this.#alarms = alarms;
    this.#onBlock = onBlock;
    this.#onUnblock = onUnblock;
  }

  onPublish(): void {
    if (this.#alarms.active.size === 0 || this.#isBlocked) return;
    this.#isBlocked = true;
    this.#stopListening = this.#alarms.listen(() => {
      if (this.#alarms.active.size === 0) this.#end(true);
    });
    this.#onBlock();
  }

  /** The client need not wait any more, shortage or not: it is leaving. */
  end(): void {
    this.#end(false);
  }

  /** The client is gone. */
  forget(): void {
    this.#stopListening?.();
  }

  #end(isShortageOver: boolean): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#stopListening?.();
    this.#onUnblock(isShortageOver);
  }
}
