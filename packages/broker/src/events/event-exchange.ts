/**
 * Publishes the events of a broker to the topic exchange `amq.rabbitmq.event`, as RabbitMQ's plugin
 * of that name does: routing keys such as `queue.created`, everything else in headers, no body. The
 * exchange is there if the configuration names a virtual host for it.
 */

import type { Clock } from "@haremq/kernel";
import { persistentMode } from "../message/message-view.ts";
import type { VirtualHost } from "../vhost/virtual-host.ts";
import type { BrokerEvent, BrokerEvents } from "./broker-events.ts";
import { eventMessages } from "./event-messages.ts";
import type { InternalPublisher } from "./internal-publisher.ts";

export const eventExchange = "amq.rabbitmq.event";

const noBody = Buffer.alloc(0);

export interface EventExchangeOptions {
  readonly publisher: InternalPublisher;
  readonly clock: Clock;
  readonly node: string;
  vhost(): VirtualHost | undefined;
}

/** Begins to publish. */
export function publishEvents(events: BrokerEvents, options: EventExchangeOptions): void {
  events.listen((event) => publishEvent(event, options));
}

function publishEvent(event: BrokerEvent, options: EventExchangeOptions): void {
  const { publisher, clock, node } = options;
  const vhost = options.vhost();
  const exchange = vhost?.exchange(eventExchange);
  if (vhost === undefined || exchange === undefined || !vhost.topology.isSource(exchange)) return;
  const wallMs = Math.floor(clock.wallMs());
  const timestamp = Math.floor(wallMs / 1000);
  for (const { routingKey, headers } of eventMessages(event, node, wallMs)) {
    const properties = { deliveryMode: persistentMode, timestamp, headers };
    publisher.publish({ vhost, exchange: eventExchange, routingKey, properties, body: noBody });
  }
}
