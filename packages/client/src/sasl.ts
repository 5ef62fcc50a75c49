/**
 * The first, and here only, word of a client in a SASL exchange.
 *
 *     PLAIN     NUL user NUL password
 *     AMQPLAIN  a field table LOGIN, PASSWORD, without its length
 */

import { FieldTable, WireWriter } from "@haremq/wire";
import type { SaslMechanism } from "./connect-options.ts";

const tableLengthBytes = 4;

export function saslResponse(mechanism: SaslMechanism, user: string, password: string): Buffer {
  if (mechanism === "PLAIN") return Buffer.from(`\0${user}\0${password}`);
  const writer = new WireWriter(256);
  writer.table(FieldTable.from({ LOGIN: user, PASSWORD: password }));
  return writer.take().subarray(tableLengthBytes);
}
