import { type Logger, type Subscription, subscription } from "@tidemark/plugin-api";
import { watchConnection } from "./connection-watch.js";
import type { Sqlite } from "./database.js";
import type { SchemaGuard } from "./schema-guard.js";

/**
 * Keeps the kernel's writes out while the application is in a transaction. A transaction of the application that has
 * read, and then finds that somebody else has committed, can't write any more (SQLITE_BUSY_SNAPSHOT), so every
 * connection of this process to the same file must be registered here, that of the data source first of all.
 */
export class Gate {
  readonly #guard: SchemaGuard;
  readonly #logger: Logger;
  /** With the number of registrations of each. */
  readonly #watched = new Map<Sqlite, number>();
  readonly #commitListeners = new Set<() => void>();
  readonly #activityListeners = new Set<() => void>();

  constructor({ guard, logger }: { readonly guard: SchemaGuard; readonly logger: Logger }) {
    this.#guard = guard;
    this.#logger = logger;
  }

  /** Whether no watched connection is in a transaction. Asked, not remembered: it is right whatever ended one. */
  get open(): boolean {
    for (const connection of this.#watched.keys()) {
      if (connection.inTransaction) return false;
    }
    return true;
  }

  /**
   * Registers a connection of the application. Statements that were prepared on it before are not seen; for the
   * connection of a data source, see `applicationConnection`.
   */
  watch(connection: Sqlite): Subscription {
    const watch = watchConnection({ connection, guard: this.#guard });
    const registrations = this.#watched.get(connection) ?? 0;
    this.#watched.set(connection, registrations + 1);
    const ended = watch.onTransactionEnd(() => this.#tell(this.#commitListeners));
    const activity = watch.onActivity(() => this.#tell(this.#activityListeners));
    return subscription(() => {
      ended.dispose();
      activity.dispose();
      const left = this.#watched.get(connection)! - 1;
      if (left > 0) this.#watched.set(connection, left);
      else this.#watched.delete(connection);
    });
  }

  /**
   * Called right after a transaction of the application has ended, before it can start the next: the one moment at
   * which the gate is surely open. Takes the application's own time.
   */
  onApplicationCommit(listener: () => void): Subscription {
    // Wrapped, so that one function may be registered twice.
    const entry = () => listener();
    this.#commitListeners.add(entry);
    return subscription(() => this.#commitListeners.delete(entry));
  }

  /**
   * Called when something may have been committed on a watched connection; often, and in the middle of the
   * application's work, so the listener must only remember it and look later. Other processes are not seen.
   */
  onActivity(listener: () => void): Subscription {
    const entry = () => listener();
    this.#activityListeners.add(entry);
    return subscription(() => this.#activityListeners.delete(entry));
  }

  #tell(listeners: ReadonlySet<() => void>): void {
    for (const listener of listeners) {
      try {
        listener();
      } catch (error) {
        // We are inside a statement of the application, which must not see it.
        this.#logger.error("A listener of the gate failed", { error });
      }
    }
  }
}
