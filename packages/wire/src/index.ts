// The wire room's door: everything other packages may use of the AMQP 0-9-1 codec.

export { FrameType, frameEnd, frameMinBytes, frameOverheadBytes } from "./constants.ts";
export { encodeBodyFrames, encodeHeaderFrame } from "./content-frames.ts";
export {
  type DecimalValue,
  type FieldEntry,
  FieldTable,
  type FieldValue,
  fieldNestingMax,
  fieldText,
  textField,
} from "./field-table.ts";
export { type FrameFault, type FrameHandler, FrameReader } from "./frame-reader.ts";
export * from "./generated/access.ts";
export * from "./generated/basic.ts";
export * from "./generated/channel.ts";
export * from "./generated/confirm.ts";
export * from "./generated/connection.ts";
export * from "./generated/exchange.ts";
export { encodeMethod, type Method } from "./generated/method.ts";
export * from "./generated/method-id.ts";
export * from "./generated/properties.ts";
export * from "./generated/queue.ts";
export * from "./generated/reply-code.ts";
export * from "./generated/tx.ts";
export { MalformedError, UnknownMethodError } from "./malformed-error.ts";
export { decodeMethod } from "./method-decoder.ts";
export { removeHeader, replaceReplyTo, rewriteProperties } from "./property-rewrite.ts";
export { PropertyScan, scanProperties } from "./property-scan.ts";
export { decodeText, encodeText, shortStringByteLength, textByteLength } from "./text.ts";
export { WireReader } from "./wire-reader.ts";
export { WireWriter } from "./wire-writer.ts";
