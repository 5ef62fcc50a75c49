/**
 * The broker broke the protocol. Thrown by whoever reads a frame that may not come now, and caught
 * in one place, the connection, which then closes itself with this reply code. Never leaves the
 * package.
 */
export class ProtocolFault extends Error {
  readonly replyCode: number;

  constructor(replyCode: number, text: string) {
    super(text);
    this.name = "ProtocolFault";
    this.replyCode = replyCode;
  }
}
