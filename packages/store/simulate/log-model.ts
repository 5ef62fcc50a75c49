/**
 * What the message log has promised: a naive account of every record that was ever appended, and
 * the judge of what a recovery brings back. The crash simulator keeps it beside the real log.
 *
 * The promises, record by record and queue by queue:
 * - What was durable and is not settled comes back, with the same bytes, in the same order. So does
 *   what was written, after the end of the process, as long as no sync has failed.
 * - What was not durable comes back as a prefix of what was appended, or not at all; what did not
 *   come back once never does. At level os, a power loss may leave gaps.
 * - What was settled in a group that is durable never comes back; and what was settled in a group
 *   that has not survived does.
 * - Any other settlement survives the end of the process once it was noted; over a power loss it
 *   may be forgotten, and so it may after a sync that failed: the system can let go of what it
 *   could not write whenever it likes.
 * - A group survives as a whole or not at all.
 * - What was never delivered is not said to have been. What was delivered is said so, once that was
 *   noted, after the end of the process.
 */

export class PromiseBroken extends Error {
  override readonly name = "PromiseBroken";
}

export function demand(isSo: boolean, what: () => string): void {
  if (!isSo) throw new PromiseBroken(what());
}

export interface ModelGroup {
  readonly id: number;
  /** The log's position behind it, in the life that counts. */
  position: number;
  isDurable: boolean;
  readonly members: ModelRecord[];
  readonly settles: ModelTarget[];
}

/** A record as one queue sees it. */
export interface ModelTarget {
  readonly record: ModelRecord;
  readonly queue: number;
  /** Gone: it must never come back. */
  state: "open" | "settled" | "gone";
  settledBy: ModelGroup | undefined;
  /** The settlement survives the end of the process. */
  isNoted: boolean;
}

export interface ModelRecord {
  readonly id: number;
  readonly length: number;
  readonly targets: readonly ModelTarget[];
  readonly group: ModelGroup | undefined;
  position: number;
  /** The operating system has it. */
  isWritten: boolean;
  isDurable: boolean;
}

/** A record that a recovery has told of, for one queue. */
export interface Recovered {
  readonly id: number;
  readonly queue: number;
  readonly handle: number;
  readonly wasDelivered: boolean;
}

export class LogModel {
  readonly records: ModelRecord[] = [];
  #unsafe: ModelRecord[] = [];
  readonly deletedQueues = new Set<number>();
  #groups: ModelGroup[] = [];
  #writtenPosition = 0;
  #durablePosition = 0;
  /** Up to which record each queue has ever delivered... */
  readonly #everDelivered = new Map<number, number>();
  /** ...up to which the log has been told, or has said so itself when it opened... */
  #delivered = new Map<number, number>();
  /** ...and up to which it is known to survive the end of the process. */
  #deliveredNoted = new Map<number, number>();
  #isForgetful = false;
  /** The power has gone, at a level that promises nothing then. */
  #mayHaveGaps = false;
  /** A sync has failed or may: the operating system may forget what it has. */
  #mayLoseWritten = false;

  append(length: number, queues: readonly number[], group?: ModelGroup): ModelRecord {
    const targets: ModelTarget[] = [];
    const record: ModelRecord = {
      id: this.records.length,
      length,
      targets,
      group,
      position: Number.POSITIVE_INFINITY,
      isWritten: false,
      isDurable: false,
    };
    for (const queue of queues) {
      targets.push({ record, queue, state: "open", settledBy: undefined, isNoted: false });
    }
    this.records.push(record);
    this.#unsafe.push(record);
    group?.members.push(record);
    return record;
  }

  beginGroup(): ModelGroup {
    const group: ModelGroup = {
      id: this.#groups.length,
      position: Number.POSITIVE_INFINITY,
      isDurable: false,
      members: [],
      settles: [],
    };
    this.#groups.push(group);
    return group;
  }

  settle(target: ModelTarget, group?: ModelGroup): void {
    target.state = "settled";
    target.settledBy = group;
    target.isNoted = false;
    group?.settles.push(target);
  }

