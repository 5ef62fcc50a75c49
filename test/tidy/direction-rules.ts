/**
 * Tidy rules on who may use what: which package may import which, and which may touch the world
 * outside. The table is the architecture; package.json files and imports are both held to it.
 */

import { posix } from "node:path";
import type { SourceFile } from "./source-files.ts";
import { importsOf, isTest, packageOf } from "./source-files.ts";

interface Room {
  /** The name that others import it by. */
  readonly name: string;
  /** The packages, by folder, that it may import. */
  readonly uses: readonly string[];
  /** Modules of Node that reach outside the process, and that it may import. */
  readonly reaches: readonly string[];
  /** The only ones of its files that may import them, by path in src. Default: all. */
  readonly reachesFrom?: RegExp;
}

const files = ["fs", "fs/promises"];
const sockets = ["net", "tls"];

export const rooms: Readonly<Record<string, Room>> = {
  kernel: { name: "@haremq/kernel", uses: [], reaches: [] },
  wire: { name: "@haremq/wire", uses: ["kernel"], reaches: [] },
  store: {
    name: "@haremq/store",
    uses: ["kernel"],
    reaches: [...files, "os"],
    // LMDB does its own reading and writing, and the lock is between real processes. All else goes
    // through the Disk contract, or no simulated crash would reach it.
    reachesFrom: /^(disk\/(directory-lock|process-identity|real-disk)|metadata\/lmdb-[\w-]+)\.ts$/,
  },
  broker: { name: "@haremq/broker", uses: ["kernel", "wire", "store"], reaches: [] },
  amqp: { name: "@haremq/amqp", uses: ["kernel", "wire", "broker"], reaches: sockets },
  client: { name: "@haremq/client", uses: ["kernel", "wire"], reaches: sockets },
  server: {
    name: "haremq",
    uses: ["kernel", "store", "broker", "amqp"],
    reaches: [...files, ...sockets, "os", "process"],
  },
  perf: { name: "haremq-perf", uses: ["client"], reaches: [...files, "os", "process"] },
  testkit: {
    name: "@haremq/testkit",
    uses: ["kernel", "wire", "store", "broker", "amqp", "client", "server"],
    reaches: [...files, ...sockets, "os", "process", "child_process"],
  },
};

/** Node's modules that compute and do not reach out: free for everyone. */
const pureModules: ReadonlySet<string> = new Set([
  ..."assert assert/strict async_hooks buffer crypto diagnostics_channel events".split(" "),
  ..."path perf_hooks string_decoder timers url util v8 zlib stream".split(" "),
]);

/** Tests may use more: what runs them, and the machine. */
const testModules: ReadonlySet<string> = new Set([
  ..."test fs fs/promises os net tls child_process timers/promises process".split(" "),
  ..."stream/promises worker_threads readline http module".split(" "),
]);

/** Imports in the sources of packages against the table. */
export function importDirections(file: SourceFile): string[] {
  const own = packageOf(file.path);
  if (own === undefined || !file.path.startsWith(`packages/${own}/src/`)) return [];
  const room = rooms[own];
  if (room === undefined) return [`packages/${own} is not in the table of rooms`];
  return importsOf(file).flatMap(({ specifier, line }) => {
    const complaint = judgeImport(file, own, room, specifier);
    return complaint === undefined ? [] : [`${file.path}:${line} ${complaint}`];
  });
}

function judgeImport(
  file: SourceFile,
  own: string,
  room: Room,
  specifier: string,
): string | undefined {
  if (specifier.startsWith(".")) {
    const target = posix.join(posix.dirname(file.path), specifier);
    // A test may also use what its package has beside its sources: test helpers, a generator.
    const inside = isTest(file) ? `packages/${own}/` : `packages/${own}/src/`;
    if (target.startsWith(inside)) return undefined;
    return specifier === "../package.json" ? undefined : `leaves its package by ${specifier}`;
  }
  if (specifier.startsWith("node:")) {
    const name = specifier.slice("node:".length);
    if (pureModules.has(name)) return undefined;
    if (isTest(file) && testModules.has(name)) return undefined;
    if (room.reaches.includes(name)) {
      const inside = posix.relative(`packages/${own}/src`, file.path);
      if (room.reachesFrom?.test(inside) ?? true) return undefined;
      return `may not use ${specifier}, which is for a few files of ${own} only`;
    }
    return `${own} may not use ${specifier}`;
  }
  const used = Object.entries(rooms).find(
    ([, { name }]) => specifier === name || specifier.startsWith(`${name}/`),
  );
  if (used === undefined) return undefined; // somebody else's; undeclaredImports() looks at it
  const [folder, { name }] = used;
  if (specifier !== name) return `reaches into ${name} past its index.ts`;
  if (room.uses.includes(folder)) return undefined;
  if (isTest(file) && folder === "testkit") return undefined;
  return `${own} may not import ${name}`;
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/**
 * Dependencies in package.json files against the table; the rooms' names; exact versions
 * everywhere.
 */
export function manifestDirections(projectFiles: readonly SourceFile[]): string[] {
  const manifests = projectFiles.filter(({ path }) =>
    /^(packages\/[^/]+\/)?package\.json$/.test(path),
  );
  return manifests.flatMap((file) => {
    const manifest = JSON.parse(file.text) as Manifest;
    const complaints: string[] = [];
    const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    for (const [name, version] of all) {
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) {
        complaints.push(`${file.path} does not pin ${name}: ${version}`);
      }
    }
    const own = packageOf(file.path);
    if (own === undefined) return complaints;
    const room = rooms[own];
    if (room === undefined) return [...complaints, `packages/${own} is not in the table of rooms`];
    if (room.name !== manifest.name) {
      return [...complaints, `${file.path} is called ${manifest.name}, not ${room.name}`];
    }
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      const used = Object.entries(rooms).find(([, each]) => each.name === name)?.[0];
      if (used !== undefined && !room.uses.includes(used)) {
        complaints.push(`${file.path}: ${own} may not depend on ${name}`);
      }
    }
    return complaints;
  });
}

/**
 * What a package imports it also declares, or it works here and not when it is installed alone. For
 * what is not installed with it, such as a simulator, to declare it for development is enough.
 */
export function undeclaredImports(projectFiles: readonly SourceFile[]): string[] {
  return projectFiles.flatMap((file) => {
    const own = packageOf(file.path);
    if (own === undefined || !/\.ts$/.test(file.path) || isTest(file)) return [];
    const manifest = projectFiles.find(({ path }) => path === `packages/${own}/package.json`);
    const { dependencies, devDependencies } = JSON.parse(manifest?.text ?? "{}") as Manifest;
    const isShipped = file.path.startsWith(`packages/${own}/src/`);
    const declared = { ...dependencies, ...(isShipped ? {} : devDependencies) };
    return importsOf(file).flatMap(({ specifier, line }) => {
      if (/^(\.|node:)/.test(specifier) || specifier in declared) return [];
      return [`${file.path}:${line} imports ${specifier}, which its package.json does not declare`];
    });
  });
}
