/**
 * How many connections and queues a virtual host may have. Kept as the runtime parameter that
 * RabbitMQ keeps them as, so that they can be set either way: of the component vhost-limits, and
 * named limits. Sessions ask whenever one begins or declares a queue.
 */

import type { JsonValue } from "./json-value.ts";
import { checkLimits, limitOf } from "./limit-check.ts";
import type { ParameterComponent } from "./parameter-components.ts";
import type { RuntimeParameters } from "./runtime-parameters.ts";

export const limitsComponent = "vhost-limits";
const parameterName = "limits";
const limitNames = ["max-connections", "max-queues"];

export const virtualHostLimits: ParameterComponent = {
  check(name, value) {
    if (name !== parameterName) return [`name not recognised: ${name}`];
    return checkLimits(value, limitNames, parameterName);
  },
};

export class VirtualHostLimits {
  readonly #parameters: RuntimeParameters;

  constructor(parameters: RuntimeParameters) {
    this.#parameters = parameters;
  }

  /** Undefined for no limit. */
  get maxConnections(): number | undefined {
    return limitOf(this.#all, "max-connections");
  }

  /** Undefined for no limit. */
  get maxQueues(): number | undefined {
    return limitOf(this.#all, "max-queues");
  }

  /** What was set, by name. */
  toObject(): Readonly<Record<string, JsonValue>> {
    return { ...(this.#all as Readonly<Record<string, JsonValue>>) };
  }

  /** A negative limit is none. Throws a ParameterError for what is no limit. */
  async set(name: string, value: JsonValue): Promise<void> {
    await this.#change((limits) => ({ ...limits, [name]: value }));
  }

  async clear(name: string): Promise<void> {
    await this.#change(({ [name]: _cleared, ...others }) => others);
  }

  async #change(
    make: (limits: Readonly<Record<string, JsonValue>>) => Readonly<Record<string, JsonValue>>,
  ): Promise<void> {
    await this.#parameters.change(limitsComponent, parameterName, (before) =>
      make((before ?? {}) as Readonly<Record<string, JsonValue>>),
    );
  }

  get #all(): JsonValue | undefined {
    return this.#parameters.get(limitsComponent, parameterName);
  }
}
