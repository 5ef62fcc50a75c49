/**
 * What the faulty disk knows of the names of files beyond what processes see: those that are surely
 * on the disk, and the creations, renames and removals since, which a power loss may undo one by
 * one. Only changes of the same name keep their order: a file cannot get its second name before its
 * first.
 */

import { dirname, resolve } from "node:path";
import type { SeededRandom } from "@haremq/kernel";
import type { TreeEntry } from "./file-tree.ts";
import { drawFates } from "./power-loss.ts";

/** One step: a name goes, or comes, or both. */
interface NameChange {
  readonly removed?: string;
  readonly added?: { readonly name: string; readonly entry: TreeEntry };
  readonly number: number;
  /** The directories that have to be synced before it is durable. */
  readonly waitsFor: Set<string>;
}

export class NameHistory {
  readonly #stable: Map<string, TreeEntry>;
  #pending: NameChange[] = [];
  #changes = 0;

  constructor(stable: ReadonlyMap<string, TreeEntry> = new Map()) {
    this.#stable = new Map(stable);
  }

  noteCreation(path: string, entry: TreeEntry): void {
    const name = resolve(path);
    this.#note([name], { added: { name, entry } });
  }

  noteRemoval(path: string): void {
    const name = resolve(path);
    this.#note([name], { removed: name });
  }

  noteRename(from: string, to: string, entry: TreeEntry): void {
    const added = { name: resolve(to), entry };
    this.#note([resolve(from), added.name], { removed: resolve(from), added });
  }

  /** Stands for all changes so far, which is what a sync that begins now will make durable. */
  mark(): number {
    return this.#changes;
  }

  sync(directory: string, mark: number): void {
    const path = resolve(directory);
    for (const change of this.#pending) {
      if (change.number < mark) change.waitsFor.delete(path);
    }
    const durable = withEarlier(
      this.#pending,
      this.#pending.filter(({ waitsFor }) => waitsFor.size === 0),
    );
    for (const change of durable) apply(this.#stable, change);
    this.#pending = this.#pending.filter((change) => !durable.includes(change));
  }

  /** The names that a power loss leaves. */
  afterPowerLoss(random: SeededRandom): Map<string, TreeEntry> {
    const names = new Map(this.#stable);
    const drawn = drawFates(this.#pending.length, random);
    const happened = drawn.map(({ index }) => this.#pending[index] as NameChange);
    for (const change of withEarlier(this.#pending, happened)) apply(names, change);
    for (const name of [...names.keys()]) if (!isReachable(names, name)) names.delete(name);
    return names;
  }

  #note(names: readonly string[], change: Pick<NameChange, "removed" | "added">): void {
    const waitsFor = new Set(names.map((name) => dirname(name)));
    this.#pending.push({ ...change, number: this.#changes++, waitsFor });
  }
}

/** The chosen changes and all that came before them under the same names, in order. */
function withEarlier(
  changes: readonly NameChange[],
  chosen: readonly NameChange[],
): readonly NameChange[] {
  const names = new Set<string | undefined>();
  return changes
    .toReversed()
    .filter((change) => {
      const own = [change.removed, change.added?.name].filter((name) => name !== undefined);
      if (!chosen.includes(change) && !own.some((name) => names.has(name))) return false;
      for (const name of own) names.add(name);
      return true;
    })
    .reverse();
}

function apply(names: Map<string, TreeEntry>, { removed, added }: NameChange): void {
  if (removed !== undefined) names.delete(removed);
  if (added !== undefined) names.set(added.name, added.entry);
}

/** A name is lost with the directory it is in. */
function isReachable(names: ReadonlyMap<string, TreeEntry>, name: string): boolean {
  const parent = dirname(name);
  if (parent === dirname(parent)) return true;
  return names.get(parent) === "directory" && isReachable(names, parent);
}
