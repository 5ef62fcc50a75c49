/**
 * What the broker says of itself in connection.start. Some clients decide by RabbitMQ's version
 * what they may use, so `version` is that of the RabbitMQ we stand in for; ours is under
 * `haremq_version`.
 */

import { FieldTable } from "@haremq/wire";

export interface ServerIdentity {
  readonly product: string;
  /** Our own version. */
  readonly version: string;
  /** The version of RabbitMQ that clients are to see. */
  readonly rabbitmqVersion: string;
  readonly clusterName: string;
}

export function serverProperties(identity: ServerIdentity): FieldTable {
  return FieldTable.from({
    capabilities: {
      publisher_confirms: true,
      exchange_exchange_bindings: true,
      "basic.nack": true,
      consumer_cancel_notify: true,
      "connection.blocked": true,
      consumer_priorities: true,
      authentication_failure_close: true,
      per_consumer_qos: true,
      direct_reply_to: true,
    },
    cluster_name: identity.clusterName,
    copyright: "Copyright (c) the HareMQ authors",
    haremq_version: identity.version,
    information: "Licensed under the Apache License 2.0",
    platform: `Node.js ${process.versions.node}`,
    product: identity.product,
    version: identity.rabbitmqVersion,
  });
}
