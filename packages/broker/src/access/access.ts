/**
 * Who may do what: the contracts between the broker and its user databases. Adapters authenticate
 * with an Authenticator, sessions ask an Authorizer. Other backends (HTTP, OAuth 2) will stand
 * beside the internal database behind the same two.
 */

import type { ResourceKind } from "../errors.ts";

export type Permission = "configure" | "write" | "read";

/** An authenticated user. */
export interface User {
  readonly name: string;
  readonly tags: readonly string[];
}

/** Where a login comes from. */
export interface Peer {
  readonly address: string;
  readonly isLoopback: boolean;
}

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export type LoginResult =
  | { readonly ok: true; readonly user: User }
  /** `reason` is for the log: it never holds the secret. */
  | { readonly ok: false; readonly reason: string };

export interface Authenticator {
  authenticate(credentials: Credentials, peer: Peer): Promise<LoginResult>;
}

/** How much a user may have open at a time; undefined for no limit. */
export interface UserLimits {
  readonly maxConnections: number | undefined;
  readonly maxChannels: number | undefined;
}

export interface Authorizer {
  /** Grows whenever an answer below may have changed, so that callers may cache answers. */
  readonly epoch: number;
  mayEnter(user: User, vhost: string): boolean;
  limitsOf(user: User): UserLimits;
  may(user: User, permission: Permission, vhost: string, kind: ResourceKind, name: string): boolean;
  /** Whether a user may use a routing key with a topic exchange. */
  mayUseTopic(
    user: User,
    permission: Permission,
    vhost: string,
    exchange: string,
    routingKey: string,
  ): boolean;
}
