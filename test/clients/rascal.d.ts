/** As much of rascal's interface as the conformance tests use; the package brings no types. */
declare module "rascal" {
  import type { EventEmitter } from "node:events";
  import type { Message } from "amqplib";

  export interface Recovery {
    strategy: "ack" | "nack" | "republish" | "forward";
    requeue?: boolean;
    attempts?: number;
    publication?: string;
    options?: object;
  }

  export type AckOrNack = (error?: Error, recovery?: Recovery | Recovery[]) => void;

  /** Emits message (Message, content, AckOrNack), error, cancelled, redeliveries_exceeded, ... */
  export interface Subscription extends EventEmitter {
    cancel(): Promise<void>;
  }

  /** Emits success (messageId), return (Message), error (Error, messageId), paused. */
  export interface Publication extends EventEmitter {
    abort(): void;
  }

  export interface RascalBroker extends EventEmitter {
    publish(name: string, body: unknown, overrides?: object | string): Promise<Publication>;
    forward(name: string, message: Message, overrides?: object | string): Promise<Publication>;
    subscribe(name: string, overrides?: object): Promise<Subscription>;
    purge(): Promise<void>;
    nuke(): Promise<void>;
    bounce(): Promise<void>;
    shutdown(): Promise<void>;
    qualify(vhost: string, name: string): string;
  }

  const rascal: {
    BrokerAsPromised: { create(config: object): Promise<RascalBroker> };
    withTestConfig(config: object): object;
    withDefaultConfig(config: object): object;
  };
  export default rascal;
}
