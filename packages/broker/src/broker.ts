/**
 * The broker, without sockets: the facade that every adapter speaks to. It owns the virtual hosts
 * and the memory of their messages, and opens a session for each authenticated connection. Clock,
 * randomness, user database and log are passed in, so that two brokers can live in one process.
 */

import type { Clock, Random, Timer } from "@haremq/kernel";
import type { Authenticator, Authorizer, User } from "./access/access.ts";
import type { BrokerLimits } from "./access/limits.ts";
import { vhostNotFound, vhostRefused } from "./errors.ts";
import { Alarms } from "./events/alarms.ts";
import type { Logger } from "./events/logger.ts";
import { DirectReplies } from "./message/direct-replies.ts";
import { MessageStore } from "./message/message-store.ts";
import { Session } from "./vhost/session.ts";
import { VirtualHost } from "./vhost/virtual-host.ts";

export interface BrokerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly limits: BrokerLimits;
  readonly log: Logger;
}

/** How often a raised memory alarm is looked at when nothing else happens. */
const alarmCheckMs = 100;

export class Broker {
  readonly clock: Clock;
  readonly random: Random;
  readonly authenticator: Authenticator;
  readonly limits: BrokerLimits;
  readonly log: Logger;
  readonly alarms = new Alarms();
  readonly directReplies: DirectReplies;
  readonly messages = new MessageStore();
  readonly #authorizer: Authorizer;
  readonly #vhosts = new Map<string, VirtualHost>();
  #alarmTimer: Timer | undefined;

  constructor(options: BrokerOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.authenticator = options.authenticator;
    this.limits = options.limits;
    this.log = options.log;
    this.#authorizer = options.authorizer;
    this.directReplies = new DirectReplies(options.random);
  }

  vhost(name: string): VirtualHost | undefined {
    return this.#vhosts.get(name);
  }

  vhosts(): Iterable<VirtualHost> {
    return this.#vhosts.values();
  }

  /** Creates a virtual host with the predeclared exchanges; an existing one is left as it is. */
  createVhost(name: string): VirtualHost {
    let vhost = this.#vhosts.get(name);
    if (vhost === undefined) {
      vhost = new VirtualHost(name, this.messages);
      this.#vhosts.set(name, vhost);
    }
    return vhost;
  }

  /** Lets a user into a virtual host, or throws why not. */
  openSession(user: User, vhostName: string): Session {
    const vhost = this.#vhosts.get(vhostName);
    if (vhost === undefined) throw vhostNotFound(vhostName);
    if (!this.#authorizer.mayEnter(user, vhostName)) throw vhostRefused(vhostName, user.name);
    return new Session(user, vhost, this.#authorizer, this.random);
  }

  /**
   * Raises or clears the memory alarm as messages occupy more or less than the limit. Adapters call
   * this once per chunk of input, which costs one comparison.
   */
  watchMemory(): void {
    const isShort = this.messages.usedBytes > this.limits.memoryBytesMax;
    if (isShort === (this.#alarmTimer !== undefined)) return;
    this.alarms.set("memory", isShort);
    if (isShort) this.#scheduleAlarmCheck();
    else this.#cancelAlarmCheck();
  }

  #scheduleAlarmCheck(): void {
    this.#alarmTimer = this.clock.schedule(alarmCheckMs, () => {
      this.watchMemory();
      if (this.#alarmTimer !== undefined) this.#scheduleAlarmCheck();
    });
  }

  #cancelAlarmCheck(): void {
    this.#alarmTimer?.cancel();
    this.#alarmTimer = undefined;
  }

  /** Ends the broker; adapters have closed their connections before. */
  close(): void {
    this.#cancelAlarmCheck();
    for (const vhost of this.#vhosts.values()) vhost.close();
    this.#vhosts.clear();
  }
}
