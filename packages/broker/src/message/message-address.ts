/** What a message says of where it is to go, decoded; for whoever sends a message on. */

import {
  decodeProperties,
  decodeText,
  type FieldTable,
  fieldText,
  type Properties,
  WireReader,
} from "@haremq/wire";
import type { MessageView } from "./message-view.ts";

export interface MessageAddress {
  readonly exchange: string;
  readonly routingKey: string;
}

export function addressOf(view: MessageView): MessageAddress {
  const { address, addressStart, addressLength } = view;
  const exchangeEnd = addressStart + 1 + address[addressStart]!;
  return {
    exchange: decodeText(address, addressStart + 1, exchangeEnd),
    routingKey: decodeText(address, exchangeEnd + 1, addressStart + addressLength),
  };
}

export function propertiesOf(view: MessageView): Properties {
  const { properties, propertiesStart, propertiesLength } = view;
  return decodeProperties(
    new WireReader(properties, propertiesStart, propertiesStart + propertiesLength),
  );
}

/** The further routing keys that the sender has named openly. */
export function carbonCopiesIn(headers: FieldTable | undefined): string[] {
  const copies = headers?.get("CC");
  if (copies?.type !== "A") return [];
  return copies.value.flatMap((each) => (each.type === "S" ? [fieldText(each) ?? ""] : []));
}
