/**
 * What the broker is short of. While an alarm is up adapters take nothing from publishers and tell
 * them so; consumers go on, so that the shortage can end. Sources raise and clear alarms; adapters
 * listen.
 */

export type Shortage = "memory" | "disk";

export type AlarmListener = (active: ReadonlySet<Shortage>, changed: Shortage) => void;

export class Alarms {
  readonly #active = new Set<Shortage>();
  readonly #listeners = new Set<AlarmListener>();

  get active(): ReadonlySet<Shortage> {
    return this.#active;
  }

  /** Why publishers are blocked, in the words RabbitMQ sends to clients. */
  get reason(): string {
    return `low on ${[...this.#active].sort().reverse().join(" & ")}`;
  }

  set(shortage: Shortage, isShort: boolean): void {
    if (this.#active.has(shortage) === isShort) return;
    if (isShort) this.#active.add(shortage);
    else this.#active.delete(shortage);
    for (const listener of this.#listeners) listener(this.#active, shortage);
  }

  /** Returns what ends the listening. */
  listen(listener: AlarmListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
