/**
 * What a producer channel sends: bodies of one size with a sequence number and the time of sending
 * in them, or the contents of files, whose time of sending travels in a header.
 */

import { readFileSync } from "node:fs";
import type { PublishProperties, Table } from "@haremq/client";
import { type MessageClock, stampBytes, writeStamp } from "./message-clock.ts";
import type { PerfOptions } from "./perf-options.ts";

/** PerfTest's name for the header. */
export const timeHeader = "timestamp";

export interface MessageSource {
  /** The properties that all messages share; undefined if each has its own. */
  readonly sharedProperties: PublishProperties | undefined;
  /** The body and time of the next message. The body is only valid until the next call. */
  next(): Buffer;
  /** When that message was made, in the clock's units. */
  readonly time: number;
  /** Its properties, where they are not shared. */
  readonly properties: PublishProperties;
}

/** Whether consumers can tell the latency of such messages. */
export function carriesTime(options: PerfOptions): boolean {
  return options.bodyFiles.length > 0 || (options.sizeBytes ?? stampBytes) >= stampBytes;
}

/** Reads the files of --body, once for all producers. */
export function readBodies(options: PerfOptions): Buffer[] {
  return options.bodyFiles.map((file) => readFileSync(file));
}

export function messageSource(
  options: PerfOptions,
  bodies: readonly Buffer[],
  clock: MessageClock,
): MessageSource {
  if (bodies.length > 0) return new FileSource(options.properties, bodies, clock);
  return new SequenceSource(options.properties, options.sizeBytes ?? stampBytes, clock);
}

class SequenceSource implements MessageSource {
  readonly sharedProperties: PublishProperties;
  readonly properties: PublishProperties;
  time = 0;
  readonly #body: Buffer;
  readonly #clock: MessageClock;
  #sequence = 0;

  constructor(properties: PublishProperties, sizeBytes: number, clock: MessageClock) {
    this.sharedProperties = properties;
    this.properties = properties;
    this.#body = Buffer.alloc(sizeBytes);
    this.#clock = clock;
  }

  next(): Buffer {
    this.time = this.#clock.now();
    if (this.#body.length >= stampBytes) writeStamp(this.#body, this.#sequence++, this.time);
    return this.#body;
  }
}

class FileSource implements MessageSource {
  readonly sharedProperties = undefined;
  properties: PublishProperties = {};
  time = 0;
  readonly #given: PublishProperties;
  readonly #headers: Table;
  readonly #bodies: readonly Buffer[];
  readonly #clock: MessageClock;
  #sequence = 0;

  constructor(given: PublishProperties, bodies: readonly Buffer[], clock: MessageClock) {
    this.#given = given;
    this.#headers = given.headers ?? {};
    this.#bodies = bodies;
    this.#clock = clock;
  }

  next(): Buffer {
    this.time = this.#clock.now();
    this.properties = { ...this.#given, headers: { ...this.#headers, [timeHeader]: this.time } };
    return this.#bodies[this.#sequence++ % this.#bodies.length] as Buffer;
  }
}
