/**
 * The kill simulator: runs the real broker as a process under a real load of clients, kills it with
 * SIGKILL at a moment that is drawn, starts it again on the same data directory, and looks what is
 * left. Round after round, with what the last one has left. Sometimes the broker is killed again
 * while it starts.
 *
 * The moments follow from the seed, counted in what clients are told; what the machine does in
 * between does not, so a seed that fails may need some rounds more or less to fail again.
 */

import { SeededRandom } from "@haremq/kernel";
import { checkBroker } from "./kill-check.ts";
import { declareFixtures, KillLoad } from "./kill-load.ts";
import { KillWorld } from "./kill-world.ts";
import { demand } from "./promise-broken.ts";
import { ServerProcess } from "./server-process.ts";

export interface KillOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly directory: string;
  readonly trace?: (line: string) => void;
}

export interface KillReport {
  readonly kills: number;
  readonly confirmed: number;
  readonly acknowledged: number;
  readonly committed: number;
  readonly moved: number;
}

const levelOs = "haremq.confirm=os";
/** The longest silence of a broker under load: it tells a broker that works from one that hangs. */
const silenceMsMax = 30_000;

/**
 * Rejects with PromiseBroken if a restart does not find what it must, or finds what it must not.
 */
export async function simulateKills(options: KillOptions): Promise<KillReport> {
  const { rounds, seed, directory, trace = () => {} } = options;
  const random = new SeededRandom(seed);
  const world = new KillWorld();
  let kills = 0;
  let server = start(directory, random);
  try {
    await declareFixtures(await server.url, world);
    for (let round = 1; round <= rounds; round++) {
      await workAndKill(server, await server.url, world, random);
      kills++;
      world.onKilled(server.settings.includes(levelOs) ? "os" : "disk");
      if (random.below(4) === 0) {
        await killWhileStarting(directory, random);
        kills++;
      }
      server = start(directory, random);
      await checkBroker(await server.url, world);
      await world.stream.check(await server.url);
      const complaints = server.errors;
      demand(complaints.length === 0, () => `the broker complains:\n${complaints.join("\n")}`);
      const { confirmed, acknowledged, committed, moved, stream } = world;
      trace(
        `round ${round}: ${confirmed} confirmed, ${acknowledged} acked, ${committed} tx, ` +
          `${moved} dead letters, ${stream.confirmed} in a stream so far`,
      );
    }
    const { confirmed, acknowledged, committed, moved } = world;
    return { kills, confirmed, acknowledged, committed, moved };
  } finally {
    await server.kill();
  }
}

/**
 * Sometimes with so little memory that messages have to leave it, sometimes at the level that only
 * promises to survive what is done here.
 */
function start(directory: string, random: SeededRandom): ServerProcess {
  const settings = random.below(2) === 0 ? [] : ["vm_memory_high_watermark.absolute=100MB"];
  if (random.below(3) === 0) settings.push(levelOs);
  return new ServerProcess({ directory, settings });
}

async function workAndKill(
  server: ServerProcess,
  url: string,
  world: KillWorld,
  random: SeededRandom,
): Promise<void> {
  const target = world.progress + 1 + random.below(random.pick([100, 3000, 10_000]));
  let silence: NodeJS.Timeout | undefined;
  let load!: KillLoad;
  try {
    await new Promise<void>((resolve, reject) => {
      const onProgress = (): void => {
        if (world.progress >= target) resolve();
        else silence?.refresh();
      };
      silence = setTimeout(() => {
        reject(new Error(`nothing happens any more:\n${server.lines.join("\n")}`));
      }, silenceMsMax);
      load = new KillLoad(world, random, onProgress);
      load.onBroken = reject;
      load.start(url).catch(reject);
    });
  } finally {
    clearTimeout(silence);
    await server.kill();
  }
  await load.ended();
}

async function killWhileStarting(directory: string, random: SeededRandom): Promise<void> {
  const server = start(directory, random);
  await new Promise((resolve) => setTimeout(resolve, random.below(1200)));
  await server.kill();
}
