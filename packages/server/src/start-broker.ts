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
import {
  Broker,
  type BrokerData,
  BrokerEvents,
  InternalDatabase,
  LogExchange,
  silentLogger,
} from "@haremq/broker";
import { SystemClock, SystemRandom } from "@haremq/kernel";
import { defaultDataMade, type MetadataStore, needsDefaultData } from "@haremq/store";
import type { BrokerConfig } from "./config/broker-config.ts";
import { formatListenerAddress, type ListenerAddress } from "./config/listener-address.ts";
import { createExchangeLog, teeLog } from "./log.ts";
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
  const logExchange = config.log.exchange.isOn
    ? new LogExchange(config.access.defaultVhost)
    : undefined;
  const ownLog = options.logger ?? silentLogger;
  const log =
    logExchange === undefined ? ownLog : teeLog(ownLog, createExchangeLog(config.log, logExchange));
  const listeners: AmqpListener[] = [];
  let broker: Broker | undefined;
  let data: BrokerData | undefined;
  const stop = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.close(stopGraceMs)));
    if (broker !== undefined) await broker.close();
    else await data?.close();
    ownClock?.stop();
  };
  try {
    const memoryBytesMax = highWatermarkBytes(config.memory, availableMemoryBytes());
    data = await openData(config, clock, random, memoryBytesMax, log);
    const events = new BrokerEvents();
    const { loopbackUsers } = config.access;
    const users = new InternalDatabase(loopbackUsers, random, data?.metadata, events);
    broker = new Broker({
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
      nodeName: nodeName(),
      events,
      eventVhost: config.eventVhost,
      logExchange,
      data,
      confirm: config.disk.confirmLevel,
    });
    await broker.ready();
    await makeDefaultData(config, broker, users, data?.metadata);
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
    // Why it could not start is what counts, whatever else may go wrong now.
    await stop().catch((second: unknown) =>
      log.error("could not stop in order", { error: second }),
    );
    throw error;
  }
}

/**
 * Makes the configured virtual host and user, unless the data directory has had them before: what
 * an operator has changed or deleted since does not come back. RabbitMQ does the same.
 */
async function makeDefaultData(
  { access }: BrokerConfig,
  broker: Broker,
  users: InternalDatabase,
  metadata: MetadataStore | undefined,
): Promise<void> {
  if (metadata !== undefined && !needsDefaultData(metadata)) return;
  const { defaultUser, defaultPassword, defaultUserTags, defaultVhost } = access;
  await broker.createVhost(defaultVhost);
  await users.addUser(defaultUser, defaultPassword, defaultUserTags);
  await users.setPermissions(defaultUser, defaultVhost, access.defaultPermissions);
  await metadata?.commit([defaultDataMade()]);
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
    consumerTimeoutMs: connection.consumerTimeoutMs,
    connectionMax: connection.connectionMax,
    backlog: connection.backlog,
    keepAlive: connection.keepAlive,
    mechanisms: access.mechanisms,
    identity: { ...identity, clusterName: identity.clusterName ?? nodeName() },
  };
}

function nodeName(): string {
  return `haremq@${hostname()}`;
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
