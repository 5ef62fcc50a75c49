// Errors of the decoder. The AMQP adapter maps them to connection.close; nothing else is ever thrown
// by a decoder, whatever the bytes are.
//
// MalformedError carries the reply code RabbitMQ closes the connection with: 501 (FRAME_ERROR) when
// the framing is broken, 502 (SYNTAX_ERROR) when a frame's contents are.

export class MalformedError extends Error {
  readonly replyCode: 501 | 502;

  constructor(replyCode: 501 | 502, text: string) {
    super(text);
    this.name = "MalformedError";
    this.replyCode = replyCode;
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
