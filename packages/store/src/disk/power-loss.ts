/**
 * Draws what a power loss does to changes that were made but not yet synced. Each may have reached
 * the disk or not, or in part, and in any order, because between two syncs the operating system and
 * the drive write what they like when they like. All draws come from the seed.
 */

import type { SeededRandom } from "@haremq/kernel";
import type { ByteImage } from "./byte-image.ts";

export interface Fate {
  /** Which of the changes, by their order. */
  readonly index: number;
  readonly outcome: "kept" | "torn";
}

/** Drives promise to write this much at once, no more, and some not even that. */
const sectorBytes = 512;

/**
 * The changes that survive, in the order in which they reach the disk. Chaos is drawn most often,
 * but the everyday outcomes as well, which chaos alone would make rare: nothing was written back
 * yet, everything was, or everything up to some moment.
 */
export function drawFates(count: number, random: SeededRandom): Fate[] {
  const mood = random.pick(["nothing", "everything", "up to a moment", "chaos", "chaos"] as const);
  if (mood === "nothing") return [];
  if (mood === "everything") return inOrder(count);
  if (mood === "up to a moment") {
    const whole = random.below(count + 1);
    return whole === count
      ? inOrder(count)
      : [...inOrder(whole), { index: whole, outcome: "torn" }];
  }
  const fates: Fate[] = [];
  for (let index = 0; index < count; index++) {
    const outcome = random.pick(["kept", "kept", "lost", "torn"] as const);
    if (outcome !== "lost") fates.push({ index, outcome });
  }
  return shuffled(fates, random);
}

/** Puts a write into the image as a power loss may leave it: in part, or only the file's length. */
export function tearWrite(
  image: ByteImage,
  bytes: Uint8Array,
  position: number,
  random: SeededRandom,
): void {
  const put = (from: number, to: number): void =>
    image.write(bytes, from, to - from, position + from);
  const cut = random.below(bytes.length + 1);
  const shape = random.pick(["head", "tail", "sectors", "length"] as const);
  if (shape === "head") put(0, cut);
  if (shape === "tail") put(cut, bytes.length);
  if (shape === "sectors") {
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + sectorBytes - ((position + from) % sectorBytes));
      if (random.below(2) === 0) put(from, to);
      from = to;
    }
  }
  // The file may have got its new length without the data: then it reads as zeros.
  const end = position + bytes.length;
  if (shape === "length" || random.below(2) === 0) image.resize(Math.max(image.size, end));
}

function inOrder(count: number): Fate[] {
  return Array.from({ length: count }, (_, index) => ({ index, outcome: "kept" }));
}

/** Fisher and Yates. */
function shuffled<T>(elements: readonly T[], random: SeededRandom): T[] {
  const mixed = [...elements];
  for (let index = mixed.length - 1; index > 0; index--) {
    const other = random.below(index + 1);
    [mixed[index], mixed[other]] = [mixed[other] as T, mixed[index] as T];
  }
  return mixed;
}
