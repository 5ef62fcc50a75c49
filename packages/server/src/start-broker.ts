/**
 * The composition root: makes a broker, its user database and its listeners out of a configuration.
 * The haremq command calls it, and so does everybody who embeds a broker in a process of their own:
 *
 *     const broker = await startBroker({ port: 0 });
 *     ... connect to broker.url ...
 *     await broker.stop();
 */

import { hostname } from "node:os";
import { AmqpListener, type AmqpSettings } from "@haremq/amqp";
import { Broker, InternalDatabase, silentLogger } from "@haremq/broker";
import { SystemClock, SystemRandom } from "@haremq/kernel";
import type { BrokerConfig } from "./config/broker-config.ts";
import { formatListenerAddress, type ListenerAddress } from "./config/listener-address.ts";
import { availableMemoryBytes, diskFreeLimitBytes, highWatermarkBytes } from "./memory-limit.ts";
import { openData } from "./open-data.ts";
import { resolveOptions, type StartOptions } from "./start-options.ts";

/** How long clients may take to answer connection.close when the broker stops. */
const stopGraceMs = 5000;

/** A broker in this process. */
export interface RunningBroker {
  /** Where its clients connect, as the default user. */
  readonly url: string;
  /** The AMQP port. */
  readonly port: number;
  /** The core, for those who want to look inside or to add users. */
  readonly broker: Broker;
  /** The built-in user database. */
  readonly users: InternalDatabase;
  /** Open sockets of clients, those in their handshake included. */
  readonly connectionCount: number;
  /** Tells every client, closes everything; resolves when nothing is left. */
  stop(): Promise<void>;
}

export async function startBroker(options: StartOptions = {}): Promise<RunningBroker> {
  const { config } = resolveOptions(options);
  const ownClock = options.clock === undefined ? new SystemClock() : undefined;
  const clock = options.clock ?? ownClock!;
  const random = new SystemRandom();
  const users = createUsers(config, random);
  const log = options.logger ?? silentLogger;
  const memoryBytesMax = highWatermarkBytes(config.memory, availableMemoryBytes());
  const data = await openData(config, clock, memoryBytesMax, log);
  const broker = new Broker({
    clock,
    random,
    authenticator: users,
    authorizer: users,
    limits: {
      messageBytesMax: config.maxMessageSizeBytes,
      channelConsumersMax: config.connection.consumerMaxPerChannel,
      memoryBytesMax,
      diskFreeBytesMin: diskFreeLimitBytes(config.disk, availableMemoryBytes()),
    },
    log,
    data,
  });
  await broker.createVhost(config.access.defaultVhost);
  const listeners: AmqpListener[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.close(stopGraceMs)));
    await broker.close();
    ownClock?.stop();
  };
  try {
    const port = await listen(broker, config, listeners);
    return {
      url: urlOf(config, port),
      port,
      broker,
      users,
      get connectionCount() {
        return listeners.reduce((sum, listener) => sum + listener.connectionCount, 0);
      },
      stop: once(stop),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function createUsers(config: BrokerConfig, random: SystemRandom): InternalDatabase {
  const { access } = config;
  const users = new InternalDatabase(access.loopbackUsers, random);
  users.addUser(access.defaultUser, access.defaultPassword, access.defaultUserTags);
  users.setPermissions(access.defaultUser, access.defaultVhost, access.defaultPermissions);
  return users;
}

/** Opens every listener; returns the port of the first. */
async function listen(
  broker: Broker,
  config: BrokerConfig,
  listeners: AmqpListener[],
): Promise<number> {
  const settings = amqpSettings(config);
  const open = async (address: ListenerAddress): Promise<number> => {
    const listener = new AmqpListener(broker, settings);
    const port = await listener.listen(address);
    listeners.push(listener);
    broker.log.info(`listening for AMQP 0-9-1 on ${formatListenerAddress({ ...address, port })}`);
    return port;
  };
  let firstPort = 0;
  for (const address of config.listeners) {
    const isLocalhost = address.host === "localhost";
    const port = await open(isLocalhost ? { ...address, host: "127.0.0.1" } : address);
    if (firstPort === 0) firstPort = port;
    // Localhost has two addresses, of which the second is not to be had everywhere.
    if (isLocalhost) await open({ host: "::1", port }).catch(() => undefined);
  }
  return firstPort;
}

function amqpSettings(config: BrokerConfig): AmqpSettings {
  const { connection, identity, access } = config;
  return {
    frameMaxBytes: connection.frameMaxBytes,
    initialFrameMaxBytes: connection.initialFrameMaxBytes,
    channelMax: connection.channelMax,
    heartbeatSeconds: connection.heartbeatSeconds,
    handshakeTimeoutMs: connection.handshakeTimeoutMs,
    connectionMax: connection.connectionMax,
    backlog: connection.backlog,
    keepAlive: connection.keepAlive,
    mechanisms: access.mechanisms,
    identity: { ...identity, clusterName: identity.clusterName ?? `haremq@${hostname()}` },
  };
}

function urlOf(config: BrokerConfig, port: number): string {
  const { defaultUser, defaultPassword, defaultVhost } = config.access;
  const host = reachableHost(config.listeners[0]);
  const path = defaultVhost === "/" ? "" : `/${encodeURIComponent(defaultVhost)}`;
  const user = encodeURIComponent(defaultUser);
  return `amqp://${user}:${encodeURIComponent(defaultPassword)}@${host}:${port}${path}`;
}

function reachableHost(address: ListenerAddress | undefined): string {
  const host = address?.host;
  if (host === undefined || /^(localhost|0\.0\.0\.0|::)$/.test(host)) return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}

/** Whoever calls again waits for the first call. */
function once(work: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}
