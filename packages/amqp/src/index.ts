/** The door of the AMQP 0-9-1 adapter. */

export { AmqpListener, type ListenAddress } from "./amqp-listener.ts";
export type { ServerIdentity } from "./server-properties.ts";
export { type AmqpSettings, defaultAmqpSettings } from "./settings.ts";
