// Goal: a stream of frames reads the same however it is cut into chunks and wherever its reader is
// stopped; what is broken is found at every cut, and nothing behind it is handed on.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type FrameFault, type FrameHandler, FrameReader } from "./frame-reader.ts";

const frameMax = 4096;

type Event = { kind: string; channel: number; payload: string };

/** Notes what it is handed; pieces of bodies are joined, for how they were cut must not matter. */
class Recorder implements FrameHandler {
  readonly events: Event[] = [];
  readonly faults: FrameFault[] = [];
  /** Called after each event, with the number of events so far. */
  onEvent: (count: number) => void = () => {};
  #count = 0;

  onMethodFrame(channel: number, buffer: Buffer, start: number, end: number): void {
    this.#note("method", channel, buffer.toString("hex", start, end));
  }

  onHeaderFrame(channel: number, buffer: Buffer, start: number, end: number): void {
    this.#note("header", channel, buffer.toString("hex", start, end));
  }

  onBodyPiece(channel: number, buffer: Buffer, start: number, end: number): void {
    const last = this.events.at(-1);
    const piece = buffer.toString("hex", start, end);
    if (last?.kind === "body" && last.channel === channel) {
      last.payload += piece;
      this.onEvent(++this.#count);
    } else {
      this.#note("body", channel, piece);
    }
  }

  onHeartbeatFrame(channel: number): void {
    this.#note("heartbeat", channel, "");
  }

  onFrameFault(fault: FrameFault): void {
    this.faults.push(fault);
    this.#note(`fault: ${fault.kind}`, fault.channel, "");
  }

  #note(kind: string, channel: number, payload: string): void {
    this.events.push({ kind, channel, payload });
    this.onEvent(++this.#count);
  }
}

function frame(type: number, channel: number, payload: Uint8Array, end = 0xce): Buffer {
  const bytes = Buffer.alloc(payload.length + 8);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt16BE(channel, 1);
  bytes.writeUInt32BE(payload.length, 3);
  bytes.set(payload, 7);
  bytes.writeUInt8(end, payload.length + 7);
  return bytes;
}

const kinds = ["", "method", "header", "body", "", "", "", "", "heartbeat"];

/** What a recorder has to note of these frames. */
function expectedOf(frames: readonly Buffer[]): Event[] {
  const recorder = new Recorder();
  for (const bytes of frames) {
    const type = bytes[0]!;
    const channel = bytes.readUInt16BE(1);
    const end = bytes.length - 1;
    if (type === 3) recorder.onBodyPiece(channel, bytes, 7, end);
    else if (type === 8) recorder.onHeartbeatFrame(channel);
    else
      recorder.events.push({ kind: kinds[type]!, channel, payload: bytes.toString("hex", 7, end) });
  }
  return recorder.events;
}

/** Reads the stream in chunks that end at the given places, each chunk in memory of its own. */
function readCut(stream: Buffer, cuts: readonly number[], max = frameMax): Recorder {
  const recorder = new Recorder();
  const reader = new FrameReader(recorder, max);
  let start = 0;
  for (const end of [...cuts, stream.length]) {
    const chunk = Buffer.from(stream.subarray(start, end));
    reader.read(chunk, 0, chunk.length);
    // A socket may use the memory of a chunk again as soon as it has been read.
    chunk.fill(0xee);
    start = end;
  }
  return recorder;
}

const sample = [
  frame(1, 0, Buffer.from("00140010 00".replace(" ", ""), "hex")),
  frame(8, 0, Buffer.alloc(0)),
  frame(1, 1, Buffer.alloc(23, 0xce)),
  frame(2, 1, Buffer.alloc(14, 7)),
  frame(3, 1, Buffer.from("the body")),
  frame(3, 2, Buffer.alloc(0)),
  frame(3, 1, Buffer.from("another body")),
  frame(3, 1, Buffer.alloc(0)),
  frame(1, 0xffff, Buffer.alloc(0)),
  frame(2, 3, Buffer.alloc(0)),
  frame(8, 0, Buffer.alloc(0)),
];

describe("FrameReader", () => {
  test("reads the same frames from a stream cut at any byte", () => {
    const stream = Buffer.concat(sample);
    const expected = expectedOf(sample);
    assert.deepEqual(readCut(stream, []).events, expected);
    for (let cut = 0; cut <= stream.length; cut++) {
      assert.deepEqual(readCut(stream, [cut]).events, expected, `cut at ${cut}`);
    }
  });

  test("reads the same frames from a stream cut at any two bytes", () => {
    const frames = sample.slice(1, 6);
    const stream = Buffer.concat(frames);
    const expected = expectedOf(frames);
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        const { events } = readCut(stream, [first, second]);
        assert.deepEqual(events, expected, `cut at ${first} and ${second}`);
      }
    }
  });

