/**
 * How far consumers of streams have got, as records of a metadata store.
 *
 *   key                                  value
 *   "stream-offset"  stream  tag         offset
 *
 * `stream` is the id of the queue, in digits; `tag` the consumer tag.
 */

import { MetadataKind } from "./metadata-kind.ts";

export interface StreamOffsetRecord {
  readonly stream: number;
  readonly tag: string;
  /** The last one that consumers with the tag are through with. */
  readonly offset: number;
}

export const streamOffsetRecords = new MetadataKind<
  StreamOffsetRecord,
  [stream: string, tag: string]
>({
  name: "stream-offset",
  keyParts: 2,
  keyOf: ({ stream, tag }) => [String(stream), tag],
  toFields: ({ offset }) => ({ offset }),
  fromFields: (fields, [stream, tag]) => ({
    stream: Number(stream),
    tag,
    offset: fields.integer("offset"),
  }),
});
