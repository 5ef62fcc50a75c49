/**
 * What happens in a broker that somebody outside of it may want to know: what comes and goes, who
 * logs in, what operators change. Told where it happens, at once, to whoever listens; the event
 * exchange does (event-exchange.ts).
 *
 * Most brokers have no listener, so nobody makes an event before he has asked `isHeard`. Events
 * refer to what they tell of, which goes on changing: a listener reads it before it returns, and
 * does nothing to the broker before whoever told it is done.
 */

import type { PermissionPatterns } from "../access/internal-database.ts";
import type { Consumer } from "../consumer/consumer.ts";
import type { Binding } from "../exchange/binding.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { JsonValue } from "../parameter/json-value.ts";
import type { Policy } from "../policy/policy.ts";
import type { PolicyAudience } from "../policy/policy-table.ts";
import type { Queue } from "../queue/queue.ts";
import type { VirtualHostMetadata } from "../vhost/virtual-host-metadata.ts";
import type { Shortage } from "./alarms.ts";
import type { ConnectionDetails, ConnectionEnds } from "./connection-details.ts";

/** Who does what nobody has asked for. RabbitMQ's word. */
export const internalUser = "rmq-internal";

interface ConnectionEvent {
  readonly connection: ConnectionDetails;
}

interface ChannelEvent extends ConnectionEvent {
  /** Its number. */
  readonly channel: number;
}

interface ConsumerEvent extends ChannelEvent {
  readonly consumer: Consumer;
  readonly by: string;
}

interface QueueEvent {
  readonly vhost: string;
  readonly queue: Queue;
  readonly by: string;
}

interface ExchangeEvent {
  readonly vhost: string;
  readonly exchange: Exchange;
  readonly by: string;
}

interface BindingEvent {
  readonly vhost: string;
  readonly binding: Binding<Queue>;
  readonly by: string;
}

interface PolicyEvent {
  readonly vhost: string;
  readonly audience: PolicyAudience;
  readonly policy: Policy;
}

interface ParameterEvent {
  /** Undefined for a global parameter. */
  readonly vhost: string | undefined;
  readonly component: string;
  readonly name: string;
}

interface LoginEvent {
  readonly user: string;
  readonly mechanism: string;
  readonly protocol: readonly number[];
  readonly ends: ConnectionEnds;
}

interface EventsByType {
  "connection.created": ConnectionEvent;
  "connection.closed": ConnectionEvent;
  "channel.created": ChannelEvent;
  "channel.closed": ChannelEvent;
  "consumer.created": ConsumerEvent;
  "consumer.deleted": ConsumerEvent;
  "queue.created": QueueEvent;
  "queue.deleted": QueueEvent;
  "exchange.created": ExchangeEvent;
  "exchange.deleted": ExchangeEvent;
  "binding.created": BindingEvent;
  "binding.deleted": BindingEvent;
  "vhost.created": {
    readonly name: string;
    readonly metadata: VirtualHostMetadata;
  };
  "user.created": { readonly name: string };
  "user.deleted": { readonly name: string };
  "user.limits.set": { readonly name: string; readonly limits: Readonly<Record<string, number>> };
  "user.limits.cleared": { readonly name: string };
  "permission.created": PermissionPatterns & { readonly user: string; readonly vhost: string };
  "permission.deleted": { readonly user: string; readonly vhost: string };
  "policy.set": PolicyEvent;
  "policy.cleared": PolicyEvent;
  "parameter.set": ParameterEvent & { readonly value: JsonValue };
  "parameter.cleared": ParameterEvent;
  "user.authentication.success": LoginEvent;
  "user.authentication.failure": LoginEvent & { readonly reason: string };
  "alarm.set": { readonly source: Shortage };
  "alarm.cleared": { readonly source: Shortage };
}

export type BrokerEventType = keyof EventsByType;

export type BrokerEvent = {
  [Type in BrokerEventType]: EventsByType[Type] & { readonly type: Type };
}[BrokerEventType];

export type BrokerEventListener = (event: BrokerEvent) => void;

export class BrokerEvents {
  readonly #listeners = new Set<BrokerEventListener>();
  #isHeard = false;

  /** A listener has failed. Whoever told it goes on. */
  onFailure: (error: unknown) => void = () => undefined;

  /** Whether an event is worth making. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  tell(event: BrokerEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.onFailure(error);
      }
    }
  }

  /** Returns what ends the listening. */
  listen(listener: BrokerEventListener): () => void {
    this.#listeners.add(listener);
    this.#isHeard = true;
    return () => {
      this.#listeners.delete(listener);
      this.#isHeard = this.#listeners.size > 0;
    };
  }
}
