/**
 * Which messages of a stream a consumer wants, by the value of their header x-stream-filter-value,
 * as RabbitMQ 4 has it; messages without one count as having the value "". RabbitMQ leaves out
 * chunks in which nothing can match, and clients sort out the rest; here nothing else is sent.
 */

import type { StreamReader } from "@haremq/store";
import { streamRecordHeadBytes } from "@haremq/store";
import {
  decodeText,
  type FieldTable,
  type FieldValue,
  PropertyScan,
  scanProperties,
  WireReader,
} from "@haremq/wire";

const headerName = "x-stream-filter-value";

/** More could be asked for in one consume than anybody compares. */
const valuesMax = 1000;

const scan = new PropertyScan();
const reader = new WireReader(Buffer.alloc(0));

export class StreamFilter {
  readonly #values: ReadonlySet<string>;
  readonly #takesUnfiltered: boolean;

  private constructor(values: ReadonlySet<string>, takesUnfiltered: boolean) {
    this.#values = values;
    this.#takesUnfiltered = takesUnfiltered;
  }

  /** The filter that checked arguments ask for, if they do. What is no text is no filter. */
  static of(args: FieldTable): StreamFilter | undefined {
    const field = args.get("x-stream-filter");
    const values = field === undefined ? undefined : valuesOf(field);
    if (values === undefined) return undefined;
    const takesUnfiltered = args.get("x-stream-match-unfiltered")?.value === true;
    return new StreamFilter(new Set(values), takesUnfiltered);
  }

  /** Whether the value is one that `of` takes. */
  static isValid(field: FieldValue): boolean {
    if (field.type !== "A") return true;
    const isText = field.value.every(({ type }) => type === "S");
    return isText && field.value.length > 0 && field.value.length <= valuesMax;
  }

  /** Whether the message that the reader has found is wanted. */
  matches({ bytes, words, word }: StreamReader): boolean {
    const start = (word << 2) + streamRecordHeadBytes + words[word + 2]!;
    const value = filterValue(bytes, start, start + words[word + 3]!);
    if (value === "" && this.#takesUnfiltered) return true;
    return this.#values.has(value);
  }
}

function valuesOf(field: FieldValue): string[] | undefined {
  if (field.type === "S") return [textOf(field.value)];
  if (field.type !== "A") return undefined;
  return field.value.flatMap((item) => (item.type === "S" ? [textOf(item.value)] : []));
}

function textOf(bytes: Buffer): string {
  return decodeText(bytes, 0, bytes.length);
}

/** Every message in a stream has headers. */
function filterValue(bytes: Buffer, start: number, end: number): string {
  scanProperties(bytes, start, end, scan);
  const headersEnd = scan.headersStart + scan.headersLength;
  const found = bytes.indexOf(headerName, scan.headersStart, "latin1");
  if (found < 0 || found >= headersEnd) return "";
  reader.reset(bytes, scan.headersStart, headersEnd);
  const value = reader.table().get(headerName);
  return value?.type === "S" ? textOf(value.value) : "";
}
