/**
 * Events as messages: the routing keys and headers that RabbitMQ's event exchange has for them, in
 * its order and its types. A routing key is mostly the event's type. Some events are two messages.
 */

import { type FieldEntry, FieldTable, type FieldValue, textField } from "@haremq/wire";
import { limitsComponent } from "../parameter/virtual-host-limits.ts";
import { queueTypeOf } from "../queue/queue-types.ts";
import { erlangEntry } from "../vhost/field-text.ts";
import { type BrokerEvent, type BrokerEventType, internalUser } from "./broker-events.ts";
import {
  type ConnectionDetails,
  type ConnectionEnds,
  channelName,
  channelPid,
} from "./connection-details.ts";

export interface EventMessage {
  readonly routingKey: string;
  readonly headers: FieldTable;
}

type Headers = Readonly<Record<string, FieldValue>>;
type Event<Type extends BrokerEventType> = Extract<BrokerEvent, { readonly type: Type }>;
/** Each of a routing key and headers. */
type Messages = readonly (readonly [routingKey: string, headers: Headers])[];

export function eventMessages(event: BrokerEvent, node: string, wallMs: number): EventMessage[] {
  const describe = descriptions[event.type] as (event: BrokerEvent, node: string) => Messages;
  return describe(event, node).map(([routingKey, headers]) => {
    const entries: FieldEntry[] = Object.entries(headers).map(([name, value]) => ({ name, value }));
    entries.push({ name: "timestamp_in_ms", value: long(wallMs) });
    return { routingKey, headers: new FieldTable(entries) };
  });
}

