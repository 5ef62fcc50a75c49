/**
 * What a client is told about frames that are wrong or come at the wrong time, in RabbitMQ's words.
 * Connections throw these.
 */

import { ConnectionError } from "@haremq/broker";
import type { FrameFault } from "@haremq/wire";
import { bytesText } from "./reply.ts";

function frameText(type: number, payload: Buffer): string {
  return `type ${type}, all octets = ${bytesText(payload)}`;
}

export const frameErrors = {
  /** The stream of frames itself is broken. */
  fault(fault: FrameFault, maxPayloadBytes: number): ConnectionError {
    const frame = frameText(fault.type, fault.payload);
    const reason =
      fault.kind === "oversize"
        ? `{frame_too_large,${fault.size},${maxPayloadBytes}}`
        : fault.kind === "bad-end"
          ? `{invalid_frame_end_marker,${fault.end}}`
          : "unknown_frame";
    return new ConnectionError("FRAME_ERROR", `${frame}: ${reason}`);
  },

  /** A frame too short to be what it says it is. */
  unknownFrame(type: number, buffer: Buffer, start: number, end: number): ConnectionError {
    const frame = frameText(type, buffer.subarray(start, end));
    return new ConnectionError("FRAME_ERROR", `${frame}: unknown_frame`);
  },

  /** The arguments of a method are not what its definition says. */
  cannotDecode(buffer: Buffer, start: number, end: number): ConnectionError {
    const shown = bytesText(buffer.subarray(start, end));
    return new ConnectionError("FRAME_ERROR", `cannot decode ${shown}`);
  },

  unexpectedFrame(type: number, payload: Buffer): ConnectionError {
    return new ConnectionError("UNEXPECTED_FRAME", frameText(type, payload));
  },

  methodExpected(): ConnectionError {
    const text = "expected method frame, got non method frame instead";
    return new ConnectionError("UNEXPECTED_FRAME", text);
  },

  /** Something else came in the middle of a content. */
  contentExpected(isHeader: boolean): ConnectionError {
    const text = isHeader
      ? "expected content header for class 60, got non content header frame instead"
      : "expected content body, got non content body frame instead";
    return new ConnectionError("UNEXPECTED_FRAME", text);
  },

  wrongHeaderClass(classId: number): ConnectionError {
    const text = `expected content header for class 60, got one for class ${classId} instead`;
    return new ConnectionError("UNEXPECTED_FRAME", text);
  },
} as const;
