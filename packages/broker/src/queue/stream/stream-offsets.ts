/**
 * The offsets that consumers of streams have reached, by stream and consumer tag: where a consumer
 * of that tag goes on when it comes back. Kept in memory, and saved in the metadata store a while
 * after they have changed, all that have changed in one commit. So a crash may take a consumer back
 * by what it settled in the last moments, and never forward.
 */

import type { Clock, Timer } from "@haremq/kernel";
import {
  type MetadataChange,
  MetadataError,
  type MetadataStore,
  streamOffsetRecords,
} from "@haremq/store";

const saveDelayMs = 1000;
/** More names than this in one stream, and the one that was stored longest ago is forgotten. */
const tagsMax = 1000;

export class StreamOffsets {
  readonly #clock: Clock;
  readonly #metadata: MetadataStore | undefined;
  /** By stream, then by tag; those stored last stand last. */
  readonly #offsets = new Map<number, Map<string, number>>();
  /** Changed and not saved. */
  readonly #unsaved = new Map<number, Set<string>>();
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(clock: Clock, metadata: MetadataStore | undefined) {
    this.#clock = clock;
    this.#metadata = metadata;
    if (metadata === undefined) return;
    for (const { stream, tag, offset } of streamOffsetRecords.scan(metadata)) {
      this.#of(stream).set(tag, offset);
    }
  }

  #of(stream: number): Map<string, number> {
    let offsets = this.#offsets.get(stream);
    if (offsets === undefined) {
      offsets = new Map();
      this.#offsets.set(stream, offsets);
    }
    return offsets;
  }

  /** The last offset that consumers with this tag are through with. */
  find(stream: number, tag: string): number | undefined {
    return this.#offsets.get(stream)?.get(tag);
  }

  /** All of a stream, by tag. */
  all(stream: number): ReadonlyMap<string, number> {
    return this.#offsets.get(stream) ?? new Map();
  }

  /** A stored offset never falls. */
  store(stream: number, tag: string, offset: number): void {
    const offsets = this.#of(stream);
    const before = offsets.get(tag);
    if (before !== undefined && before >= offset) return;
    // To the end of the order.
    offsets.delete(tag);
    offsets.set(tag, offset);
    this.#noteUnsaved(stream, tag);
    if (offsets.size <= tagsMax) return;
    for (const oldest of offsets.keys()) {
      this.forget(stream, oldest);
      return;
    }
  }

  forget(stream: number, tag: string): void {
    if (this.#offsets.get(stream)?.delete(tag) === true) this.#noteUnsaved(stream, tag);
  }

  /** The stream is gone. */
  forgetAll(stream: number): void {
    for (const tag of this.all(stream).keys()) this.#noteUnsaved(stream, tag);
    this.#offsets.delete(stream);
  }

  /** Forgets those of streams that are not there any more. */
  keepOnly(streams: ReadonlySet<number>): void {
    for (const stream of this.#offsets.keys()) if (!streams.has(stream)) this.forgetAll(stream);
  }

  #noteUnsaved(stream: number, tag: string): void {
    if (this.#metadata === undefined) return;
    const tags = this.#unsaved.get(stream);
    if (tags === undefined) this.#unsaved.set(stream, new Set([tag]));
    else tags.add(tag);
    this.#timer ??= this.#clock.schedule(saveDelayMs, () => void this.save());
  }

  /** Saves what has changed; if that is not possible now, it is tried again later. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  async #save(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#unsaved.size === 0) return;
    const unsaved = new Map(this.#unsaved);
    this.#unsaved.clear();
    try {
      await this.#metadata!.commit(this.#changes(unsaved));
    } catch (error) {
      if (!(error instanceof MetadataError)) throw error;
      for (const [stream, tags] of unsaved) for (const tag of tags) this.#noteUnsaved(stream, tag);
    }
  }

  #changes(unsaved: ReadonlyMap<number, ReadonlySet<string>>): MetadataChange[] {
    const changes: MetadataChange[] = [];
    for (const [stream, tags] of unsaved) {
      for (const tag of tags) {
        const offset = this.find(stream, tag);
        if (offset === undefined) changes.push(streamOffsetRecords.removeAt(String(stream), tag));
        else changes.push(streamOffsetRecords.put({ stream, tag, offset }));
      }
    }
    return changes;
  }

  async close(): Promise<void> {
    await this.save();
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
