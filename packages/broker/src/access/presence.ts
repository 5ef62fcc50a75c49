/**
 * Who is connected: how many connections every virtual host has, how many connections and channels
 * every user has, and the limits on them. The broker has each session enter; the session leaves
 * when it ends, with the channels that it has not closed.
 */

import { tooManyChannels, tooManyConnections, vhostFull } from "../errors.ts";
import type { Authorizer, User } from "./access.ts";

interface LimitedVirtualHost {
  readonly name: string;
  readonly limits: { readonly maxConnections: number | undefined };
}

/** Counts by name; what is not there costs nothing. */
class Tally {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, change: number): void {
    const count = this.of(name) + change;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
  }
}

export class Presence {
  readonly #authorizer: Authorizer;
  readonly #connectionsByVhost = new Tally();
  readonly #connectionsByUser = new Tally();
  readonly #channelsByUser = new Tally();

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  /** Throws if the virtual host or the user has as many connections as it may have. */
  enter(user: User, { name: vhost, limits }: LimitedVirtualHost): Visit {
    const { maxConnections: vhostMax } = limits;
    if (vhostMax !== undefined && this.#connectionsByVhost.of(vhost) >= vhostMax) {
      throw vhostFull(vhost, user.name, vhostMax);
    }
    const { maxConnections: userMax } = this.#authorizer.limitsOf(user);
    if (userMax !== undefined && this.#connectionsByUser.of(user.name) >= userMax) {
      throw tooManyConnections(user.name, userMax);
    }
    this.#connectionsByVhost.add(vhost, 1);
    this.#connectionsByUser.add(user.name, 1);
    return new Visit(
      (change) => this.#changeChannels(user, change),
      () => {
        this.#connectionsByVhost.add(vhost, -1);
        this.#connectionsByUser.add(user.name, -1);
      },
    );
  }

  #changeChannels(user: User, change: number): void {
    const { maxChannels } = this.#authorizer.limitsOf(user);
    const isFull = maxChannels !== undefined && this.#channelsByUser.of(user.name) >= maxChannels;
    if (change > 0 && isFull) throw tooManyChannels(user.name, maxChannels);
    this.#channelsByUser.add(user.name, change);
  }
}

/** One session's part in it. */
export class Visit {
  readonly #changeChannels: (change: number) => void;
  readonly #onLeave: () => void;
  #channels = 0;
  #isOver = false;

  constructor(changeChannels: (change: number) => void, onLeave: () => void) {
    this.#changeChannels = changeChannels;
    this.#onLeave = onLeave;
  }

  /** Throws if the user has as many channels as it may have. */
  openChannel(): void {
    this.#changeChannels(1);
    this.#channels++;
  }

  closeChannel(): void {
    if (this.#isOver) return;
    this.#channels--;
    this.#changeChannels(-1);
  }

  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#changeChannels(-this.#channels);
    this.#onLeave();
  }
}
