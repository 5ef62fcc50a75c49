/**
 * The built-in user database: users with permissions per virtual host, in memory and, where there
 * is a metadata store, on disk as well. A change holds once it has been saved; it is loaded again
 * at the start. Passwords are kept as salted SHA-256 in RabbitMQ's layout (salt of 4 bytes, then
 * the hash of salt and password).
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { KeyedTurns, type Random } from "@haremq/kernel";
import {
  type MetadataChange,
  type MetadataStore,
  permissionRecords,
  removeUser,
  userRecords,
} from "@haremq/store";
import type { ResourceKind } from "../errors.ts";
import { BrokerEvents } from "../events/broker-events.ts";
import type { JsonValue } from "../parameter/json-value.ts";
import { checkLimits, limitOf } from "../parameter/limit-check.ts";
import { ParameterError } from "../parameter/parameter-error.ts";
import type {
  Authenticator,
  Authorizer,
  Credentials,
  LoginResult,
  Peer,
  Permission,
  User,
  UserLimits,
} from "./access.ts";

/** Patterns over resource names, as operators write them; an empty pattern matches nothing. */
export interface PermissionPatterns {
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}

interface Account {
  readonly user: User;
  readonly passwordHash: Buffer;
  readonly permissions: Map<string, Record<Permission, RegExp>>;
  limits: LimitsByName;
}

type LimitsByName = Readonly<Record<string, number>>;

const limitNames = ["max-connections", "max-channels"];

const saltBytes = 4;
const hashBytes = 32;
const hashingAlgorithm = "rabbit_password_hashing_sha256";

export class InternalDatabase implements Authenticator, Authorizer {
  readonly #accounts = new Map<string, Account>();
  readonly #loopbackUsers: ReadonlySet<string>;
  readonly #random: Random;
  readonly #store: MetadataStore | undefined;
  readonly #events: BrokerEvents;
  readonly #turns = new KeyedTurns();
  epoch = 0;

  /** Begins with the users of the store, if there is one. */
  constructor(
    loopbackUsers: Iterable<string>,
    random: Random,
    store?: MetadataStore,
    events = new BrokerEvents(),
  ) {
    this.#loopbackUsers = new Set(loopbackUsers);
    this.#random = random;
    this.#store = store;
    this.#events = events;
    if (store !== undefined) this.#load(store);
  }

