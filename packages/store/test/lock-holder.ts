/**
 * A second process for directory-lock.test.ts. It reads orders, one a line, and answers each with
 * one line of JSON:
 *
 *   lock DIRECTORY   opens the data directory: {"held":true,"nodeId":"..."}, or if it may not,
 *                    {"held":false,"text":"why"}
 *   free             closes it: {"held":false}
 */

import { createInterface } from "node:readline";
import { SystemRandom } from "@haremq/kernel";
import { DataDirectory, lockDirectory, RealDisk } from "@haremq/store";

let held: DataDirectory | undefined;

process.stdout.write("{}\n");
for await (const line of createInterface({ input: process.stdin })) {
  const [order, path = ""] = line.split(" ");
  const answer = order === "lock" ? await lock(path) : free();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function lock(path: string): Promise<object> {
  const options = { disk: new RealDisk(), random: new SystemRandom(), lock: lockDirectory };
  try {
    held = await DataDirectory.open({ ...options, path });
    return { held: true, nodeId: held.nodeId };
  } catch (error) {
    return { held: false, text: String(error) };
  }
}

function free(): object {
  held?.close();
  held = undefined;
  return { held: false };
}
