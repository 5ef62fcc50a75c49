/**
 * Turns errors into what AMQP says about them: the reply code and text of channel.close and
 * connection.close. Connections call it in the one place where they catch.
 */

import { ChannelError, ConnectionError } from "@haremq/broker";
import { MalformedError, ReplyCode, UnknownMethodError } from "@haremq/wire";
import { FrameError } from "./frame-errors.ts";
import { LoginRefused } from "./handshake.ts";

const replyTextBytesMax = 255;

const codes: Readonly<Record<string, number>> = {
  CONTENT_TOO_LARGE: ReplyCode.ContentTooLarge,
  NO_ROUTE: ReplyCode.NoRoute,
  NO_CONSUMERS: ReplyCode.NoConsumers,
  ACCESS_REFUSED: ReplyCode.AccessRefused,
  NOT_FOUND: ReplyCode.NotFound,
  RESOURCE_LOCKED: ReplyCode.ResourceLocked,
  PRECONDITION_FAILED: ReplyCode.PreconditionFailed,
  CONNECTION_FORCED: ReplyCode.ConnectionForced,
  INVALID_PATH: ReplyCode.InvalidPath,
  FRAME_ERROR: ReplyCode.FrameError,
  SYNTAX_ERROR: ReplyCode.SyntaxError,
  COMMAND_INVALID: ReplyCode.CommandInvalid,
  CHANNEL_ERROR: ReplyCode.ChannelError,
  UNEXPECTED_FRAME: ReplyCode.UnexpectedFrame,
  RESOURCE_ERROR: ReplyCode.ResourceError,
  NOT_ALLOWED: ReplyCode.NotAllowed,
  NOT_IMPLEMENTED: ReplyCode.NotImplemented,
  INTERNAL_ERROR: ReplyCode.InternalError,
};

/** The arguments of the channel.close or connection.close that tells the peer. */
export interface CloseReply {
  readonly replyCode: number;
  readonly replyText: string;
  readonly classId: number;
  readonly methodId: number;
}

/** What every client is told when the broker stops. */
export const shutdownReply: CloseReply = {
  replyCode: ReplyCode.ConnectionForced,
  replyText: "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
  classId: 0,
  methodId: 0,
};

export interface Refusal {
  readonly reply: CloseReply;
  /** Whether the whole connection ends. */
  readonly isHard: boolean;
  /** An error of our own, of which the peer learns nothing but that. */
  readonly isInternal: boolean;
}

/** What to say about an error in the course of a method, or of none if that is 0. */
export function refusalOf(error: unknown, methodId: number): Refusal {
  const { code, text, isHard } = described(error);
  // A decoder knows better than we do which method it could not read, if any.
  const decoded = error instanceof MalformedError ? error : undefined;
  const named = namesMethod(error, code) ? methodId : 0;
  return {
    reply: {
      replyCode: code,
      replyText: cutText(text),
      classId: decoded?.classId ?? named >>> 16,
      methodId: decoded?.methodId ?? named & 0xffff,
    },
    isHard,
    isInternal: !isClientError(error),
  };
}

interface Description {
  readonly code: number;
  readonly text: string;
  readonly isHard: boolean;
}

function described(error: unknown): Description {
  if (error instanceof ChannelError || error instanceof ConnectionError) {
    const explanation = error.message === "" ? "" : ` - ${error.message}`;
    return {
      code: codes[error.condition]!,
      text: error.condition + explanation,
      isHard: error instanceof ConnectionError,
    };
  }
  if (error instanceof MalformedError) {
    const name = error.replyCode === ReplyCode.FrameError ? "FRAME_ERROR" : "SYNTAX_ERROR";
    return { code: error.replyCode, text: `${name} - ${error.message}`, isHard: true };
  }
  if (error instanceof UnknownMethodError) {
    const text = "COMMAND_INVALID - unimplemented method";
    return { code: ReplyCode.CommandInvalid, text, isHard: true };
  }
  return { code: ReplyCode.InternalError, text: "INTERNAL_ERROR", isHard: true };
}

function isClientError(error: unknown): boolean {
  return (
    error instanceof ChannelError ||
    error instanceof ConnectionError ||
    error instanceof MalformedError ||
    error instanceof UnknownMethodError
  );
}

/** Whether what went wrong is put down to the method in whose course it did. */
function namesMethod(error: unknown, code: number): boolean {
  if (error instanceof FrameError || error instanceof LoginRefused) return false;
  if (error instanceof ConnectionError && !error.isAnswer) return false;
  return code !== ReplyCode.InternalError;
}

/** Reply texts are short strings; RabbitMQ ends one that is too long with an ellipsis. */
function cutText(text: string): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= replyTextBytesMax) return text;
  let end = replyTextBytesMax - 3;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}...`;
}
