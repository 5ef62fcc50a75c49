/**
 * The faulty disk without faults fulfils the contract, whatever order operations take effect in.
 */

import { SeededRandom } from "@haremq/kernel";
import { diskContract } from "./disk.contract.ts";
import { SeededScheduler } from "./disk-scheduler.ts";
import { FaultyDisk } from "./faulty-disk.ts";

diskContract("faulty disk", () => {
  const disk = new FaultyDisk({ random: new SeededRandom(1) });
  void disk.makeDirectory("/data");
  return { disk, directory: "/data", clear: () => {} };
});

let seed = 0;

diskContract("faulty disk in a drawn order", () => {
  const random = new SeededRandom(++seed);
  const drawn = new SeededScheduler(random);
  const scheduler = {
    defer: (complete: () => void): void => {
      drawn.defer(complete);
      setImmediate(() => drawn.step());
    },
  };
  const disk = new FaultyDisk({ random, scheduler });
  void disk.makeDirectory("/data");
  drawn.step();
  return { disk, directory: "/data", clear: () => {} };
});