  test("reads the same frames byte by byte", () => {
    const stream = Buffer.concat(sample);
    const everywhere = [...stream.keys()];
    assert.deepEqual(readCut(stream, everywhere).events, expectedOf(sample));
  });

  const frames = fc.array(
    fc
      .tuple(
        fc.constantFrom(1, 2, 3, 3, 8),
        fc.nat(0xffff),
        fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 3000 })),
      )
      .map(([type, channel, payload]) =>
        type === 8 ? frame(8, channel, Buffer.alloc(0)) : frame(type, channel, payload),
      ),
    { maxLength: 20 },
  );
  const places = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });

  function cutsAt(fractions: readonly number[], length: number): number[] {
    return fractions.map((fraction) => Math.round(fraction * length)).sort((a, b) => a - b);
  }

  test("reads the same frames from any stream in any chunks", () => {
    fc.assert(
      fc.property(frames, places, (sent, fractions) => {
        const stream = Buffer.concat(sent);
        const { events } = readCut(stream, cutsAt(fractions, stream.length));
        assert.deepEqual(events, expectedOf(sent));
      }),
    );
  });

  test("reads the same frames when it is stopped at any of them and goes on later", () => {
    fc.assert(
      fc.property(frames, places, fc.integer({ min: 1, max: 4 }), (sent, fractions, every) => {
        const stream = Buffer.concat(sent);
        const recorder = new Recorder();
        const reader = new FrameReader(recorder, frameMax);
        recorder.onEvent = (count) => {
          if (count % every === 0) reader.stop();
        };
        let held = Buffer.alloc(0);
        let start = 0;
        for (const end of [...cutsAt(fractions, stream.length), stream.length]) {
          held = Buffer.concat([held, stream.subarray(start, end)]);
          start = end;
          for (let at = 0; held.length > 0; held = Buffer.from(held.subarray(at))) {
            at = reader.read(held, 0, held.length);
          }
        }
        assert.deepEqual(recorder.events, expectedOf(sent));
      }),
    );
  });

  test("hands nothing on after stop() until it is called again", () => {
    const recorder = new Recorder();
    const reader = new FrameReader(recorder, frameMax);
    recorder.onEvent = (count) => {
      if (count === 2) reader.stop();
    };
    const stream = Buffer.concat(sample);
    const at = reader.read(stream, 0, stream.length);
    assert.equal(at, sample[0]!.length + sample[1]!.length);
    assert.equal(recorder.events.length, 2);
    assert.equal(reader.read(stream, at, stream.length), stream.length);
    assert.deepEqual(recorder.events, expectedOf(sample));
  });

  test("reads nothing outside of the region it is given", () => {
    const recorder = new Recorder();
    const reader = new FrameReader(recorder, frameMax);
    const heartbeat = sample[1]!;
    const padded = Buffer.concat([Buffer.alloc(5, 1), heartbeat, Buffer.alloc(5, 1)]);
    assert.equal(reader.read(padded, 5, 5 + heartbeat.length), 5 + heartbeat.length);
    assert.deepEqual(recorder.events, [{ kind: "heartbeat", channel: 0, payload: "" }]);
  });

  test("hands on an empty body, whole or cut", () => {
    const stream = frame(3, 9, Buffer.alloc(0));
    for (let cut = 0; cut <= stream.length; cut++) {
      const { events } = readCut(stream, [cut]);
      assert.deepEqual(events, [{ kind: "body", channel: 9, payload: "" }], `cut at ${cut}`);
    }
  });

  test("hands on what has come of a body before the rest has", () => {
    const recorder = new Recorder();
    const reader = new FrameReader(recorder, frameMax);
    const stream = frame(3, 4, Buffer.from("a long body"));
    reader.read(stream, 0, 7 + 6);
    assert.deepEqual(recorder.events, [
      { kind: "body", channel: 4, payload: Buffer.from("a long").toString("hex") },
    ]);
  });
});

