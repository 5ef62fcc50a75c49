/**
 * The built-in user database: users with permissions per virtual host, in memory. It starts with
 * one default user, guest unless configured otherwise, who may only log in from loopback. Passwords
 * are kept as salted SHA-256 in RabbitMQ's layout (salt of 4 bytes, then the hash of salt and
 * password).
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

interface Account {
  readonly user: User;
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
    const passwordHash = hashPassword(this.#random.bytes(saltBytes), password);
    this.#accounts.set(name, { user: { name, tags }, passwordHash, permissions: new Map() });
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
  return timingSafeEqual(stored, hashPassword(stored.subarray(0, saltBytes), password));
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
