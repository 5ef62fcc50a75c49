/**
 * Turns errors into what AMQP says about them: the reply code and text of channel.close and
 * connection.close. Connections call it in the one place where they catch.
 */

import { ChannelError, ConnectionError } from "@haremq/broker";
import { MalformedError, ReplyCode, UnknownMethodError } from "@haremq/wire";

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

export interface Refusal {
  readonly code: number;
  readonly text: string;
  /** Whether the whole connection ends. */
  readonly isHard: boolean;
}

/** What to tell the peer; undefined for an error of our own, which it is told as INTERNAL_ERROR. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof ChannelError || error instanceof ConnectionError) {
    const explanation = error.message === "" ? "" : ` - ${error.message}`;
    return {
      code: codes[error.condition]!,
      text: cutText(error.condition + explanation),
      isHard: error instanceof ConnectionError,
    };
  }
  if (error instanceof MalformedError) {
    const name = error.replyCode === ReplyCode.FrameError ? "FRAME_ERROR" : "SYNTAX_ERROR";
    return { code: error.replyCode, text: cutText(`${name} - ${error.message}`), isHard: true };
  }
  if (error instanceof UnknownMethodError) {
    return {
      code: ReplyCode.CommandInvalid,
      text: "COMMAND_INVALID - unimplemented method",
      isHard: true,
    };
  }
  return undefined;
}

/** Reply texts are short strings; RabbitMQ ends one that is too long with an ellipsis. */
function cutText(text: string): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= replyTextBytesMax) return text;
  let end = replyTextBytesMax - 3;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}...`;
}
