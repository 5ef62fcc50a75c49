/**
 * What outlives a broker, as records of a metadata store: virtual hosts, durable exchanges, queues
 * and bindings, users, permissions, policies, parameters. The broker makes the changes of these
 * that belong together into one commit, and reads them all when it starts.
 *
 *   key                                                                value
 *   "layout"                                                           the number below
 *   "vhost"             name                                           description, level, ...
 *   "exchange"          vhost  name                                    type, flags, stores, ...
 *   "queue"             vhost  name                                    id, type, flags, arguments
 *   "binding"           vhost  source  kind  destination  key  digest  arguments
 *   "user"              name                                           passwordHash, tags, limits
 *   "permission"        vhost  user                                    configure, write, read
 *   "topic-permission"  vhost  user  exchange                          write, read
 *   "policy"            vhost  name                                    pattern, definition, ...
 *   "operator-policy"   vhost  name                                    the same
 *   "parameter"         vhost  component  name                         value
 *   "global-parameter"  name                                           value
 *   "stream-offset"     stream  tag                                    see stream-offset-records.ts
 *   "counter"           "queue"                                        the highest queue id so far
 *   "default-data"                                                     true
 *
 * The vhost is the first part wherever there is one, so that all that is in it is found by
 * prefixes. `kind` is "queue" or "exchange". Arguments are the bytes of an AMQP table as they came;
 * to the store they are bytes, and the same arguments in another order are others. `digest` is ""
 * for no arguments, else the first 128 bits of their SHA-256 in base64url: arguments may be longer
 * than a key.
 *
 * The counter goes with every new queue, so that no queue gets the id of one that is gone. Default
 * data (the configured virtual host and user) is made once in the life of a store, and noted last:
 * what an operator has deleted since does not come back, and a crash in between leaves nobody out.
 *
 * Flags that are false, empty lists and empty bytes are left out. Fields may be added without a new
 * layout if leaving them out means what was meant before they were there.
 */

import { createHash } from "node:crypto";
import { type ConfirmLevel, confirmLevels } from "../log/confirm-level.ts";
import { MetadataError } from "./metadata-error.ts";
import { type FieldReader, MetadataKind } from "./metadata-kind.ts";
import type { MetadataChange, MetadataEntry, MetadataStore } from "./metadata-store.ts";

export const topologyLayout = 1;

export interface VirtualHostRecord {
  readonly name: string;
  readonly description: string;
  readonly tags: readonly string[];
  /** "" for the broker's default. */
  readonly defaultQueueType: string;
  readonly tracing: boolean;
  /** What its confirms stand for; "" for the broker's default. */
  readonly confirmLevel: ConfirmLevel | "";
}

export interface ExchangeRecord {
  readonly vhost: string;
  readonly name: string;
  readonly type: string;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: Uint8Array;
  /**
   * What the message log calls what is kept for the exchange, by the purposes it is kept for.
   * Numbers of queues and of exchanges are never the same.
   */
  readonly stores: Readonly<Record<string, number>>;
}

export interface QueueRecord {
  readonly vhost: string;
  readonly name: string;
  /** What the message log calls it. A queue that is declared anew has another. */
  readonly id: number;
  /** "classic", "quorum", "stream" and so on. */
  readonly type: string;
  readonly autoDelete: boolean;
  readonly arguments: Uint8Array;
}

export interface BindingRecord {
  readonly vhost: string;
  readonly source: string;
  readonly destinationKind: "queue" | "exchange";
  readonly destination: string;
  readonly routingKey: string;
  readonly arguments: Uint8Array;
}

export interface UserRecord {
  readonly name: string;
  /** Salt and hash; empty for a user who cannot log in with a password. */
  readonly passwordHash: Uint8Array;
  /** RabbitMQ's name of the hash, "rabbit_password_hashing_sha256". */
  readonly hashingAlgorithm: string;
  readonly tags: readonly string[];
  readonly limits: Readonly<Record<string, unknown>>;
}

export interface PermissionRecord {
  readonly vhost: string;
  readonly user: string;
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}

export interface TopicPermissionRecord {
  readonly vhost: string;
  readonly user: string;
  readonly exchange: string;
  readonly write: string;
  readonly read: string;
}

export interface PolicyRecord {
  readonly vhost: string;
  readonly name: string;
  readonly pattern: string;
  readonly applyTo: string;
  readonly priority: number;
  readonly definition: Readonly<Record<string, unknown>>;
}

export interface ParameterRecord {
  readonly vhost: string;
  readonly component: string;
  readonly name: string;
  readonly value: unknown;
}

export interface GlobalParameterRecord {
  readonly name: string;
  readonly value: unknown;
}

