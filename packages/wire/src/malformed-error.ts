// Errors of the decoder. The AMQP adapter maps them to connection.close; nothing else is ever
// thrown by a decoder, whatever the bytes are.

/**
 * Octets that are not AMQP. The reply code is the one to close the connection with: 501
 * (FRAME_ERROR) when a method's arguments do not fit its frame, 502 (SYNTAX_ERROR) when a field
 * table or a block of properties is broken. (There RabbitMQ has no answer to copy: it drops the
 * connection without a word for a bad table, and reports its own INTERNAL_ERROR for bad
 * properties.)
 */
export class MalformedError extends Error {
  readonly replyCode: 501 | 502;
  /** The ids that connection.close names; zero where RabbitMQ names no method. */
  readonly classId: number;
  readonly methodId: number;

  constructor(replyCode: 501 | 502, text: string, classId = 0, methodId = 0) {
    super(text);
    this.name = "MalformedError";
    this.replyCode = replyCode;
    this.classId = classId;
    this.methodId = methodId;
  }
}

/** A value runs past the end of the region that is being read. */
export class OverrunError extends MalformedError {
  constructor() {
    super(501, "value runs past the end of its frame");
  }
}

/** A class id or method id that the protocol does not define. */
export class UnknownMethodError extends Error {
  readonly classId: number;
  readonly methodId: number;

  constructor(classId: number, methodId: number) {
    super(`unknown method ${classId}.${methodId}`);
    this.name = "UnknownMethodError";
    this.classId = classId;
    this.methodId = methodId;
  }
}
