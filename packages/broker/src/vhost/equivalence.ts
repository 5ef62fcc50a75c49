/**
 * Whether an exchange or a queue that exists is the one that a declaration describes. RabbitMQ
 * compares the properties and the few arguments that it knows, in a fixed order, and refuses the
 * declaration at the first difference. The values are not checked first: a value that no new queue
 * could have is simply a different one.
 */

import type { FieldTable, FieldValue } from "@haremq/wire";
import { preconditionFailed, queueLocked, type ResourceKind, resourceText } from "../errors.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Queue } from "../queue/queue.ts";
import { queueTypeOf } from "../queue/queue-types.ts";
import { erlangTerm, fieldTypeName, fieldValueText } from "./field-text.ts";
import type { ExchangeDeclaration, QueueDeclaration } from "./session.ts";

/** `owner` is what would own the queue: the declaring connection for an exclusive one, or null. */
export function checkQueueEquivalence(
  queue: Queue,
  declaration: QueueDeclaration,
  owner: object | null,
  vhost: string,
): void {
  if (queue.exclusiveOwner !== owner) throw queueLocked(queue.name, vhost);
  const comparison = new Comparison("queue", queue.name, vhost);
  comparison.property("durable", queue.durable, declaration.durable);
  comparison.property("auto_delete", queue.autoDelete, declaration.autoDelete);
  for (const argument of queueTypeOf(queue.arguments).comparedArguments) {
    comparison.argument(argument, queue.arguments, declaration.arguments);
  }
}

export function checkExchangeEquivalence(
  exchange: Exchange,
  declaration: ExchangeDeclaration,
  vhost: string,
): void {
  const comparison = new Comparison("exchange", exchange.name, vhost);
  comparison.property("type", exchange.type, declaration.type);
  comparison.property("durable", exchange.durable, declaration.durable);
  comparison.property("auto_delete", exchange.autoDelete, declaration.autoDelete);
  comparison.property("internal", exchange.internal, declaration.internal);
  comparison.argument("alternate-exchange", exchange.arguments, declaration.arguments);
}

class Comparison {
  readonly #kind: ResourceKind;
  readonly #name: string;
  readonly #vhost: string;

  constructor(kind: ResourceKind, name: string, vhost: string) {
    this.#kind = kind;
    this.#name = name;
    this.#vhost = vhost;
  }

  property(key: string, current: string | boolean, received: string | boolean): void {
    if (current !== received) throw this.#difference(key, `'${received}'`, `'${current}'`);
  }

  argument(key: string, currentArgs: FieldTable, receivedArgs: FieldTable): void {
    const current = currentArgs.get(key);
    const received = receivedArgs.get(key);
    if (current === undefined || received === undefined) {
      const given = current ?? received;
      if (given === undefined || isDefaultType(key, given)) return;
      throw this.#difference(key, typedText(received), typedText(current));
    }
    // Types do not matter as such: 5 is 5 as a byte, as a long and even as a timestamp.
    if (erlangTerm(current) === erlangTerm(received)) return;
    throw this.#difference(key, plainText(received), plainText(current));
  }

  #difference(key: string, received: string, current: string): Error {
    const resource = resourceText(this.#kind, this.#name, this.#vhost);
    return preconditionFailed(
      `inequivalent arg '${key}' for ${resource}: received ${received} but current is ${current}`,
    );
  }
}

/** To ask for a classic queue is the same as not to ask for any type. */
function isDefaultType(key: string, given: FieldValue): boolean {
  return key === "x-queue-type" && given.type === "S" && fieldValueText(given) === "classic";
}

function typedText(value: FieldValue | undefined): string {
  if (value === undefined) return "none";
  return `the value '${fieldValueText(value)}' of type '${fieldTypeName(value.type)}'`;
}

function plainText(value: FieldValue): string {
  return value.type === "V" ? "none" : `'${fieldValueText(value)}'`;
}
