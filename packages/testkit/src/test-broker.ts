/**
 * The broker a test runs against: HareMQ inside the test process, on a port of its own, or, where
 * HAREMQ_URL is set, whatever listens there (which is how tests are proven against RabbitMQ).
 */

import type { RunningBroker } from "haremq";

export interface TestBroker {
  readonly url: string;
  /** HareMQ itself, if it is that. */
  readonly running?: RunningBroker;
  stop(): Promise<void>;
}

export async function startTestBroker(url = process.env.HAREMQ_URL): Promise<TestBroker> {
  if (url) return { url, stop: async () => {} };
  // Imported late, so that a run against another broker does not need ours to load.
  const { startBroker } = await import("haremq");
  const running = await startBroker({ port: 0 });
  return { url: running.url, running, stop: () => running.stop() };
}
