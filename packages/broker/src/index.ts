/** The door of the broker core: what adapters and the composition root may use. */

export { type ConfirmLevel, RecordKind } from "@haremq/store";

export type {
  Authenticator,
  Authorizer,
  Credentials,
  LoginResult,
  Peer,
  Permission,
  User,
} from "./access/access.ts";
export { InternalDatabase, type PermissionPatterns } from "./access/internal-database.ts";
export { type BrokerLimits, defaultLimits } from "./access/limits.ts";
export { Broker, type BrokerOptions, type VirtualHostSettings } from "./broker.ts";
export { BrokerData, type BrokerDataOptions } from "./broker-data.ts";
export {
  Consumer,
  type ConsumerOptions,
  type ConsumerSink,
  unlimitedCredit,
} from "./consumer/consumer.ts";
export { checkConsumerArguments, consumerPriority } from "./consumer/consumer-arguments.ts";
export { DeliveryLedger } from "./consumer/delivery-ledger.ts";
export * from "./errors.ts";
export { Alarms, type Shortage } from "./events/alarms.ts";
export {
  type BrokerEvent,
  type BrokerEventListener,
  BrokerEvents,
  internalUser,
} from "./events/broker-events.ts";
export type { ConnectionDetails, ConnectionEnds } from "./events/connection-details.ts";
export { Firehose, type TracedChannel } from "./events/firehose.ts";
export { LogExchange } from "./events/log-exchange.ts";
export { type LogFields, type Logger, silentLogger } from "./events/logger.ts";
export type { Exchange } from "./exchange/exchange.ts";
export {
  type MessageKeeper,
  type MessageTap,
  Passage,
  type TapActions,
  type TappedMessage,
  type TapReceipt,
  TapStage,
  TapVerdict,
} from "./exchange/message-tap.ts";
export type { Route } from "./exchange/route.ts";
export { encodeBlindCopies } from "./message/blind-copies.ts";
export { copyBytes } from "./message/copy-bytes.ts";
export { DirectReplies, type ReplyTarget, replyQueueName } from "./message/direct-replies.ts";
export { checkExpiration } from "./message/expiration.ts";
export { addressOf } from "./message/message-address.ts";
export {
  MessageStore,
  propertiesBytesMax,
  type SafetyWaiter,
  Viewed,
} from "./message/message-store.ts";
export { noTerms, priorityOf, termsOf } from "./message/message-terms.ts";
export { MessageView, noBlindCopies, unstored } from "./message/message-view.ts";
export { ParameterError } from "./parameter/parameter-error.ts";
export {
  EffectivePolicy,
  noPolicy,
  type PolicyDefinition,
  type PolicyValue,
} from "./policy/effective-policy.ts";
export type { Policy, PolicyInput, PolicyScope, PolicySpec } from "./policy/policy.ts";
export type { PolicyTable } from "./policy/policy-table.ts";
export { Distributed, distribute, survivesIn, tellArrival } from "./queue/distribute.ts";
export type { PulledMessage, Queue, QueueCounts } from "./queue/queue.ts";
export type { Distribution, StoreStats } from "./store-stats.ts";
export { erlangPair, erlangTerm, fieldTypeName } from "./vhost/field-text.ts";
export { Session } from "./vhost/session.ts";
export type { VirtualHost } from "./vhost/virtual-host.ts";
