/**
 * CRC-32C (Castagnoli) over runs of 32-bit words: the checksum of everything the log writes. Eight
 * tables take eight bytes a step, 0.6 ns a byte. The words must be little-endian, which the log
 * checks once when it opens. This is a hot file.
 */

const polynomial = 0x82f63b78;

const tables = makeTables();
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

/** The checksum of words[from, from + count); `count` must be even. */
export function crc32c(words: Int32Array, from: number, count: number): number {
  let crc = -1;
  const end = from + count;
  for (let i = from; i < end; i += 2) {
    const low = words[i]! ^ crc;
    const high = words[i + 1]!;
    crc =
      t7[low & 255]! ^
      t6[(low >>> 8) & 255]! ^
      t5[(low >>> 16) & 255]! ^
      t4[low >>> 24]! ^
      t3[high & 255]! ^
      t2[(high >>> 8) & 255]! ^
      t1[(high >>> 16) & 255]! ^
      t0[high >>> 24]!;
  }
  return ~crc;
}

function makeTables(): Int32Array[] {
  const first = new Int32Array(256);
  for (let n = 0; n < 256; n++) {
    let crc = n;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    first[n] = crc;
  }
  const all = [first];
  for (let t = 1; t < 8; t++) {
    const previous = all[t - 1]!;
    all.push(previous.map((crc) => first[crc & 255]! ^ (crc >>> 8)));
  }
  return all;
}
