/**
 * Waiting without sleeping: every wait in the client conformance tests is for an event, and every
 * one is bounded and says what it was waiting for when the bound is reached. The bounds are far
 * above what a working broker needs, so they decide between "works" and "never happens", and
 * nothing here measures speed.
 */
import type { EventEmitter } from "node:events";

/** How long a single awaited event may take before the test is declared stuck. */
export const eventDeadlineMs = 5_000;

/** Settles as `promise` does, or rejects with a sentence naming `what` after `deadlineMs`. */
export async function within<T>(
  promise: PromiseLike<T>,
  what: string,
  deadlineMs: number = eventDeadlineMs,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited ${deadlineMs} ms in vain for ${what}`)),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** The arguments of the next `name` event. Call it before the action that causes the event. */
export function nextEvent<Args extends unknown[] = unknown[]>(
  emitter: EventEmitter,
  name: string,
  deadlineMs: number = eventDeadlineMs,
): Promise<Args> {
  const { promise, resolve } = withResolvers<Args>();
  const listener = (...args: unknown[]) => resolve(args as Args);
  emitter.once(name, listener);
  const bounded = within(promise, `the event '${name}'`, deadlineMs);
  // The caller often awaits something else first; the rejection is theirs to see, not the
  // process's.
  bounded.catch(() => emitter.removeListener(name, listener));
  return bounded;
}

export interface Resolvers<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: Error) => void;
}

/** A promise with its two ends in hand; Node 20 lacks Promise.withResolvers. */
export function withResolvers<T>(): Resolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
