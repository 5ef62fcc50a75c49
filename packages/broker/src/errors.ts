/**
 * The catalogue of everything that a client can be refused for, with RabbitMQ's texts. The core and
 * its adapters throw these on the control plane; severity is the class: a ChannelError ends what
 * asked for it, a ConnectionError the whole connection. Adapters map `condition` to their protocol.
 */

export type ResourceKind = "queue" | "exchange";

export type ChannelCondition =
  | "CONTENT_TOO_LARGE"
  | "NO_ROUTE"
  | "NO_CONSUMERS"
  | "ACCESS_REFUSED"
  | "NOT_FOUND"
  | "RESOURCE_LOCKED"
  | "PRECONDITION_FAILED";

export type ConnectionCondition =
  | "CONNECTION_FORCED"
  | "INVALID_PATH"
  | "ACCESS_REFUSED"
  | "FRAME_ERROR"
  | "SYNTAX_ERROR"
  | "COMMAND_INVALID"
  | "CHANNEL_ERROR"
  | "UNEXPECTED_FRAME"
  | "RESOURCE_ERROR"
  | "NOT_ALLOWED"
  | "NOT_IMPLEMENTED"
  | "INTERNAL_ERROR";

/** A refusal that ends the channel; the connection goes on. */
export class ChannelError extends Error {
  readonly condition: ChannelCondition;

  constructor(condition: ChannelCondition, explanation: string) {
    super(explanation);
    this.name = "ChannelError";
    this.condition = condition;
  }
}

/** A refusal that ends the connection. */
export class ConnectionError extends Error {
  readonly condition: ConnectionCondition;
  /** Whether it is an answer to what the client has just asked for. */
  readonly isAnswer: boolean;

  constructor(condition: ConnectionCondition, explanation: string, isAnswer = true) {
    super(explanation);
    this.name = "ConnectionError";
    this.condition = condition;
    this.isAnswer = isAnswer;
  }
}

/** How RabbitMQ names a resource in its texts. */
export function resourceText(kind: ResourceKind, name: string, vhost: string): string {
  return `${kind} '${name}' in vhost '${vhost}'`;
}

// 404

export function notFound(kind: ResourceKind, name: string, vhost: string): ChannelError {
  return new ChannelError("NOT_FOUND", `no ${resourceText(kind, name, vhost)}`);
}

export function noPreviouslyDeclaredQueue(): ChannelError {
  return new ChannelError("NOT_FOUND", "no previously declared queue");
}

// 403

export function accessRefused(
  permission: "configure" | "write" | "read",
  kind: ResourceKind,
  name: string,
  vhost: string,
  user: string,
): ChannelError {
  const resource = resourceText(kind, name, vhost);
  return new ChannelError(
    "ACCESS_REFUSED",
    `${permission} access to ${resource} refused for user '${user}'`,
  );
}

export function topicRefused(
  routingKey: string,
  exchange: string,
  vhost: string,
  user: string,
): ChannelError {
  const resource = resourceText("exchange", exchange, vhost);
  return new ChannelError(
    "ACCESS_REFUSED",
    `access to topic '${routingKey}' in ${resource} refused for user '${user}'`,
  );
}

export function reservedName(kind: ResourceKind, name: string): ChannelError {
  return new ChannelError(
    "ACCESS_REFUSED",
    `${kind} name '${name}' contains reserved prefix 'amq.*'`,
  );
}

export function defaultExchangeRefused(): ChannelError {
  return new ChannelError("ACCESS_REFUSED", "operation not permitted on the default exchange");
}

export function systemExchangeDeletion(name: string, vhost: string): ChannelError {
  return new ChannelError(
    "ACCESS_REFUSED",
    `deletion of system ${resourceText("exchange", name, vhost)} not allowed`,
  );
}

export function internalExchangePublish(name: string, vhost: string): ChannelError {
  return new ChannelError(
    "ACCESS_REFUSED",
    `cannot publish to internal ${resourceText("exchange", name, vhost)}`,
  );
}

export function exclusivelyConsumed(queue: string, vhost: string): ChannelError {
  return new ChannelError(
    "ACCESS_REFUSED",
    `${resourceText("queue", queue, vhost)} in exclusive use`,
  );
}

// 405

export function queueLocked(queue: string, vhost: string): ChannelError {
  return new ChannelError(
    "RESOURCE_LOCKED",
    `cannot obtain exclusive access to locked ${resourceText("queue", queue, vhost)}. It could ` +
      "be originally declared on another connection or the exclusive property value does not " +
      "match that of the original declaration.",
  );
}

