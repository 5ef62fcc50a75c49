/**
 * The built-in user database: users with permissions per virtual host, in memory. It starts with one
 * default user, guest unless configured otherwise, who may only log in from loopback. Passwords are
 * kept as salted SHA-256 in RabbitMQ's layout (salt of 4 bytes, then the hash of salt and password).
 */

import { createHash, timingSafeEqual } from "node:crypto";
import type { Random } from "@haremq/kernel";
import type { ResourceKind } from "../errors.ts";
import type {
  Authenticator,
  Authorizer,
  Credentials,
  LoginResult,
  Peer,
  Permission,
  User,
} from "./access.ts";

/** Patterns over resource names, as operators write them; an empty pattern matches nothing. */
export interface PermissionPatterns {
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}

interface Account extends User {
  readonly passwordHash: Buffer;
  readonly permissions: Map<string, Record<Permission, RegExp>>;
}

const saltBytes = 4;

export class InternalDatabase implements Authenticator, Authorizer {
  readonly #accounts = new Map<string, Account>();
  readonly #loopbackUsers: ReadonlySet<string>;
  readonly #random: Random;
  epoch = 0;

  constructor(loopbackUsers: Iterable<string>, random: Random) {
    this.#loopbackUsers = new Set(loopbackUsers);
    this.#random = random;
  }

  addUser(name: string, password: string, tags: readonly string[]): void {
    const salt = this.#random.bytes(saltBytes);
    const passwordHash = Buffer.concat([salt, hashPassword(salt, password)]);
    this.#accounts.set(name, { name, tags, passwordHash, permissions: new Map() });
    this.epoch++;
  }

  setPermissions(user: string, vhost: string, patterns: PermissionPatterns): void {
    const account = this.#accounts.get(user);
    if (account === undefined) throw new Error(`no such user: ${user}`);
    account.permissions.set(vhost, {
      configure: compile(patterns.configure),
      write: compile(patterns.write),
      read: compile(patterns.read),
    });
    this.epoch++;
  }

  async authenticate(credentials: Credentials, peer: Peer): Promise<LoginResult> {
    const account = this.#accounts.get(credentials.user);
    if (account === undefined || !passwordMatches(account.passwordHash, credentials.password)) {
      return { ok: false, reason: `user '${credentials.user}' - invalid credentials` };
    }
    if (this.#loopbackUsers.has(account.name) && !peer.isLoopback) {
      return { ok: false, reason: `user '${account.name}' can only connect via localhost` };
    }
    return { ok: true, user: account };
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

function hashPassword(salt: Buffer, password: string): Buffer {
  return createHash("sha256").update(salt).update(password, "utf8").digest();
}

function passwordMatches(stored: Buffer, password: string): boolean {
  const hash = hashPassword(stored.subarray(0, saltBytes), password);
  return timingSafeEqual(hash, stored.subarray(saltBytes));
}

function compile(pattern: string): RegExp {
  return pattern === "" ? /^$/ : new RegExp(pattern, "u");
}
