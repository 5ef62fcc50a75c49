/**
 * What the fuzzer does to sound frames: from a flipped bit to a length that lies. Each mutation
 * takes a list of frames and returns another; most leave most of the bytes alone, for what is
 * nonsense from its first byte on is refused at the door and tests only that.
 */

import type { SeededRandom } from "@haremq/kernel";
import { rawFrame } from "@haremq/testkit";

export type Mutation = (frames: Buffer[], random: SeededRandom) => Buffer[];

/** Replaces one frame, chosen at random, by what is made of it. */
function ofOne(change: (frame: Buffer, random: SeededRandom) => Buffer[]): Mutation {
  return (frames, random) => {
    if (frames.length === 0) return frames;
    const at = random.below(frames.length);
    return [
      ...frames.slice(0, at),
      ...change(Buffer.from(frames[at]!), random),
      ...frames.slice(at + 1),
    ];
  };
}

const interesting32 = [0, 1, 4, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

export const mutations: Readonly<Record<string, Mutation>> = {
  "flip bits": ofOne((frame, random) => {
    for (let count = 1 + random.below(3); count > 0; count--) {
      const at = random.below(frame.length);
      frame[at] = frame[at]! ^ (1 << random.below(8));
    }
    return [frame];
  }),

  "flip a payload bit": ofOne((frame, random) => {
    if (frame.length <= 8) return [frame];
    const at = 7 + random.below(frame.length - 8);
    frame[at] = frame[at]! ^ (1 << random.below(8));
    return [frame];
  }),

  "cut bytes off": ofOne((frame, random) => [frame.subarray(0, random.below(frame.length))]),

  "shorten the payload": ofOne((frame, random) => {
    if (frame.length <= 8) return [frame];
    const payload = frame.subarray(7, 7 + random.below(frame.length - 8));
    return [rawFrame(frame[0]!, frame.readUInt16BE(1), payload)];
  }),

  "lengthen the payload": ofOne((frame, random) => {
    if (frame.length < 8) return [frame];
    const payload = Buffer.concat([frame.subarray(7, -1), random.bytes(1 + random.below(20))]);
    return [rawFrame(frame[0]!, frame.readUInt16BE(1), payload)];
  }),

  "lie about the size": ofOne((frame, random) => {
    if (frame.length < 8) return [frame];
    const real = frame.readUInt32BE(3);
    const near = (real + random.pick([-8, -1, 1, 8]) + 2 ** 32) % 2 ** 32;
    frame.writeUInt32BE(random.below(2) === 0 ? near : random.pick(interesting32), 3);
    return [frame];
  }),

  "lie about a length inside": ofOne((frame, random) => {
    if (frame.length < 16) return [frame];
    const at = 7 + random.below(frame.length - 12);
    frame.writeUInt32BE(random.pick(interesting32), at);
    return [frame];
  }),

  "another type": ofOne((frame, random) => {
    frame[0] = random.pick([0, 1, 2, 3, 4, 8, 65, 255]);
    return [frame];
  }),

  "another channel": ofOne((frame, random) => {
    if (frame.length >= 3) frame.writeUInt16BE(random.pick([0, 1, 2, 3, 7, 65_535]), 1);
    return [frame];
  }),

  "another method": ofOne((frame, random) => {
    if (frame.length < 12 || frame[0] !== 1) return [frame];
    frame.writeUInt16BE(random.pick([0, 10, 20, 30, 40, 50, 60, 85, 90, 0xffff]), 7);
    frame.writeUInt16BE(random.pick([10, 11, 20, 21, 30, 31, 40, 50, 60, 70, 80, 90, 99]), 9);
    return [frame];
  }),

  "a wrong end": ofOne((frame, random) => {
    frame[frame.length - 1] = random.below(256);
    return [frame];
  }),

  duplicate: ofOne((frame) => [frame, frame]),

  drop: ofOne(() => []),

  "swap two": (frames, random) => {
    if (frames.length < 2) return frames;
    const changed = [...frames];
    const first = random.below(frames.length);
    const second = random.below(frames.length);
    [changed[first], changed[second]] = [changed[second]!, changed[first]!];
    return changed;
  },

  "insert a frame": (frames, random) => {
    const type = random.pick([1, 2, 3, 8, 4]);
    const channel = random.pick([0, 1, 2, 9]);
    const inserted = rawFrame(type, channel, random.bytes(random.below(30)));
    const at = random.below(frames.length + 1);
    return [...frames.slice(0, at), inserted, ...frames.slice(at)];
  },

  "insert noise": (frames, random) => {
    const at = random.below(frames.length + 1);
    return [...frames.slice(0, at), random.bytes(1 + random.below(40)), ...frames.slice(at)];
  },
};
