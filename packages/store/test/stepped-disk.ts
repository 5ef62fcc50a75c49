/**
 * A faulty disk for tests whose operations take effect one by one, when the test says so and in the
 * order that it chooses.
 */

import { SeededRandom } from "@haremq/kernel";
import { FaultyDisk } from "../src/disk/faulty-disk.ts";

export class SteppedDisk {
  readonly disk: FaultyDisk;
  readonly #waiting: (() => void)[] = [];

  constructor(seed: number) {
    this.disk = new FaultyDisk({
      random: new SeededRandom(seed),
      scheduler: { defer: (complete) => void this.#waiting.push(complete) },
    });
  }

  /** Lets the operation take effect that is the index-th of those that wait. */
  complete(index: number): void {
    const [complete] = this.#waiting.splice(index, 1);
    if (complete === undefined) throw new Error(`no operation ${index} waits`);
    complete();
  }

  /** Completes the oldest operation again and again, until the promise is kept. */
  async finish<T>(promise: Promise<T>): Promise<T> {
    let unsettled = true;
    const settle = (): void => {
      unsettled = false;
    };
    promise.then(settle, settle);
    while (unsettled) {
      this.complete(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return await promise;
  }
}
