/**
 * Many numbers in little memory, to be read and not to be changed: the positions in the middle of a
 * long queue, or those of the records of a segment that is not in memory. Such numbers mostly grow
 * in even steps.
 *
 * They are packed in blocks. Of each there is a straight line, base + step x index, and how far
 * each number lies above it, in as few bytes as the farthest one needs: in none where all of them
 * lie on the line. Reading one number costs the same wherever it is.
 *
 *     lines:    | base | step | where, width | base | step | where, width | ...   float64
 *     offsets:  | o | o | o | ... | o | o | ...                    0, 1, 2, 4 or 8 bytes each
 *
 * Where a line does not serve, as for fractions, a block has the numbers themselves: width 8; but
 * if all of them are the same, that one only.
 *
 * This is a hot file.
 */

const blockBits = 8;
const blockLength = 1 << blockBits;
const blockMask = blockLength - 1;
const lineLength = 3;
const rawWidth = 8;
/** Sums of numbers within it are exact. */
const wholeMax = 2 ** 52;

export type NumberArray = Float64Array | Uint32Array;

export class PackedNumbers {
  readonly length: number;
  readonly #lines: Float64Array;
  readonly #offsets: DataView;

  /** Packs the first `length` of the numbers. */
  constructor(numbers: NumberArray, length: number) {
    const blocks = (length + blockMask) >>> blockBits;
    this.length = length;
    this.#lines = new Float64Array(blocks * lineLength);
    let bytes = 0;
    for (let block = 0; block < blocks; block++) {
      const start = block << blockBits;
      const count = Math.min(blockLength, length - start);
      const width = drawLine(numbers, start, count, this.#lines, block * lineLength);
      this.#lines[block * lineLength + 2] = bytes * 16 + width;
      bytes += width * count;
    }
    this.#offsets = new DataView(new ArrayBuffer(bytes));
    for (let block = 0; block < blocks; block++) this.#fill(numbers, block);
  }

  /** Memory that they take, but for the objects. */
  get bytes(): number {
    return this.#lines.byteLength + this.#offsets.byteLength;
  }

  at(index: number): number {
    const lines = this.#lines;
    const line = (index >>> blockBits) * lineLength;
    const inBlock = index & blockMask;
    const where = lines[line + 2]!;
    const width = where % 16;
    const value = lines[line]! + lines[line + 1]! * inBlock;
    if (width === 0) return value;
    const at = (where - width) / 16 + inBlock * width;
    if (width === 1) return value + this.#offsets.getUint8(at);
    if (width === 2) return value + this.#offsets.getUint16(at, true);
    if (width === 4) return value + this.#offsets.getUint32(at, true);
    return this.#offsets.getFloat64(at, true);
  }

  /** Unpacks all of them to the beginning of `into`. */
  copyTo(into: NumberArray): void {
    const { length } = this;
    const lines = this.#lines;
    const offsets = this.#offsets;
    for (let start = 0; start < length; start += blockLength) {
      const line = (start >>> blockBits) * lineLength;
      const step = lines[line + 1]!;
      const where = lines[line + 2]!;
      const width = where % 16;
      const end = Math.min(start + blockLength, length);
      let at = (where - width) / 16;
      let value = lines[line]!;
      for (let i = start; i < end; i++) {
        if (width === 0) into[i] = value;
        else if (width === 1) into[i] = value + offsets.getUint8(at);
        else if (width === 2) into[i] = value + offsets.getUint16(at, true);
        else if (width === 4) into[i] = value + offsets.getUint32(at, true);
        else into[i] = offsets.getFloat64(at, true);
        value += step;
        at += width;
      }
    }
  }

  #fill(numbers: NumberArray, block: number): void {
    const lines = this.#lines;
    const line = block * lineLength;
    const where = lines[line + 2]!;
    const width = where % 16;
    if (width === 0) return;
    const base = lines[line]!;
    const step = lines[line + 1]!;
    const offsets = this.#offsets;
    const start = block << blockBits;
    const count = Math.min(blockLength, this.length - start);
    let at = (where - width) / 16;
    for (let i = 0; i < count; i++) {
      const offset = numbers[start + i]! - (base + step * i);
      if (width === 1) offsets.setUint8(at, offset);
      else if (width === 2) offsets.setUint16(at, offset, true);
      else if (width === 4) offsets.setUint32(at, offset, true);
      else offsets.setFloat64(at, offset, true);
      at += width;
    }
  }
}

/** Puts base and step of a block's line down; returns how wide the offsets from it are. */
function drawLine(
  numbers: NumberArray,
  start: number,
  count: number,
  lines: Float64Array,
  line: number,
): number {
  const first = numbers[start]!;
  if (areAll(numbers, start, count, first)) {
    lines[line] = first;
    return 0;
  }
  const last = numbers[start + count - 1]!;
  const step = Math.floor((last - first) / (count - 1));
  let low = first;
  let high = first;
  let isWhole = true;
  for (let i = 0; i < count; i++) {
    const number = numbers[start + i]!;
    if (!(Number.isInteger(number) && number <= wholeMax && number >= -wholeMax)) isWhole = false;
    const above = number - step * i;
    if (above < low) low = above;
    if (above > high) high = above;
  }
  const range = high - low;
  if (!isWhole || range >= 2 ** 32) {
    // Base and step stay zero, and every offset is the number itself.
    return rawWidth;
  }
  lines[line] = low;
  lines[line + 1] = step;
  if (range === 0) return 0;
  if (range < 2 ** 8) return 1;
  return range < 2 ** 16 ? 2 : 4;
}

/** Whether all numbers of a block are this one, be it infinite or none. */
function areAll(numbers: NumberArray, start: number, count: number, value: number): boolean {
  for (let i = start; i < start + count; i++) if (!Object.is(numbers[i], value)) return false;
  return true;
}
