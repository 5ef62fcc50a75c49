/** A broker without sockets for tests of its facade and of sessions, and short ways to ask it. */

import { SeededRandom, VirtualClock } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";
import { InternalDatabase, type PermissionPatterns } from "../src/access/internal-database.ts";
import { type BrokerLimits, defaultLimits } from "../src/access/limits.ts";
import { Broker } from "../src/broker.ts";
import { ChannelError, ConnectionError } from "../src/errors.ts";
import { silentLogger } from "../src/events/logger.ts";
import type { Exchange } from "../src/exchange/exchange.ts";
import type { Queue } from "../src/queue/queue.ts";
import type {
  BindingDeclaration,
  ExchangeDeclaration,
  NewConsumer,
  QueueDeclaration,
  Session,
} from "../src/vhost/session.ts";

export const allPermissions: PermissionPatterns = { configure: ".*", write: ".*", read: ".*" };

export interface GivenBroker {
  readonly broker: Broker;
  readonly clock: VirtualClock;
  readonly users: InternalDatabase;
  /** Another connection of the user, who may do everything unless permissions are given. */
  connect(user?: string, permissions?: PermissionPatterns): Session;
}

/** A broker with the virtual host "/". */
export function givenBroker(limits: Partial<BrokerLimits> = {}): GivenBroker {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const users = new InternalDatabase([], random);
  const broker = new Broker({
    clock,
    random,
    authenticator: users,
    authorizer: users,
    limits: { ...defaultLimits, ...limits },
    log: silentLogger,
  });
  broker.createVhost("/");
  const connect = (user = "u", permissions = allPermissions): Session => {
    const known = { name: user, tags: [] };
    if (!users.mayEnter(known, "/")) void users.addUser(user, "secret", []);
    void users.setPermissions(user, "/", permissions);
    return broker.openSession(known, "/");
  };
  return { broker, clock, users, connect };
}

export function exchangeNamed(
  name: string,
  given: Partial<ExchangeDeclaration> = {},
): ExchangeDeclaration {
  const flags = { durable: false, autoDelete: false, internal: false };
  return { name, type: "direct", ...flags, arguments: new FieldTable(), ...given };
}

export function queueNamed(name: string, given: Partial<QueueDeclaration> = {}): QueueDeclaration {
  const flags = { durable: false, exclusive: false, autoDelete: false };
  return { name, ...flags, arguments: new FieldTable(), ...given };
}

export function bindingFrom(
  source: string,
  destinationKind: "queue" | "exchange",
  destination: string,
  given: Partial<BindingDeclaration> = {},
): BindingDeclaration {
  const rest = { routingKey: "", arguments: new FieldTable() };
  return { source, destinationKind, destination, ...rest, ...given };
}

/** What a consumer asks for: nothing special unless given. */
export function consumerThat(given: Partial<NewConsumer> = {}): NewConsumer {
  return {
    tag: "",
    exclusive: false,
    noAck: false,
    prefetch: 0,
    arguments: new FieldTable(),
    ...given,
  };
}

/**
 * How a verb ends: "ok", or what was refused, as "channel NOT_FOUND no queue 'q' in vhost '/'" and
 * the like.
 */
export async function outcomeOf(verb: () => unknown): Promise<string> {
  try {
    await verb();
    return "ok";
  } catch (error) {
    if (error instanceof ChannelError) return `channel ${error.condition} ${error.message}`;
    if (error instanceof ConnectionError) return `connection ${error.condition} ${error.message}`;
    throw error;
  }
}

/** The names of everything that was declared in a session's virtual host. */
export function declaredIn({ vhost }: Session): { exchanges: string[]; queues: string[] } {
  const names = (each: Iterable<Exchange | Queue>): string[] =>
    [...each].map(({ name }) => name).filter((name) => name !== "" && !/^amq\.[a-z]/.test(name));
  return {
    exchanges: names(vhost.topology.exchanges()),
    queues: names(vhost.topology.queues()),
  };
}