export const virtualHostRecords = new MetadataKind<VirtualHostRecord, [name: string]>({
  name: "vhost",
  keyParts: 1,
  keyOf: ({ name }) => [name],
  toFields: ({ description, tags, defaultQueueType, tracing, confirmLevel }) =>
    withoutEmpty({ description, tags, defaultQueueType, tracing, confirmLevel }),
  fromFields: (fields, [name]) => ({
    name,
    description: fields.optionalText("description"),
    tags: fields.texts("tags"),
    defaultQueueType: fields.optionalText("defaultQueueType"),
    tracing: fields.flag("tracing"),
    confirmLevel: readConfirmLevel(fields),
  }),
});

function readConfirmLevel(fields: FieldReader): ConfirmLevel | "" {
  const text = fields.optionalText("confirmLevel");
  if (text === "") return text;
  const level = confirmLevels.find((each) => each === text);
  if (level === undefined) throw fields.damaged(`has an unknown confirmLevel, ${text}`);
  return level;
}

export const exchangeRecords = new MetadataKind<ExchangeRecord, [vhost: string, name: string]>({
  name: "exchange",
  keyParts: 2,
  keyOf: ({ vhost, name }) => [vhost, name],
  toFields: ({ type, autoDelete, internal, arguments: args, stores }) => ({
    type,
    ...withoutEmpty({ autoDelete, internal, arguments: args, stores }),
  }),
  fromFields: (fields, [vhost, name]) => ({
    vhost,
    name,
    type: fields.text("type"),
    autoDelete: fields.flag("autoDelete"),
    internal: fields.flag("internal"),
    arguments: fields.bytes("arguments"),
    stores: fields.integers("stores"),
  }),
});

export const queueRecords = new MetadataKind<QueueRecord, [vhost: string, name: string]>({
  name: "queue",
  keyParts: 2,
  keyOf: ({ vhost, name }) => [vhost, name],
  toFields: ({ id, type, autoDelete, arguments: args }) => ({
    id,
    type,
    ...withoutEmpty({ autoDelete, arguments: args }),
  }),
  fromFields: (fields, [vhost, name]) => ({
    vhost,
    name,
    id: fields.integer("id"),
    type: fields.text("type"),
    autoDelete: fields.flag("autoDelete"),
    arguments: fields.bytes("arguments"),
  }),
});

type BindingKey = [
  vhost: string,
  source: string,
  destinationKind: string,
  destination: string,
  routingKey: string,
  digest: string,
];

export const bindingRecords = new MetadataKind<BindingRecord, BindingKey>({
  name: "binding",
  keyParts: 6,
  keyOf: ({ vhost, source, destinationKind, destination, routingKey, arguments: args }) => [
    vhost,
    source,
    destinationKind,
    destination,
    routingKey,
    digestOf(args),
  ],
  toFields: ({ arguments: args }) => withoutEmpty({ arguments: args }),
  fromFields: (fields, [vhost, source, destinationKind, destination, routingKey, digest]) => {
    const args = fields.bytes("arguments");
    if (digest !== digestOf(args)) throw fields.damaged("has the arguments of another binding");
    if (destinationKind !== "queue" && destinationKind !== "exchange") {
      throw fields.damaged("leads to something unknown");
    }
    return { vhost, source, destinationKind, destination, routingKey, arguments: args };
  },
});

export const userRecords = new MetadataKind<UserRecord, [name: string]>({
  name: "user",
  keyParts: 1,
  keyOf: ({ name }) => [name],
  toFields: ({ passwordHash, hashingAlgorithm, tags, limits }) => ({
    hashingAlgorithm,
    ...withoutEmpty({ passwordHash, tags, limits }),
  }),
  fromFields: (fields, [name]) => ({
    name,
    passwordHash: fields.bytes("passwordHash"),
    hashingAlgorithm: fields.text("hashingAlgorithm"),
    tags: fields.texts("tags"),
    limits: fields.object("limits"),
  }),
});

export const permissionRecords = new MetadataKind<PermissionRecord, [vhost: string, user: string]>({
  name: "permission",
  keyParts: 2,
  keyOf: ({ vhost, user }) => [vhost, user],
  toFields: ({ configure, write, read }) => ({ configure, write, read }),
  fromFields: (fields, [vhost, user]) => ({
    vhost,
    user,
    configure: fields.text("configure"),
    write: fields.text("write"),
    read: fields.text("read"),
  }),
});

export const topicPermissionRecords = new MetadataKind<
  TopicPermissionRecord,
  [vhost: string, user: string, exchange: string]
>({
  name: "topic-permission",
  keyParts: 3,
  keyOf: ({ vhost, user, exchange }) => [vhost, user, exchange],
  toFields: ({ write, read }) => ({ write, read }),
  fromFields: (fields, [vhost, user, exchange]) => ({
    vhost,
    user,
    exchange,
    write: fields.text("write"),
    read: fields.text("read"),
  }),
});