export function singleActiveConsumerGet(queue: string, vhost: string): ChannelError {
  return new ChannelError(
    "RESOURCE_LOCKED",
    `cannot obtain access to locked ${resourceText("queue", queue, vhost)}. basic.get operations ` +
      "are not supported by classic queues with single active consumer",
  );
}

// 406

export function preconditionFailed(explanation: string): ChannelError {
  return new ChannelError("PRECONDITION_FAILED", explanation);
}

export function inUse(kind: ResourceKind, name: string, vhost: string): ChannelError {
  return preconditionFailed(`${resourceText(kind, name, vhost)} in use`);
}

export function notEmpty(queue: string, vhost: string): ChannelError {
  return preconditionFailed(`${resourceText("queue", queue, vhost)} not empty`);
}

export function tooManyQueues(queue: string, vhost: string, max: number): ChannelError {
  return preconditionFailed(
    `cannot declare queue '${queue}': queue limit in vhost '${vhost}' (${max}) is reached`,
  );
}

export function unknownDeliveryTag(tag: number | bigint): ChannelError {
  return preconditionFailed(`unknown delivery tag ${tag}`);
}

export function deliveryTimedOut(channel: number, timeoutMs: number): ChannelError {
  return preconditionFailed(
    `delivery acknowledgement on channel ${channel} timed out. Timeout value used: ` +
      `${timeoutMs} ms. This timeout value can be configured, see consumers doc guide to learn more`,
  );
}

export function messageTooLarge(sizeBytes: bigint, maxBytes: number): ChannelError {
  return preconditionFailed(
    `message size ${sizeBytes} is larger than configured max size ${maxBytes}`,
  );
}

export function userIdMismatch(claimed: string, user: string): ChannelError {
  return preconditionFailed(
    `user_id property set to '${claimed}' but authenticated user was '${user}'`,
  );
}

export function invalidQueueArgument(
  argument: string,
  queue: string,
  vhost: string,
  reason: string,
): ChannelError {
  return preconditionFailed(
    `invalid arg '${argument}' for ${resourceText("queue", queue, vhost)}: ${reason}`,
  );
}

// 501

export function malformedName(): ConnectionError {
  return new ConnectionError("FRAME_ERROR", "Malformed UTF-8 in shortstr");
}

// 503

export function unknownExchangeType(type: string): ConnectionError {
  const kind = type === "" ? "invalid" : "unknown";
  return new ConnectionError("COMMAND_INVALID", `${kind} exchange type '${type}'`);
}

// 530

export function vhostNotFound(vhost: string): ConnectionError {
  return new ConnectionError("NOT_ALLOWED", `vhost ${vhost} not found`);
}

export function vhostRefused(vhost: string, user: string): ConnectionError {
  return new ConnectionError(
    "NOT_ALLOWED",
    `access to vhost '${vhost}' refused for user '${user}'`,
  );
}

export function vhostFull(vhost: string, user: string, max: number): ConnectionError {
  return new ConnectionError(
    "NOT_ALLOWED",
    `access to vhost '${vhost}' refused for user '${user}': connection limit (${max}) is reached`,
  );
}

export function tooManyConnections(user: string, max: number): ConnectionError {
  return new ConnectionError(
    "NOT_ALLOWED",
    `connection refused for user '${user}': user connection limit (${max}) is reached`,
  );
}

export function channelMaxReached(open: number, max: number): ConnectionError {
  return new ConnectionError(
    "NOT_ALLOWED",
    `number of channels opened (${open}) has reached the negotiated channel_max (${max})`,
  );
}

export function tooManyChannels(user: string, max: number): ConnectionError {
  return new ConnectionError(
    "NOT_ALLOWED",
    `number of channels opened for user '${user}' has reached the maximum allowed user limit ` +
      `of (${max})`,
    false,
  );
}

export function consumerTagReused(tag: string): ConnectionError {
  return new ConnectionError("NOT_ALLOWED", `attempt to reuse consumer tag '${tag}'`);
}

export function tooManyConsumers(max: number): ConnectionError {
  return new ConnectionError("NOT_ALLOWED", `reached maximum (${max}) of consumers per channel`);
}

// 540, 541, 320

export function notImplemented(feature: string): ConnectionError {
  return new ConnectionError("NOT_IMPLEMENTED", feature);
}

export function internalError(): ConnectionError {
  return new ConnectionError("INTERNAL_ERROR", "");
}
