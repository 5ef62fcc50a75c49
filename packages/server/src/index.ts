/** The door of HareMQ for those who embed it. */

export { VirtualClock } from "@haremq/kernel";
export { ConfigError } from "./config/config-error.ts";
export { type RunningBroker, startBroker } from "./start-broker.ts";
export type { StartOptions } from "./start-options.ts";
export { version } from "./version.ts";
