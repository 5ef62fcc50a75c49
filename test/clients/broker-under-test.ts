/**
 * The broker that the client conformance tests talk to. Without configuration it is HareMQ, started
 * inside the test process on a free port. With HAREMQ_TEST_URL=amqp://user:password@host:port/vhost
 * it is whatever listens there, which is how every test is first proven against RabbitMQ itself.
 */

interface StartedBroker {
  readonly url: string;
  stop(): Promise<void>;
}

export interface BrokerUnderTest {
  /** With user, password and host spelled out, since clients differ in what they assume. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  /** True when HAREMQ_TEST_URL names the broker: then it is shared, and must be left clean. */
  readonly external: boolean;
  stop(): Promise<void>;
}

export const externalUrl: string | undefined = process.env.HAREMQ_TEST_URL || undefined;

/** The reason to give `test` as `skip` for what only an in-process broker allows, or false. */
export const skipWhenExternal: string | false =
  externalUrl === undefined ? false : "needs a broker that the test may stop and start";

/**
 * Starts HareMQ on `port` (0: any) with some of RabbitMQ's settings, or describes the external
 * broker, which is as it is.
 */
export async function brokerUnderTest(
  port = 0,
  settings: Readonly<Record<string, string | number | boolean>> = {},
): Promise<BrokerUnderTest> {
  if (externalUrl !== undefined) return describe(externalUrl, true, async () => {});
  // Imported late, so that a run against another broker does not need ours to load.
  const { startBroker } = await import("haremq");
  const broker: StartedBroker = await startBroker({ port, settings });
  return describe(broker.url, false, () => broker.stop());
}

function describe(url: string, external: boolean, stop: () => Promise<void>): BrokerUnderTest {
  const parts = new URL(url);
  const username = decodeURIComponent(parts.username) || "guest";
  const password = decodeURIComponent(parts.password) || "guest";
  const port = Number(parts.port || 5672);
  const path = parts.pathname.slice(1);
  return {
    url: `amqp://${username}:${password}@${parts.hostname}:${port}${path === "" ? "" : `/${path}`}`,
    host: parts.hostname,
    port,
    username,
    password,
    vhost: path === "" ? "/" : decodeURIComponent(path),
    external,
    stop,
  };
}
