/** The client's door: an AMQP 0-9-1 client for RabbitMQ and HareMQ. Begin with `connect`. */

export { FieldTable, type FieldValue, fieldText, type Properties } from "@haremq/wire";
export { type Acknowledgeable, Channel, type PublishOptions } from "./channel.ts";
export type { ChannelEvents } from "./channel-core.ts";
export { connect } from "./connect.ts";
export type { ConnectOptions, SaslMechanism } from "./connect-options.ts";
export { Connection, type ConnectionEvents } from "./connection.ts";
export { type ConsumeOptions, Consumer, type DeliveryHandler } from "./consumer.ts";
export {
  AmqpError,
  type AmqpErrorScope,
  ClosedError,
  ConnectError,
  ConnectionLostError,
  PublishNackedError,
  PublishReturnedError,
} from "./errors.ts";
export type { Tuning } from "./handshake.ts";
export {
  Delivery,
  GetMessage,
  type PublishProperties,
  ReturnedMessage,
  type Table,
} from "./message.ts";
export type { PreparedPublish } from "./prepared-publish.ts";
export type { ExchangeDeclareOptions, QueueDeclareOptions } from "./topology-channel.ts";
export { parseUri } from "./uri.ts";