  #load(store: MetadataStore): void {
    for (const { name, tags, ...record } of userRecords.scan(store)) {
      // A hash of another kind is one that no password has here.
      const isOurs = record.hashingAlgorithm === hashingAlgorithm;
      const passwordHash = isOurs ? Buffer.from(record.passwordHash) : Buffer.alloc(0);
      this.#accounts.set(name, {
        user: { name, tags },
        passwordHash,
        permissions: new Map(),
        limits: record.limits as LimitsByName,
      });
    }
    for (const { vhost, user, ...patterns } of permissionRecords.scan(store)) {
      this.#accounts.get(user)?.permissions.set(vhost, compileAll(patterns));
    }
  }

  /** A user of that name who is there already is replaced, and may do nothing any more. */
  async addUser(name: string, password: string, tags: readonly string[]): Promise<void> {
    const passwordHash = hashPassword(this.#random.bytes(saltBytes), password);
    const user = { name, tags: [...tags] };
    const record = { ...user, passwordHash, hashingAlgorithm, limits: {} };
    await this.#change(
      name,
      // In this order, so that what is put is not removed.
      (store) => [...removeUser(store, name), userRecords.put(record)],
      () => this.#accounts.set(name, { user, passwordHash, permissions: new Map(), limits: {} }),
    );
    if (this.#events.isHeard) this.#events.tell({ type: "user.created", name });
  }

  /** Resolves to false if there was no such user. */
  async deleteUser(name: string): Promise<boolean> {
    let wasThere = false;
    await this.#change(
      name,
      (store) => removeUser(store, name),
      () => {
        wasThere = this.#accounts.delete(name);
      },
    );
    if (wasThere && this.#events.isHeard) this.#events.tell({ type: "user.deleted", name });
    return wasThere;
  }

  /** What a user may do in a virtual host from now on. */
  async setPermissions(name: string, vhost: string, patterns: PermissionPatterns): Promise<void> {
    const compiled = compileAll(patterns);
    const { configure, write, read } = patterns;
    await this.#change(
      name,
      () => {
        this.#accountOf(name);
        return [permissionRecords.put({ vhost, user: name, configure, write, read })];
      },
      () => this.#accountOf(name).permissions.set(vhost, compiled),
    );
    if (!this.#events.isHeard) return;
    this.#events.tell({ type: "permission.created", user: name, vhost, configure, write, read });
  }

  /** The user may not enter the virtual host any more. */
  async clearPermissions(name: string, vhost: string): Promise<void> {
    await this.#change(
      name,
      () => [permissionRecords.removeAt(vhost, name)],
      () => this.#accounts.get(name)?.permissions.delete(vhost),
    );
    if (this.#events.isHeard) {
      this.#events.tell({ type: "permission.deleted", user: name, vhost });
    }
  }

  /** What limits were set for a user, by name. */
  limitsByName(name: string): LimitsByName {
    return { ...this.#accountOf(name).limits };
  }

  /**
   * Limits what a user may have open from now on; a negative limit is none. Throws a ParameterError
   * for what is no limit.
   */
  async setLimit(name: string, limit: string, value: JsonValue): Promise<void> {
    const complaints = checkLimits({ [limit]: value }, limitNames, "user-limits");
    if (complaints.length > 0) throw new ParameterError(complaints.join("\n"));
    await this.#changeLimits(name, (limits) => ({ ...limits, [limit]: value as number }));
    if (!this.#events.isHeard) return;
    this.#events.tell({ type: "user.limits.set", name, limits: this.limitsByName(name) });
  }

  async clearLimit(name: string, limit: string): Promise<void> {
    await this.#changeLimits(name, ({ [limit]: _cleared, ...others }) => others);
    if (this.#events.isHeard) this.#events.tell({ type: "user.limits.cleared", name });
  }

  async #changeLimits(name: string, make: (limits: LimitsByName) => LimitsByName): Promise<void> {
    await this.#change(
      name,
      (store) => {
        const record = userRecords.get(store, name);
        if (record === undefined) return [];
        return [userRecords.put({ ...record, limits: make(this.#accountOf(name).limits) })];
      },
      () => {
        const account = this.#accountOf(name);
        account.limits = make(account.limits);
      },
    );
  }

  /** Saves a change, then lets it hold. Changes of the same user take turns. */
  async #change(
    user: string,
    changesIn: (store: MetadataStore) => MetadataChange[],
    apply: () => void,
  ): Promise<void> {
    const store = this.#store;
    if (store === undefined) {
      apply();
      this.epoch++;
      return;
    }
    await this.#turns.take(user, async () => {
      await store.commit(changesIn(store));
      apply();
      this.epoch++;
    });
  }

  #accountOf(name: string): Account {
    const account = this.#accounts.get(name);
    if (account === undefined) throw new Error(`no such user: ${name}`);
    return account;
  }

  async authenticate({ user: name, password }: Credentials, peer: Peer): Promise<LoginResult> {
    // A user may have a blank password, so as not to log in with one; RabbitMQ does the same.
    if (password === "") return refusal(`user '${name}' may not log in with a blank password`);
    const account = this.#accounts.get(name);
    if (account === undefined || !passwordMatches(account.passwordHash, password)) {
      return refusal(`user '${name}' - invalid credentials`);
    }
    if (this.#loopbackUsers.has(name) && !peer.isLoopback) {
      return refusal(`user '${name}' can only connect via localhost`);
    }
    return { ok: true, user: account.user };
  }

  limitsOf(user: User): UserLimits {
    const limits = this.#accounts.get(user.name)?.limits;
    return {
      maxConnections: limitOf(limits, "max-connections"),
      maxChannels: limitOf(limits, "max-channels"),
    };
  }

  mayEnter(user: User, vhost: string): boolean {
    return this.#accounts.get(user.name)?.permissions.has(vhost) === true;
  }

  may(
    user: User,
    permission: Permission,
    vhost: string,
    _kind: ResourceKind,
    name: string,
  ): boolean {
    const patterns = this.#accounts.get(user.name)?.permissions.get(vhost);
    // The default exchange has no name of its own to write a pattern for.
    return patterns?.[permission].test(name === "" ? "amq.default" : name) === true;
  }

  /** There are no topic permissions yet, and without any RabbitMQ allows every key. */
  mayUseTopic(): boolean {
    return true;
  }
}

function refusal(reason: string): LoginResult {
  return { ok: false, reason };
}

/** The salt, then the hash of salt and password: what RabbitMQ keeps and exports. */
export function hashPassword(salt: Buffer, password: string): Buffer {
  const hash = createHash("sha256").update(salt).update(password, "utf8").digest();
  return Buffer.concat([salt, hash]);
}

function passwordMatches(stored: Buffer, password: string): boolean {
  if (stored.length !== saltBytes + hashBytes) return false;
  return timingSafeEqual(stored, hashPassword(stored.subarray(0, saltBytes), password));
}

function compileAll(patterns: PermissionPatterns): Record<Permission, RegExp> {
  return {
    configure: compile(patterns.configure),
    write: compile(patterns.write),
    read: compile(patterns.read),
  };
}

/**
 * Operators write patterns as for RabbitMQ, where any punctuation may be escaped. In JavaScript
 * only some may, so the rest is written as a number, which means the same inside and outside of a
 * class.
 */
function compile(pattern: string): RegExp {
  if (pattern === "") return /^$/;
  const source = pattern.replace(
    /\\(?:([-_!"#%&',:;<=>@`~])|.)/gs,
    (escaped: string, punctuation?: string) =>
      punctuation === undefined ? escaped : `\\x${punctuation.charCodeAt(0).toString(16)}`,
  );
  return new RegExp(source, "u");
}
