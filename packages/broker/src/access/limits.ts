/**
 * The bounds on what one client may ask for, with RabbitMQ's defaults. Given once, to the broker;
 * adapters read them from there.
 */

export interface BrokerLimits {
  /** The largest message body that is taken. */
  readonly messageBytesMax: number;
  /** Consumers on one channel; 0 for no limit. */
  readonly channelConsumersMax: number;
  /** Memory that queued messages may occupy before publishers are blocked. */
  readonly memoryBytesMax: number;
  /** Free space on the disk below which publishers are blocked. */
  readonly diskFreeBytesMin: number;
}

export const defaultLimits: BrokerLimits = {
  messageBytesMax: 134_217_728,
  channelConsumersMax: 0,
  memoryBytesMax: Number.POSITIVE_INFINITY,
  diskFreeBytesMin: 50_000_000,
};