describe("A faulty stream", () => {
  const good = frame(1, 1, Buffer.from("good"));
  const faults: { name: string; bytes: Buffer; fault: Partial<FrameFault>; before?: Event[] }[] = [
    {
      name: "method with a wrong end",
      bytes: frame(1, 5, Buffer.from("abc"), 0xcd),
      fault: { kind: "bad-end", type: 1, channel: 5, size: 3, end: 0xcd },
    },
    {
      name: "header with a wrong end",
      bytes: frame(2, 5, Buffer.alloc(14), 0),
      fault: { kind: "bad-end", type: 2, channel: 5, size: 14, end: 0 },
    },
    {
      name: "heartbeat with a wrong end",
      bytes: frame(8, 0, Buffer.alloc(0), 65),
      fault: { kind: "bad-end", type: 8, channel: 0, size: 0, end: 65 },
    },
    {
      name: "frame of type 0",
      bytes: frame(0, 1, Buffer.alloc(0)),
      fault: { kind: "unknown-type", type: 0, channel: 1, size: 0 },
    },
    {
      name: "frame of type 255",
      bytes: frame(255, 1, Buffer.from("hello")),
      fault: { kind: "unknown-type", type: 255, channel: 1, size: 5 },
    },
    {
      name: "method that is too large",
      bytes: frame(1, 2, Buffer.alloc(frameMax + 1)),
      fault: { kind: "oversize", type: 1, channel: 2, size: frameMax + 1 },
    },
    {
      name: "body that is too large",
      bytes: frame(3, 2, Buffer.alloc(frameMax + 1)),
      fault: { kind: "oversize", type: 3, channel: 2, size: frameMax + 1 },
    },
    {
      name: "size with its highest bit set",
      bytes: Buffer.from("0100 0180 0000 00ce".replaceAll(" ", ""), "hex"),
      fault: { kind: "oversize", type: 1, channel: 1, size: 0x8000_0000 },
    },
  ];

  for (const { name, bytes, fault } of faults) {
    test(`${name}: found at every cut, and nothing follows`, () => {
      const stream = Buffer.concat([good, bytes, good, good]);
      const until = good.length + Math.min(bytes.length, 40);
      for (let cut = 0; cut <= until; cut++) {
        const { events, faults: found } = readCut(stream, [cut, cut + 1]);
        assert.equal(found.length, 1, `cut at ${cut}`);
        const [{ payload, ...rest }] = found as [FrameFault];
        assert.deepEqual({ ...rest, ...fault }, rest, `cut at ${cut}`);
        if (fault.kind !== "oversize") {
          assert.deepEqual(payload, bytes.subarray(7, bytes.length - 1), `cut at ${cut}`);
        }
        assert.deepEqual(
          events.map(({ kind }) => kind),
          ["method", `fault: ${fault.kind}`],
          `cut at ${cut}`,
        );
      }
    });
  }

  test("body with a wrong end: found at every cut, and nothing follows", () => {
    const stream = Buffer.concat([good, frame(3, 6, Buffer.from("abc"), 1), good]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const { events, faults: found } = readCut(stream, [cut]);
      assert.equal(found.length, 1, `cut at ${cut}`);
      const { kind, type, channel, end } = found[0]!;
      assert.deepEqual(
        { kind, type, channel, end },
        { kind: "bad-end", type: 3, channel: 6, end: 1 },
      );
      assert.equal(events.at(-1)?.kind, "fault: bad-end", `cut at ${cut}`);
      assert.equal(events[0]?.kind, "method", `cut at ${cut}`);
    }
  });

  test("an oversize frame is refused as soon as its size is known", () => {
    const recorder = new Recorder();
    const reader = new FrameReader(recorder, frameMax);
    const head = frame(1, 1, Buffer.alloc(frameMax + 1)).subarray(0, 7);
    reader.read(head, 0, 6);
    assert.equal(recorder.faults.length, 0);
    reader.read(head, 6, 7);
    assert.equal(recorder.faults[0]?.kind, "oversize");
  });

  test("a frame of exactly the agreed size, and one 8 bytes larger, are let through", () => {
    for (const size of [frameMax - 8, frameMax]) {
      const stream = frame(1, 1, Buffer.alloc(size));
      assert.deepEqual(readCut(stream, [3000]).faults, []);
      assert.equal(readCut(stream, []).events.length, 1);
    }
  });

  test("nothing that comes after a fault is read, also in later chunks", () => {
    const recorder = new Recorder();
    const reader = new FrameReader(recorder, frameMax);
    const bad = frame(7, 0, Buffer.alloc(0));
    reader.read(bad, 0, bad.length);
    assert.equal(reader.read(good, 0, good.length), 0);
    assert.equal(recorder.events.length, 1);
  });

  test("a heartbeat that carries something is no heartbeat", () => {
    const stream = frame(8, 0, Buffer.from("abc"));
    for (let cut = 0; cut <= stream.length; cut++) {
      const { faults: found } = readCut(stream, [cut]);
      assert.deepEqual(
        found.map(({ kind, type, payload }) => [kind, type, payload.toString()]),
        [["unknown-type", 8, "abc"]],
        `cut at ${cut}`,
      );
    }
  });
});