const descriptions: {
  readonly [Type in BrokerEventType]: (event: Event<Type>, node: string) => Messages;
} = {
  "connection.created": ({ type, connection }, node) => [[type, newConnection(connection, node)]],
  "connection.closed": ({ type, connection }, node) => {
    const { clientProperties, pid, name } = connection;
    const headers = { client_properties: terms(clientProperties), node: textField(node) };
    return [[type, { ...headers, ...texts({ pid, name }) }]];
  },
  "channel.created": ({ type, connection, channel }) => {
    const { vhost, user } = connection;
    return [
      [
        type,
        {
          ...by(user),
          ...texts({ vhost, user }),
          number: long(channel),
          ...texts({
            connection: connection.pid,
            name: channelName(connection, channel),
            pid: channelPid(connection, channel),
          }),
        },
      ],
    ];
  },
  "channel.closed": ({ type, connection, channel }) => [
    [type, { ...by(connection.user), pid: textField(channelPid(connection, channel)) }],
  ],
  "consumer.created": (event) => {
    const { consumer } = event;
    const headers = {
      ...by(event.by),
      arguments: terms(consumer.arguments),
      prefetch_count: long(consumer.prefetch),
      ...consumerPlace(event),
      ack_required: truth(!consumer.noAck),
      exclusive: truth(consumer.exclusive),
      consumer_tag: textField(consumer.tag),
    };
    return [[event.type, headers]];
  },
  "consumer.deleted": (event) => {
    const tag = textField(event.consumer.tag);
    return [[event.type, { ...by(event.by), ...consumerPlace(event), consumer_tag: tag }]];
  },
  "queue.created": ({ type, queue, vhost, by: actor }) => {
    const headers = {
      ...by(actor),
      // RabbitMQ 4.0 tells it.
      type: textField(queueTypeOf(queue.arguments).module),
      exclusive: truth(queue.exclusiveOwner !== null),
      owner_pid: textField(queue.exclusiveOwner?.connection?.pid ?? ""),
      arguments: terms(queue.arguments),
      auto_delete: truth(queue.autoDelete),
      durable: truth(queue.durable),
      ...texts({ name: queue.name, vhost }),
    };
    return [[type, headers]];
  },
  "queue.deleted": ({ type, queue, vhost, by: actor }) => {
    const module = queueTypeOf(queue.arguments).module;
    return [[type, { ...by(actor), ...texts({ type: module, name: queue.name, vhost }) }]];
  },
  "exchange.created": ({ type, exchange, vhost, by: actor }) => {
    const headers = {
      ...by(actor),
      policy: textField(exchange.policy.name ?? ""),
      arguments: terms(exchange.arguments),
      internal: truth(exchange.internal),
      auto_delete: truth(exchange.autoDelete),
      durable: truth(exchange.durable),
      ...texts({ type: exchange.type, name: exchange.name, vhost }),
    };
    return [[type, headers]];
  },
  "exchange.deleted": ({ type, exchange, vhost, by: actor }) => [
    [type, { ...by(actor), ...texts({ name: exchange.name, vhost }) }],
  ],
  "binding.created": (event) => [[event.type, bindingHeaders(event)]],
  "binding.deleted": (event) => [[event.type, bindingHeaders(event)]],
  "vhost.created": ({ type, name, metadata }, node) => {
    const { tags, description, defaultQueueType } = metadata;
    const headers = {
      ...by(internalUser),
      cluster_state: table({ [node]: textField("running") }),
      tracing: truth(false),
      default_queue_type: textField(defaultQueueType || "undefined"),
      tags: { type: "A", value: tags.map(textField) } as const,
      ...texts({ description, name }),
    };
    return [[type, headers]];
  },
  "user.created": ({ type, name }) => [[type, { ...by(internalUser), name: textField(name) }]],
  "user.deleted": ({ type, name }) => [[type, { ...by(internalUser), name: textField(name) }]],
  "user.limits.set": ({ type, name, limits }) => [
    [type, { ...plain(limits), ...userLimits(name) }],
  ],
  "user.limits.cleared": ({ type, name }) => [[type, userLimits(name)]],
  "permission.created": ({ type, read, write, configure, vhost, user }) => [
    [type, { ...by(internalUser), ...texts({ read, write, configure, vhost, user }) }],
  ],
  "permission.deleted": ({ type, vhost, user }) => [
    [type, { ...by(internalUser), ...texts({ vhost, user }) }],
  ],
  "policy.set": ({ type, vhost, audience, policy }) => {
    const { name, pattern, priority, applyTo, definition } = policy;
    const content = plain({ "apply-to": applyTo, priority, definition, pattern });
    const set: Messages[number] = [
      type,
      { ...content, ...by(internalUser), ...texts({ vhost, name }) },
    ];
    if (audience === "user") return [set];
    const parameter = { value: table(content), ...texts({ name, component: "operator_policy" }) };
    const headers = { ...by(internalUser), ...parameter, vhost: textField(vhost) };
    return [["parameter.set", headers], set];
  },
  "policy.cleared": ({ type, vhost, audience, policy: { name } }) => {
    const headers = { ...by(internalUser), ...texts({ vhost, name }) };
    if (audience === "user") return [[type, headers]];
    const parameter = {
      ...by(internalUser),
      ...texts({ name, component: "operator_policy", vhost }),
    };
    return [
      ["parameter.cleared", parameter],
      ["operator.policy.cleared", headers],
    ];
  },
  "parameter.set": ({ type, vhost, component, name, value }) => {
    const place = texts({ name, component, ...(vhost !== undefined && { vhost }) });
    const set: Messages[number] = [type, { ...by(internalUser), ...plain({ value }), ...place }];
    if (component !== limitsComponent || vhost === undefined) return [set];
    const limits = { ...plain(value as object), ...by(internalUser), ...texts({ vhost, name }) };
    return [set, ["vhost.limits.set", limits]];
  },
  "parameter.cleared": ({ type, vhost, component, name }) => {
    const place = texts({ name, component, ...(vhost !== undefined && { vhost }) });
    const cleared: Messages[number] = [type, { ...by(internalUser), ...place }];
    if (component !== limitsComponent || vhost === undefined) return [cleared];
    const limits = { ...by(internalUser), ...texts({ vhost, name }) };
    return [cleared, ["vhost.limits.cleared", limits]];
  },
  "user.authentication.success": (event) => [[event.type, loginHeaders(event)]],
  "user.authentication.failure": (event) => [
    // RabbitMQ sends the characters' codes, by mistake.
    [event.type, { error: textField(event.reason), ...loginHeaders(event) }],
  ],
  "alarm.set": ({ type, source }, node) => [[type, texts({ node, source })]],
  "alarm.cleared": ({ type, source }, node) => [[type, texts({ node, source })]],
};

