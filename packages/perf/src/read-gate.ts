/**
 * Stops and resumes the reading of one connection for several consumers: it reads only while none
 * of them holds it.
 */

import type { Connection } from "@haremq/client";

export class ReadGate {
  readonly #connection: Pick<Connection, "pause" | "resume">;
  #holders = 0;

  constructor(connection: Pick<Connection, "pause" | "resume">) {
    this.#connection = connection;
  }

  hold(): void {
    this.#holders++;
    if (this.#holders === 1) this.#connection.pause();
  }

  release(): void {
    this.#holders--;
    if (this.#holders === 0) this.#connection.resume();
  }
}