const noHandler: FrameHandler = {
  onMethodFrame() {},
  onHeaderFrame() {},
  onBodyPiece() {},
  onHeartbeatFrame() {},
  onFrameFault() {},
};

describe("Memory", () => {
  /** The sizes of all buffers that the reader allocates during the work. */
  function allocations(work: () => void): number[] {
    const sizes: number[] = [];
    const original = Buffer.allocUnsafeSlow;
    Buffer.allocUnsafeSlow = (size) => {
      sizes.push(size);
      return original(size);
    };
    try {
      work();
    } finally {
      Buffer.allocUnsafeSlow = original;
    }
    return sizes;
  }

  test("frames that lie whole in a chunk cost nothing", () => {
    const stream = Buffer.concat(sample);
    const reader = new FrameReader(new Recorder(), frameMax);
    assert.deepEqual(
      allocations(() => reader.read(stream, 0, stream.length)),
      [],
    );
  });

  test("a cut body is never held, however large", () => {
    const head = frame(3, 1, Buffer.alloc(frameMax)).subarray(0, 7);
    const piece = Buffer.alloc(64);
    const reader = new FrameReader(new Recorder(), frameMax);
    const sizes = allocations(() => {
      reader.read(head, 0, 3);
      reader.read(head, 3, 7);
      for (let sent = 0; sent < frameMax; sent += piece.length) reader.read(piece, 0, piece.length);
    });
    assert.deepEqual(sizes, [512], "only the cut head was held");
  });

  test("a cut frame is held in less than twice its size, however slowly it comes", () => {
    const stream = frame(1, 1, Buffer.alloc(frameMax));
    const recorder = new Recorder();
    const reader = new FrameReader(recorder, frameMax);
    const sizes = allocations(() => {
      for (let at = 0; at < stream.length; at++) reader.read(stream, at, at + 1);
    });
    assert.equal(recorder.events.length, 1);
    assert.ok(Math.max(...sizes) < 2 * stream.length, `${sizes}`);
    assert.ok(sizes.length <= 5, `${sizes}`);
  });

  test("a cut frame that was handed on stays as it is to the end of its chunk", () => {
    const [first, second] = ["first", "second"].map((text) => frame(2, 1, Buffer.from(text)));
    let kept: Buffer | undefined;
    const reader = new FrameReader(
      {
        ...noHandler,
        onHeaderFrame: (_channel, buffer, start, end) => {
          kept = buffer.subarray(start, end);
        },
      },
      frameMax,
    );
    reader.read(first!, 0, 9);
    const chunk = Buffer.concat([first!.subarray(9), second!.subarray(0, 9)]);
    reader.read(chunk, 0, chunk.length);
    assert.equal(`${kept}`, "first");
  });

  test("nothing is held of a frame that will be refused", () => {
    const reader = new FrameReader(new Recorder(), frameMax);
    const head = frame(1, 1, Buffer.alloc(frameMax + 1)).subarray(0, 7);
    const flood = Buffer.alloc(100_000);
    const sizes = allocations(() => {
      reader.read(head, 0, head.length);
      reader.read(flood, 0, flood.length);
    });
    assert.deepEqual(sizes, []);
  });
});
