/**
 * What a client is told about frames that are wrong or come at the wrong time, in RabbitMQ's words.
 * Connections throw these.
 */

import { ConnectionError, erlangPair, erlangTerm } from "@haremq/broker";
import type { FrameFault } from "@haremq/wire";

const shownBytesMax = 16;
/** Enough to fill a reply text, which is cut. */
const undecodedBytesMax = 130;

/** An error that is no particular method's: connection.close names none. */
export class FrameError extends ConnectionError {}

function frameText(type: number, payload: Buffer): string {
  const shown = erlangTerm({ type: "x", value: payload.subarray(0, shownBytesMax) });
  const extent = payload.length <= shownBytesMax ? "all" : `first ${shownBytesMax}`;
  return `type ${type}, ${extent} octets = ${shown}`;
}

export const frameErrors = {
  /** The stream of frames itself is broken. */
  fault(fault: FrameFault, maxPayloadBytes: number): FrameError {
    const text = `${frameText(fault.type, fault.payload)}: `;
    const reason =
      fault.kind === "oversize"
        ? `{frame_too_large,${fault.size},${maxPayloadBytes}}`
        : fault.kind === "bad-end"
          ? erlangPair("invalid_frame_end_marker", `${fault.end}`, text)
          : "unknown_frame";
    return new FrameError("FRAME_ERROR", text + reason);
  },

  /** A frame too short to be what it says it is. */
  unknownFrame(type: number, buffer: Buffer, start: number, end: number): FrameError {
    const frame = frameText(type, buffer.subarray(start, end));
    return new FrameError("FRAME_ERROR", `${frame}: unknown_frame`);
  },

  /** The arguments of a method are not what its definition says. */
  cannotDecode(buffer: Buffer, start: number, end: number): ConnectionError {
    const shown = buffer.subarray(start, Math.min(end, start + undecodedBytesMax));
    return new ConnectionError("FRAME_ERROR", `cannot decode <<${shown.join()}>>`);
  },

  unexpectedFrame(type: number, payload: Buffer): FrameError {
    return new FrameError("UNEXPECTED_FRAME", frameText(type, payload));
  },

  /** Content where no publish announced one. */
  unexpectedContent(
    channel: number,
    type: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): FrameError {
    if (channel === 0) return frameErrors.unexpectedFrame(type, buffer.subarray(start, end));
    const text = "expected method frame, got non method frame instead";
    return new FrameError("UNEXPECTED_FRAME", text);
  },

  /** Something else came in the middle of a content. */
  contentExpected(isHeader: boolean): ConnectionError {
    const text = isHeader
      ? "expected content header for class 60, got non content header frame instead"
      : "expected content body, got non content body frame instead";
    return new ConnectionError("UNEXPECTED_FRAME", text);
  },

  /** Only some of the connection's own methods may come on channel 0 of an open connection. */
  unexpectedMethod(): ConnectionError {
    const text = "unexpected method in connection state running";
    return new ConnectionError("CHANNEL_ERROR", text);
  },

  wrongHeaderClass(classId: number): ConnectionError {
    const text = `expected content header for class 60, got one for class ${classId} instead`;
    return new ConnectionError("UNEXPECTED_FRAME", text);
  },
} as const;