  deliver({ queue, record }: ModelTarget): void {
    for (const delivered of [this.#everDelivered, this.#delivered]) {
      delivered.set(queue, Math.max(record.id, delivered.get(queue) ?? 0));
    }
  }

  onWritten(position: number): void {
    demand(position >= this.#writtenPosition, () => `written went back to ${position}`);
    this.#writtenPosition = position;
    for (const record of this.#unsafe) record.isWritten ||= record.position <= position;
  }

  onDurable(position: number): void {
    demand(position >= this.#durablePosition, () => `durable went back to ${position}`);
    demand(position <= this.#writtenPosition, () => `durable at ${position}, and not written`);
    this.#durablePosition = position;
    this.#unsafe = this.#unsafe.filter((record) => {
      record.isDurable = record.position <= position;
      return !record.isDurable;
    });
    for (const group of this.#groups) if (group.position <= position) group.isDurable = true;
  }

  /** What has been noted was to be made safe, and that has failed. */
  onFailedSync(): void {
    this.#isForgetful = true;
    this.onPowerLoss();
  }

  onSyncFault(): void {
    this.#mayLoseWritten = true;
  }

  /** The log is at rest: whatever was settled has been noted. */
  onRest(): void {
    if (this.#isForgetful) return;
    for (const target of this.#allTargets()) if (target.state === "settled") target.isNoted = true;
    this.#deliveredNoted = new Map(this.#delivered);
  }

  /** The queue is no more, and nobody will ask for what it had. */
  deleteQueue(queue: number): void {
    this.deletedQueues.add(queue);
    for (const target of this.#allTargets()) if (target.queue === queue) target.state = "gone";
  }

  /** `mayHaveGaps` if something was of level os. */
  onPowerLoss(mayHaveGaps = false): void {
    for (const target of this.#allTargets()) target.isNoted = false;
    for (const record of this.records) record.isWritten = record.isDurable;
    this.#deliveredNoted.clear();
    this.#mayHaveGaps ||= mayHaveGaps;
  }

  /**
   * Judges what a recovery has found, and takes it over as the state of the new life, which begins
   * at this position of the log.
   */
  recover(recovered: readonly Recovered[], position: number): void {
    const found = this.#readFound(recovered);
    const isFound = (target: ModelTarget): boolean => found.has(target);
    if (this.#mayLoseWritten) {
      for (const record of this.records) record.isWritten = record.isDurable;
    }
    this.#judge(isFound);
    this.#mayHaveGaps = false;
    this.#mayLoseWritten = false;
    for (const target of this.#allTargets()) this.#accept(target, isFound(target));
    this.#writtenPosition = 0;
    this.#durablePosition = 0;
    for (const record of this.records) {
      const isThere = record.targets.some(({ state }) => state === "open");
      record.isWritten = isThere;
      record.position = isThere ? position : Number.POSITIVE_INFINITY;
    }
    for (const group of this.#groups) {
      group.position = this.#hasSurvived(group, isFound) ? position : Number.POSITIVE_INFINITY;
    }
  }

  #judge(isFound: (target: ModelTarget) => boolean): void {
    if (!this.#mayHaveGaps) this.#judgePrefix(isFound);
    for (const group of this.#groups) if (!group.isDurable) this.#judgeGroup(group, isFound);
    for (const target of this.#allTargets()) judgeTarget(target, isFound(target));
  }

  get openTargets(): ModelTarget[] {
    return [...this.#allTargets()].filter(({ state }) => state === "open");
  }

  get liveRecords(): number {
    return this.records.filter(({ targets }) => targets.some(({ state }) => state === "open"))
      .length;
  }

  *#allTargets(): Iterable<ModelTarget> {
    for (const record of this.records) yield* record.targets;
  }

  #readFound(recovered: readonly Recovered[]): Set<ModelTarget> {
    const found = new Set<ModelTarget>();
    let last = -1;
    this.#delivered = new Map();
    for (const { id, queue, wasDelivered } of recovered) {
      const target = this.records[id]?.targets.find((each) => each.queue === queue);
      if (target === undefined) throw new PromiseBroken(`queue ${queue} never got record ${id}`);
      demand(!found.has(target), () => `queue ${queue} got record ${id} twice`);
      demand(id >= last, () => `record ${id} came after ${last}`);
      last = id;
      found.add(target);
      const delivered = this.#everDelivered.get(queue) ?? -1;
      demand(!wasDelivered || id <= delivered, () => `${nameOf(target)} was never delivered`);
      const noted = this.#deliveredNoted.get(queue) ?? -1;
      demand(wasDelivered || id > noted, () => `${nameOf(target)} was delivered, and noted`);
      if (wasDelivered) this.#delivered.set(queue, id);
    }
    return found;
  }

  /** Of what was never durable, nothing comes back behind something that does not. */
  #judgePrefix(isFound: (target: ModelTarget) => boolean): void {
    let missing: ModelTarget | undefined;
    for (const target of this.#allTargets()) {
      if (this.deletedQueues.has(target.queue) || target.record.isDurable) continue;
      // What a group has settled can be missing because of that group.
      if (target.state === "open" && !isFound(target)) missing ??= target;
      demand(
        missing === undefined || !isFound(target),
        () => `${nameOf(target)} is there, and ${nameOf(missing!)} before it is not`,
      );
    }
  }

  #judgeGroup(group: ModelGroup, isFound: (target: ModelTarget) => boolean): void {
    const open = group.members.flatMap(({ targets }) =>
      targets.filter(({ state, queue }) => state === "open" && !this.deletedQueues.has(queue)),
    );
    const settled = group.settles.filter(
      ({ record, state, settledBy, queue }) =>
        state === "settled" &&
        settledBy === group &&
        record.isDurable &&
        !this.deletedQueues.has(queue),
    );
    const isIn = open.length > 0 ? isFound(open[0]!) : settled.length > 0 && !isFound(settled[0]!);
    for (const target of open) {
      demand(isFound(target) === isIn, () => `group ${group.id} is torn at ${nameOf(target)}`);
    }
    for (const target of settled) {
      demand(
        isFound(target) === !isIn,
        () => `group ${group.id} is ${isIn ? "in" : "out"}, but ${nameOf(target)} is the contrary`,
      );
    }
  }

  #hasSurvived(group: ModelGroup, isFound: (target: ModelTarget) => boolean): boolean {
    if (group.isDurable) return true;
    const members = group.members.flatMap(({ targets }) => targets);
    if (members.some(isFound)) return true;
    return group.settles.some((target) => target.settledBy === group && !isFound(target));
  }

  #accept(target: ModelTarget, isFound: boolean): void {
    if (isFound) {
      target.state = "open";
      target.settledBy = undefined;
      target.isNoted = false;
      return;
    }
    if (target.state === "open" || target.settledBy?.isDurable === true) target.state = "gone";
  }
}

function judgeTarget(target: ModelTarget, isFound: boolean): void {
  const { record, state, settledBy, isNoted } = target;
  if (state === "gone") demand(!isFound, () => `${nameOf(target)} is back from the dead`);
  if (state === "open" && record.isDurable) {
    demand(isFound, () => `${nameOf(target)} was durable and is lost`);
  }
  if (state === "open" && record.isWritten) {
    demand(isFound, () => `${nameOf(target)} was written and is lost`);
  }
  if (state !== "settled") return;
  if (settledBy?.isDurable === true) {
    demand(!isFound, () => `${nameOf(target)} was settled by group ${settledBy.id}, and is back`);
  }
  demand(!(isNoted && isFound), () => `${nameOf(target)} was settled and noted, and is back`);
}

export function nameOf({ record, queue }: ModelTarget): string {
  const group = record.group === undefined ? "" : ` of group ${record.group.id}`;
  return `record ${record.id}${group} in queue ${queue}`;
}
