/**
 * One kind of record in a metadata store: where it stands, how it is written, and how it is read
 * back and checked. topology-records.ts makes one for each kind of thing that outlives a broker.
 */

import { MetadataError } from "./metadata-error.ts";
import type {
  MetadataChange,
  MetadataEntry,
  MetadataKey,
  MetadataStore,
} from "./metadata-store.ts";

export interface MetadataKindFormat<T, K extends MetadataKey> {
  /** The first part of every key. It never changes, and no other kind has it. */
  readonly name: string;
  /** The parts behind the first, as many for every record. */
  readonly keyOf: (record: T) => K;
  /** What the key does not say already. Empty things may be left out. */
  readonly toFields: (record: T) => Record<string, unknown>;
  readonly fromFields: (fields: FieldReader, key: K) => T;
  readonly keyParts: number;
}

export class MetadataKind<T, K extends MetadataKey> {
  readonly name: string;
  readonly #format: MetadataKindFormat<T, K>;

  constructor(format: MetadataKindFormat<T, K>) {
    this.name = format.name;
    this.#format = format;
  }

  keyOf(record: T): MetadataKey {
    return [this.name, ...this.#format.keyOf(record)];
  }

  /** The change that adds a record or replaces the one with its key. */
  put(record: T): MetadataChange {
    return { key: this.keyOf(record), value: this.#format.toFields(record) };
  }

  remove(record: T): MetadataChange {
    return { key: this.keyOf(record), value: undefined };
  }

  removeAt(...key: K): MetadataChange {
    return { key: [this.name, ...key], value: undefined };
  }

  get(store: MetadataStore, ...key: K): T | undefined {
    const entry = store.get([this.name, ...key]);
    return entry === undefined ? undefined : this.decode(entry);
  }

  /** All records whose keys begin with the given parts, in the order of their keys. */
  *scan(store: MetadataStore, ...prefix: string[]): Generator<T, void, undefined> {
    for (const entry of store.scan([this.name, ...prefix])) yield this.decode(entry);
  }

  /** Throws a MetadataError if the entry is not of this kind. */
  decode(entry: Pick<MetadataEntry, "key" | "value">): T {
    const [name, ...key] = entry.key;
    const fields = new FieldReader(entry);
    if (name !== this.name || key.length !== this.#format.keyParts) {
      throw fields.damaged(`is not the key of a ${this.name}`);
    }
    return this.#format.fromFields(fields, key as readonly string[] as K);
  }
}

/**
 * The fields of a stored record, each read as what it must be. Fields that nobody reads may be
 * there.
 */
export class FieldReader {
  readonly #key: MetadataKey;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor({ key, value }: Pick<MetadataEntry, "key" | "value">) {
    this.#key = key;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.damaged("is not a record");
    }
    this.#fields = value as Record<string, unknown>;
  }

  text(name: string): string {
    const value = this.#fields[name];
    return typeof value === "string" ? value : this.#refuse(name);
  }

  /** A text, or "" if there is none. */
  optionalText(name: string): string {
    return name in this.#fields ? this.text(name) : "";
  }

  /** True, false, or absent for false. */
  flag(name: string): boolean {
    const value = this.#fields[name] ?? false;
    return typeof value === "boolean" ? value : this.#refuse(name);
  }

  integer(name: string): number {
    const value = this.#fields[name];
    return Number.isSafeInteger(value) ? (value as number) : this.#refuse(name);
  }

  number(name: string): number {
    const value = this.#fields[name];
    return typeof value === "number" ? value : this.#refuse(name);
  }

  /** Bytes, or none. */
  bytes(name: string): Uint8Array {
    const value = this.#fields[name] ?? new Uint8Array();
    return value instanceof Uint8Array ? value : this.#refuse(name);
  }

  /** A list of texts, or an empty one. */
  texts(name: string): string[] {
    const value = this.#fields[name] ?? [];
    if (!Array.isArray(value) || value.some((item) => typeof item !== "string")) {
      return this.#refuse(name);
    }
    return value;
  }

  /** A plain object, or an empty one. */
  object(name: string): Record<string, unknown> {
    const value = this.#fields[name] ?? {};
    const isObject = typeof value === "object" && !Array.isArray(value);
    return isObject && !(value instanceof Uint8Array) ? { ...value } : this.#refuse(name);
  }

  /** An object whose fields are all integers, or an empty one. */
  integers(name: string): Record<string, number> {
    const value = this.object(name);
    const isWhole = Object.values(value).every((each) => Number.isSafeInteger(each));
    return isWhole ? (value as Record<string, number>) : this.#refuse(name);
  }

  /** Whatever is there; it must be something. */
  value(name: string): unknown {
    return name in this.#fields ? this.#fields[name] : this.#refuse(name);
  }

  damaged(what: string): MetadataError {
    return new MetadataError("damaged", `The metadata of ${JSON.stringify(this.#key)} ${what}`);
  }

  #refuse(name: string): never {
    throw this.damaged(`has no usable ${name}`);
  }
}
