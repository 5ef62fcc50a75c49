/**
 * The topic exchange `amq.rabbitmq.log`, to which the broker's log goes besides wherever else it
 * goes: routing keys are the levels, a message's body is a line as the log has it. Whoever writes
 * the log gives it every line (server/log.ts); the broker connects it once there is one. What is
 * said before that, and about publishing to it, is not published.
 */

import type { Clock } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";
import type { VirtualHost } from "../vhost/virtual-host.ts";
import type { InternalPublisher } from "./internal-publisher.ts";

export const logExchangeName = "amq.rabbitmq.log";

export interface LogLine {
  readonly level: string;
  readonly text: string;
  /** text/plain, or application/json for a line of JSON. */
  readonly contentType: string;
}

export interface LogExchangeOptions {
  readonly publisher: InternalPublisher;
  readonly clock: Clock;
  readonly node: string;
  vhost(): VirtualHost | undefined;
}

export class LogExchange {
  /** The virtual host that has the exchange. */
  readonly vhost: string;
  #options: LogExchangeOptions | undefined;

  constructor(vhost: string) {
    this.vhost = vhost;
  }

  connect(options: LogExchangeOptions): void {
    this.#options = options;
  }

  write({ level, text, contentType }: LogLine): void {
    const options = this.#options;
    if (options === undefined || options.publisher.isPublishing) return;
    const vhost = options.vhost();
    const exchange = vhost?.exchange(logExchangeName);
    if (vhost === undefined || exchange === undefined || !vhost.topology.isSource(exchange)) return;
    const headers = FieldTable.from({ node: options.node });
    const timestamp = Math.floor(options.clock.wallMs() / 1000);
    options.publisher.publish({
      vhost,
      exchange: logExchangeName,
      routingKey: level,
      properties: { contentType, headers, timestamp },
      body: Buffer.from(text),
    });
  }
}