function newConnection(connection: ConnectionDetails, node: string): Headers {
  const { name, pid, user, vhost, port } = connection;
  return {
    ...by(user),
    node: textField(node),
    connected_at: long(connection.connectedAtMs),
    client_properties: terms(connection.clientProperties),
    channel_max: long(connection.channelMax),
    frame_max: long(connection.frameMax),
    timeout: long(connection.heartbeatSeconds),
    ...texts({ vhost, user, protocol: tuple(connection.protocol) }),
    ...texts({ ssl_hash: "", ssl_cipher: "", ssl_key_exchange: "", ssl_protocol: "" }),
    auth_mechanism: textField(connection.authMechanism),
    ...texts({ peer_cert_validity: "", peer_cert_issuer: "", peer_cert_subject: "" }),
    ssl: truth(false),
    peer_host: textField(addressTuple(connection.peerHost)),
    host: textField(addressTuple(connection.host)),
    peer_port: long(connection.peerPort),
    port: long(port),
    ...texts({ name, pid, type: "network" }),
  };
}

function loginHeaders(
  event: Event<"user.authentication.success" | "user.authentication.failure">,
): Headers {
  const { ends, user, mechanism, protocol } = event;
  return {
    ssl: truth(false),
    ...texts({ auth_mechanism: mechanism, protocol: tuple(protocol) }),
    ...endHeaders(ends),
    ...texts({ name: user, connection_type: "network" }),
  };
}

function endHeaders({ peerPort, peerHost, name, host }: ConnectionEnds): Headers {
  return {
    peer_port: long(peerPort),
    ...texts({
      peer_host: addressTuple(peerHost),
      connection_name: name,
      host: addressTuple(host),
    }),
  };
}

function consumerPlace(event: Event<"consumer.created" | "consumer.deleted">): Headers {
  const { consumer, connection, channel } = event;
  const queue = consumer.queue.name;
  return texts({ queue, vhost: connection.vhost, channel: channelPid(connection, channel) });
}

function bindingHeaders({
  vhost,
  binding,
  by: actor,
}: Event<"binding.created" | "binding.deleted">): Headers {
  return {
    ...by(actor),
    vhost: textField(vhost),
    arguments: terms(binding.arguments),
    ...texts({
      routing_key: binding.routingKey,
      destination_kind: binding.destinationKind,
      destination_name: binding.destination.name,
      source_kind: "exchange",
      source_name: binding.source.name,
    }),
  };
}

function userLimits(user: string): Headers {
  return { username: textField(user), ...by(internalUser), name: textField("limits") };
}

function by(user: string): Headers {
  return { user_who_performed_action: textField(user) };
}

function texts(values: Readonly<Record<string, string>>): Headers {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, textField(value)]),
  );
}

function truth(value: boolean): FieldValue {
  return { type: "t", value };
}

function long(value: number): FieldValue {
  return { type: "l", value };
}

function table(headers: Headers): FieldValue {
  const entries = Object.entries(headers).map(([name, value]) => ({ name, value }));
  return { type: "F", value: new FieldTable(entries) };
}

/** What was JSON, with its integers as wide as RabbitMQ makes them. */
function plain(values: object): Headers {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, jsonField(value)]),
  );
}

function jsonField(value: unknown): FieldValue {
  if (typeof value === "boolean") return truth(value);
  if (typeof value === "number") {
    return Number.isSafeInteger(value) ? long(value) : { type: "d", value };
  }
  if (typeof value === "string") return textField(value);
  if (Array.isArray(value)) return { type: "A", value: value.map(jsonField) };
  return value === null ? textField("null") : table(plain(value as object));
}

/** The entries of a table as Erlang terms, which is what RabbitMQ makes of arguments. */
function terms(fields: FieldTable): FieldValue {
  const value = fields.entries.map((entry) => textField(erlangEntry(entry.name, entry.value)));
  return { type: "A", value };
}

function tuple(values: readonly (number | string)[]): string {
  return `{${values.join()}}`;
}

/** {127,0,0,1}, or for IPv6 eight numbers; anything else as it is. */
function addressTuple(address: string): string {
  const plainAddress = address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  if (/^\d+(\.\d+){3}$/.test(plainAddress)) return tuple(plainAddress.split("."));
  if (!/^[\da-f:]+$/i.test(plainAddress)) return address;
  const [left = "", right] = plainAddress.split("::");
  const words = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const head = words(left);
  const tail = words(right ?? "");
  const zeros = Array<string>(8 - head.length - tail.length).fill("0");
  return tuple([...head, ...zeros, ...tail].map((word) => Number.parseInt(word, 16)));
}
