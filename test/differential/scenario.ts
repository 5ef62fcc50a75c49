/** A scenario: a named sequence of steps that must show the same on every broker. */

import type { HandshakeOptions } from "@haremq/testkit";
import type { Step } from "./step.ts";

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
  readonly options: ScenarioOptions;
}

export interface ScenarioOptions {
  /** How connection "a" introduces itself; null leaves the connecting to the steps. */
  readonly handshake?: HandshakeOptions | null;
  /** Does not agree to a connection.close of the broker, so that the steps may. */
  readonly leaveCloseOpen?: boolean;
  /** The exchange type of a plugin that a RabbitMQ need not have; skipped where it is unknown. */
  readonly exchangeType?: string;
}

export interface Area {
  readonly name: string;
  readonly scenarios: readonly Scenario[];
  /** Most of its scenarios do nothing but wait for one of the broker's time limits. */
  readonly patient: boolean;
}

export function scenario(
  name: string,
  steps: readonly Step[],
  options: ScenarioOptions = {},
): Scenario {
  return { name, steps, options };
}

export function area(name: string, scenarios: readonly Scenario[], patient = false): Area {
  const names = new Set<string>();
  for (const { name: own } of scenarios) {
    if (names.has(own)) throw new Error(`two scenarios of ${name} are called ${own}`);
    names.add(own);
  }
  return { name, scenarios, patient };
}
