/**
 * The keys of the messages in one queue, so that it takes none that it has. A key is here from the
 * arrival of its message until that leaves, for whatever reason; requeued messages do not leave.
 *
 * Nothing is stored: what is in the queue says it all. After a restart, and when deduplication
 * begins with messages in the queue, these are read for their keys.
 */

import { type ByteCount, DigestTable } from "@haremq/kernel";
import { PropertyScan, scanProperties, WireReader } from "@haremq/wire";
import { type MessageStore, Viewed } from "../message/message-store.ts";
import { MessageView } from "../message/message-view.ts";
import { digestKey, newDigest } from "./message-key.ts";

/** About what a sequence number takes to lead to a key, or to a message to be read. */
const sequenceBytes = 40;
/** How many messages are read before others have their turn. */
const readsPerTurn = 1024;

const scan = new PropertyScan();
const reader = new WireReader(Buffer.alloc(0));

export class QueueKeys {
  readonly header: string;
  readonly #memory: ByteCount;
  readonly #table = new DigestTable();
  /** The key's slot, by the message's sequence number. */
  readonly #slots = new Map<number, number>();
  /** The handles of messages whose keys have not been read, by sequence number. */
  readonly #unread = new Map<number, number>();
  readonly #digest = newDigest();
  #hasDigest = false;

  constructor(header: string, memory: ByteCount) {
    this.header = header;
    this.#memory = memory;
  }

  /** Whether there is a message with the key of this one. */
  has(view: MessageView): boolean {
    this.#hasDigest = this.#digestOf(view);
    return this.#hasDigest && this.#table.find(this.#digest) >= 0;
  }

  /** The message that `has` was asked for has got this sequence number. */
  add(sequence: number): void {
    if (!this.#hasDigest) return;
    const before = this.#table.bytes;
    this.#slots.set(sequence, this.#table.add(this.#digest, sequence, 0));
    this.#memory.bytes += this.#table.bytes - before + sequenceBytes;
  }

  /** The message has left. */
  forget(sequence: number): void {
    const slot = this.#slots.get(sequence);
    if (slot === undefined) {
      if (this.#unread.delete(sequence)) this.#memory.bytes -= sequenceBytes;
      return;
    }
    const before = this.#table.bytes;
    this.#slots.delete(sequence);
    this.#table.remove(slot);
    this.#memory.bytes += this.#table.bytes - before - sequenceBytes;
  }

  /** There is a message whose key has to be read. */
  noteUnread(sequence: number, handle: number): void {
    this.#unread.set(sequence, handle);
    this.#memory.bytes += sequenceBytes;
  }

  /**
   * Reads the keys of messages that are there; what cannot be read has none. Now and then it waits
   * for the next turn, if there is anybody else who should have one.
   */
  async read(messages: MessageStore, nextTurn?: () => Promise<void>): Promise<void> {
    const view = new MessageView();
    let reads = 0;
    for (const [sequence, handle] of this.#unread) {
      if (++reads % readsPerTurn === 0) await nextTurn?.();
      // It may leave while others are read, or while it is.
      while (this.#unread.has(sequence) && !messages.isResident(handle)) {
        const isRead = await messages.load(handle).then(
          () => true,
          () => false,
        );
        if (!isRead) break;
      }
      if (!this.#unread.has(sequence)) continue;
      const isThere = messages.isResident(handle) && messages.view(handle, view) === Viewed.Ready;
      this.forget(sequence);
      if (isThere && !this.has(view)) this.add(sequence);
    }
  }

  clear(): void {
    this.#memory.bytes -= this.#table.bytes;
    this.#memory.bytes -= (this.#slots.size + this.#unread.size) * sequenceBytes;
    this.#table.clear();
    this.#slots.clear();
    this.#unread.clear();
  }

  #digestOf({ properties, propertiesStart, propertiesLength }: MessageView): boolean {
    if (!scanProperties(properties, propertiesStart, propertiesStart + propertiesLength, scan)) {
      return false;
    }
    if (scan.headersLength === 0) return false;
    reader.reset(properties, scan.headersStart, scan.headersStart + scan.headersLength);
    return digestKey(reader.table(), this.header, this.#digest);
  }
}
