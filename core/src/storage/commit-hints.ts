import { type Clock, type Logger, type Subscription, subscription } from "@tidemark/plugin-api";
import type { Sqlite, Statement } from "./database.js";
import type { Gate } from "./gate.js";

/**
 * Tells that somebody else has committed to the database: the application at the end of the turn, whatever it does in
 * one turn counting once, and other processes by a look at `data_version` now and then: less often the longer nobody has
 * been found, since waking up for it is most of what a device at rest does. A hint may come for nothing (a checkpoint
 * moves the number, too) and says nothing of what has changed.
 */
export interface CommitHintsOptions {
  /** The kernel's connection; its own commits give no hint. */
  readonly connection: Sqlite;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often commits of other processes are looked for while there are any; at rest a quarter as often. Default 250. */
  readonly pollMs?: number;
}

/** Each look that finds nothing makes the wait for the next one longer, up to so many intervals: a few looks later. */
const REST_GROWTH = 1.25;
const LONGEST_REST = 4;

export class CommitHints {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #pollMs: number;
  readonly #version: Statement;
  readonly #listeners = new Set<() => void>();
  readonly #activity: Subscription;
  #seen: unknown;
  #soon: Subscription | undefined;
  #poll: Subscription;
  /** The time to the next look, in polling intervals. */
  #rest = 1;
  #disposed = false;

  constructor({ connection, gate, clock, logger, pollMs = 250 }: CommitHintsOptions) {
    this.#clock = clock;
    this.#logger = logger;
    this.#pollMs = pollMs;
    this.#version = connection.prepare("PRAGMA data_version").pluck();
    this.#seen = this.#version.get();
    this.#activity = gate.onActivity(() => {
      this.#soon ??= clock.setImmediate(() => {
        this.#soon = undefined;
        this.#look();
      });
    });
    this.#poll = this.#pollLater();
  }

  /** Called in a turn of its own after somebody else has committed. What was committed before is not told. */
  onHint(listener: () => void): Subscription {
    const entry = () => listener();
    this.#listeners.add(entry);
    return subscription(() => this.#listeners.delete(entry));
  }

  /** Looks no more. Must come before the connection is closed. */
  dispose(): void {
    this.#disposed = true;
    this.#activity.dispose();
    this.#soon?.dispose();
    this.#poll.dispose();
    this.#listeners.clear();
  }

  #pollLater(): Subscription {
    return this.#clock.setTimeout(() => {
      this.#rest = this.#look() ? 1 : Math.min(this.#rest * REST_GROWTH, LONGEST_REST);
      if (!this.#disposed) this.#poll = this.#pollLater();
    }, this.#pollMs * this.#rest);
  }

  /** Whether somebody has committed since the last look, or may have. */
  #look(): boolean {
    let version: unknown;
    try {
      version = this.#version.get();
    } catch (error) {
      // Another process holds the whole file; the next look will tell.
      this.#logger.warn("Commits could not be looked for", { error });
      return true;
    }
    // A transaction that was rolled back, or that goes on.
    if (version === this.#seen) return false;
    this.#seen = version;
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        this.#logger.error("A listener of the commit hints failed", { error });
      }
    }
    return true;
  }
}
