/** Adds a header to a message on its way to a consumer, in place of one with that name. */

import { FieldTable, type FieldValue, rewriteProperties } from "@haremq/wire";
import type { MessageView } from "./message-view.ts";

/** The view shows the message with the header from now on; what is stored stays as it is. */
export function setHeader(view: MessageView, name: string, value: FieldValue): void {
  const { properties, propertiesStart, propertiesLength } = view;
  view.properties = rewriteProperties(
    properties,
    propertiesStart,
    propertiesStart + propertiesLength,
    (changed) => {
      changed.headers ??= new FieldTable();
      changed.headers.set(name, value);
    },
  );
  view.propertiesStart = 0;
  view.propertiesLength = view.properties.length;
}
