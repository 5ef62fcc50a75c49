// Checks a field table without decoding it. The publish path calls it for every message with
// headers: what a publisher sends goes on to consumers as it came, so a broken table must stop
// here.
//
// Accepts exactly what the decoder in field-reader.ts accepts. Hot file: nothing is allocated or
// thrown.

import { fieldNestingMax } from "./field-table.ts";

const unknown = -1;
const longString = -2;
const nested = -3;
const tableType = 0x46;

/** For every type octet: how many octets follow it, or one of the three above. */
const payloadBytes = new Int8Array(256).fill(unknown);
for (const [types, bytes] of [
  ["V", 0],
  ["tbB", 1],
  ["su", 2],
  ["Iif", 4],
  ["D", 5],
  ["lLTd", 8],
  ["Sx", longString],
  ["FA", nested],
] as const) {
  for (const type of types) payloadBytes[type.charCodeAt(0)] = bytes;
}

/** The octets of the table at `start`, its own length included, or -1 if it is malformed. */
export function scanTable(buffer: Buffer, start: number, end: number): number {
  if (end - start < 4) return -1;
  const length = lengthAt(buffer, start);
  const contents = start + 4;
  if (length > end - contents) return -1;
  return areFieldsValid(buffer, contents, contents + length, true, 1) ? 4 + length : -1;
}

/** Whether [start, end) holds whole fields: a table's, which have names, or an array's. */
function areFieldsValid(
  buffer: Buffer,
  start: number,
  end: number,
  named: boolean,
  depth: number,
): boolean {
  let at = start;
  while (at < end) {
    if (named) at += 1 + (buffer[at] as number);
    if (at >= end) return false;
    const type = buffer[at] as number;
    at += 1;
    const bytes = payloadBytes[type] as number;
    if (bytes >= 0) {
      at += bytes;
      continue;
    }
    if (bytes === unknown || end - at < 4) return false;
    const contents = at + 4;
    const length = lengthAt(buffer, at);
    if (length > end - contents) return false;
    at = contents + length;
    if (bytes === nested) {
      if (depth === fieldNestingMax) return false;
      if (!areFieldsValid(buffer, contents, at, type === tableType, depth + 1)) return false;
    }
  }
  return at === end;
}

function lengthAt(buffer: Buffer, at: number): number {
  return (
    (((buffer[at] as number) << 24) |
      ((buffer[at + 1] as number) << 16) |
      ((buffer[at + 2] as number) << 8) |
      (buffer[at + 3] as number)) >>>
    0
  );
}
