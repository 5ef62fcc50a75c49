/**
 * The type of queue that clients of a virtual host get if they do not ask for one. As in RabbitMQ
 * 4, it is as if they had asked for it; or for a classic queue, if one of that type cannot be what
 * else they want.
 */

import { FieldTable, textField } from "@haremq/wire";
import { ParameterError } from "../parameter/parameter-error.ts";
import { findQueueType } from "../queue/queue-types.ts";
import type { QueueDeclaration } from "./session.ts";

/** Throws a ParameterError for a type that there is not; "" means that there is no default. */
export function checkDefaultQueueType(name: string): void {
  if (name === "" || findQueueType(name) !== undefined) return;
  throw new ParameterError(`Unsupported default queue type: ${name}`);
}

/** The arguments that a declaration comes to. */
export function argumentsWithType(declaration: QueueDeclaration, defaultType: string): FieldTable {
  const { durable, exclusive, autoDelete, arguments: args } = declaration;
  if (defaultType === "" || args.has("x-queue-type")) return args;
  const isLasting = durable && !exclusive && !autoDelete;
  const fits = isLasting || findQueueType(defaultType)?.lasting !== true;
  const type = textField(fits ? defaultType : "classic");
  return new FieldTable([...args.entries, { name: "x-queue-type", value: type }]);
}