export const policyRecords = policyKind("policy");
export const operatorPolicyRecords = policyKind("operator-policy");

export const parameterRecords = new MetadataKind<
  ParameterRecord,
  [vhost: string, component: string, name: string]
>({
  name: "parameter",
  keyParts: 3,
  keyOf: ({ vhost, component, name }) => [vhost, component, name],
  toFields: ({ value }) => ({ value }),
  fromFields: (fields, [vhost, component, name]) => ({
    vhost,
    component,
    name,
    value: fields.value("value"),
  }),
});

export const globalParameterRecords = new MetadataKind<GlobalParameterRecord, [name: string]>({
  name: "global-parameter",
  keyParts: 1,
  keyOf: ({ name }) => [name],
  toFields: ({ value }) => ({ value }),
  fromFields: (fields, [name]) => ({ name, value: fields.value("value") }),
});

const queueCounterKey = ["counter", "queue"];
const defaultDataKey = ["default-data"];

/** The highest id that any queue, or anything kept for an exchange, has ever had. */
export const queueNumberCounter = {
  /** 0 if there has been no queue. */
  read(store: MetadataStore): number {
    const { value = 0 } = store.get(queueCounterKey) ?? {};
    if (Number.isSafeInteger(value)) return value as number;
    throw new MetadataError("damaged", "The metadata's counter of queues is no number");
  },

  put(value: number): MetadataChange {
    return { key: queueCounterKey, value };
  },
};

/** Whether the default virtual host and user have yet to be made. */
export function needsDefaultData(store: MetadataStore): boolean {
  return store.get(defaultDataKey) === undefined;
}

/** To be committed once they are there. */
export function defaultDataMade(): MetadataChange {
  return { key: defaultDataKey, value: true };
}

/** The kinds whose keys begin with a virtual host. */
const kindsInVirtualHosts = [
  exchangeRecords,
  queueRecords,
  bindingRecords,
  permissionRecords,
  topicPermissionRecords,
  policyRecords,
  operatorPolicyRecords,
  parameterRecords,
];

/**
 * To be called before anything else is read: marks an empty store as one of this layout, and throws
 * a MetadataError for one that another release has laid out.
 */
export async function prepareTopology(store: MetadataStore): Promise<void> {
  const key = ["layout"];
  const found = store.get(key);
  if (found === undefined) {
    for (const entry of store.scan([])) throw unknownLayout(entry, "none");
    await store.commit([{ key, value: topologyLayout }]);
  } else if (found.value !== topologyLayout) {
    throw unknownLayout(found, JSON.stringify(found.value));
  }
}

/** The changes that remove a virtual host and everything in it. */
export function removeVirtualHost(store: MetadataStore, name: string): MetadataChange[] {
  const entries = kindsInVirtualHosts.flatMap((kind) => [...store.scan([kind.name, name])]);
  const keys = [[virtualHostRecords.name, name], ...entries.map(({ key }) => key)];
  return keys.map((key) => ({ key, value: undefined }));
}

/** The changes that remove a user and what it may do in every virtual host. */
export function removeUser(store: MetadataStore, name: string): MetadataChange[] {
  const entries = [permissionRecords, topicPermissionRecords].flatMap((kind) =>
    [...store.scan([kind.name])].filter(({ key }) => key[2] === name),
  );
  const keys = [[userRecords.name, name], ...entries.map(({ key }) => key)];
  return keys.map((key) => ({ key, value: undefined }));
}

function policyKind(kind: string): MetadataKind<PolicyRecord, [vhost: string, name: string]> {
  return new MetadataKind({
    name: kind,
    keyParts: 2,
    keyOf: ({ vhost, name }) => [vhost, name],
    toFields: ({ pattern, applyTo, priority, definition }) => ({
      pattern,
      applyTo,
      priority,
      definition,
    }),
    fromFields: (fields: FieldReader, [vhost, name]) => ({
      vhost,
      name,
      pattern: fields.text("pattern"),
      applyTo: fields.text("applyTo"),
      priority: fields.number("priority"),
      definition: fields.object("definition"),
    }),
  });
}

function digestOf(bytes: Uint8Array): string {
  if (bytes.length === 0) return "";
  return createHash("sha256").update(bytes).digest().subarray(0, 16).toString("base64url");
}

/**
 * Without what a reader takes for granted: false, "", and lists, bytes and objects without content.
 */
function withoutEmpty(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => {
      if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
      return value !== false && value !== "";
    }),
  );
}

function unknownLayout({ key }: MetadataEntry, found: string): MetadataError {
  return new MetadataError(
    "damaged",
    `The metadata has layout ${found}, not ${topologyLayout}: it was written by another release, ` +
      `or is of something else (${JSON.stringify(key)})`,
  );
}
