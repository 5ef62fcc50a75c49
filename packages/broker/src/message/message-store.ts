/**
 * Keeps messages for queues: lays a message out as one record of the arena, whatever the number of
 * queues that hold it, and counts the holders. Queues call it; nobody else knows the layout.
 *
 *     head:   | references | address bytes | properties bytes | body bytes |   (four 32-bit words)
 *     bytes:  | address .. | properties .. | body ..                       |
 *
 * This is a hot file.
 */

import { MessageArena, recordHeadBytes } from "@haremq/store";
import { copyBytes } from "./copy-bytes.ts";
import { MessageView, unstored } from "./message-view.ts";

export class MessageStore {
  readonly #arena = new MessageArena();
  /** For queues to look at one message after the other; nobody keeps it across calls. */
  readonly scratch = new MessageView();

  /**
   * Takes one reference to the viewed message, storing it first if no queue has done so yet.
   * Returns its handle, which the view carries from then on.
   */
  keep(view: MessageView): number {
    if (view.handle !== unstored) {
      this.#arena.retain(view.handle);
      return view.handle;
    }
    const { addressLength, propertiesLength, bodyLength } = view;
    const arena = this.#arena;
    const handle = arena.reserve(addressLength + propertiesLength + bodyLength);
    const word = arena.offset >>> 2;
    const words = arena.words;
    words[word + 1] = addressLength;
    words[word + 2] = propertiesLength;
    words[word + 3] = bodyLength;
    const bytes = arena.bytes;
    let offset = arena.offset + recordHeadBytes;
    copyBytes(view.address, view.addressStart, addressLength, bytes, offset);
    offset += addressLength;
    copyBytes(view.properties, view.propertiesStart, propertiesLength, bytes, offset);
    offset += propertiesLength;
    copyBytes(view.body, view.bodyStart, bodyLength, bytes, offset);
    view.handle = handle;
    return handle;
  }

  /** Points the view at a stored message; valid until the message's last reference is released. */
  view(handle: number, view: MessageView): void {
    const arena = this.#arena;
    arena.open(handle);
    const word = arena.offset >>> 2;
    const words = arena.words;
    const addressLength = words[word + 1]!;
    const propertiesLength = words[word + 2]!;
    const start = arena.offset + recordHeadBytes;
    view.address = arena.bytes;
    view.addressStart = start;
    view.addressLength = addressLength;
    view.properties = arena.bytes;
    view.propertiesStart = start + addressLength;
    view.propertiesLength = propertiesLength;
    view.body = arena.bytes;
    view.bodyStart = start + addressLength + propertiesLength;
    view.bodyLength = words[word + 3]!;
    view.handle = handle;
  }

  /** The body size of a stored message, for a queue's byte counts. */
  bodyBytes(handle: number): number {
    this.#arena.open(handle);
    return this.#arena.words[(this.#arena.offset >>> 2) + 3]!;
  }

  retain(handle: number): void {
    this.#arena.retain(handle);
  }

  /** Gives one reference back. */
  release(handle: number): void {
    this.#arena.release(handle);
  }

  /** Bytes of memory that stored messages occupy. */
  get usedBytes(): number {
    return this.#arena.usedBytes;
  }

  get liveMessages(): number {
    return this.#arena.stats.liveRecords;
  }
}
