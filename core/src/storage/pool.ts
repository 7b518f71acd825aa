import { type Clock, type KernelEvents, type PoolPressure, subscription } from "@tidemark/plugin-api";
import type { Sqlite } from "./database.js";
import { storageErrors } from "./errors.js";
import type { WriterAccount } from "./writer.js";

/**
 * Counts and lends the kernel's connections: the one writer, which the writer itself queues for, and readers, which are
 * opened on demand, kept for the next, and closed at the end. First come, first served; whoever waits is seen.
 */
export interface PoolOptions {
  readonly clock: Clock;
  /** Opens a connection that can only read. */
  readonly openReader: () => Sqlite | Promise<Sqlite>;
  readonly observer: PoolObserver;
  /** Most leases at once, the writer included; at least 2. Default 30. */
  readonly size?: number;
  /** Longest wait for a lease. Default 30,000. */
  readonly acquireTimeoutMs?: number;
}

/** Who is told what the pool does. Called in the midst of it, so it must be quick and must not throw. */
export interface PoolObserver {
  onAcquired(event: KernelEvents["leaseAcquired"]): void;
  onReleased(event: KernelEvents["leaseReleased"]): void;
  onTimedOut(event: KernelEvents["leaseTimedOut"]): void;
  onChanged(event: PoolStats): void;
  /** Somebody has begun to wait, or a lease was given and more than 80 % of the limit are in use. */
  onPressure(pressure: PoolPressure): void;
  /** The pressure is over: nobody waits, and at most 80 % of the limit are in use. */
  onRelieved(): void;
}

export type PoolStats = KernelEvents["poolChanged"];

/** A connection for the time being. */
export interface Lease {
  readonly connection: Sqlite;
  readonly holder: string;
  /** Gives it back, and ends the transaction that may be open on it. Twice does nothing. */
  release(): void;
}

export interface AcquireOptions {
  /** Who asks, for people: `backfill of Entry`. */
  readonly holder: string;
  /** Ends the wait; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

interface Holding {
  readonly holder: string;
  readonly sinceMs: number;
}

interface Waiter {
  readonly holder: string;
  readonly sinceMs: number;
  /** A place has become free, and it is this waiter's. */
  admit(): void;
  refuse(error: unknown): void;
}

/** The share of the limit above which the pool is under pressure. */
const PRESSURE_SHARE = 0.8;

export class Pool {
  readonly #clock: Clock;
  readonly #openReader: () => Sqlite | Promise<Sqlite>;
  readonly #observer: PoolObserver;
  readonly #limit: number;
  readonly #acquireTimeoutMs: number;
  readonly #idle: Sqlite[] = [];
  readonly #waiting = new Set<Waiter>();
  /** Readers in use, or being opened. In the order in which they were given. */
  readonly #holdings = new Map<Holding, Sqlite | undefined>();
  #writer: Holding | undefined;
  /** The write that has waited for longer than it should. */
  #overdueWrite: Holding | undefined;
  #underPressure = false;
  /** Waiters that were given a place and have not taken it yet: they resume in a later microtask. */
  #admitted = 0;
  #closed = false;
  #closing: Promise<void> | undefined;
  #onAllReturned: (() => void) | undefined;

  constructor({ clock, openReader, observer, size = 30, acquireTimeoutMs = 30_000 }: PoolOptions) {
    this.#clock = clock;
    this.#openReader = openReader;
    this.#observer = observer;
    this.#limit = size;
    this.#acquireTimeoutMs = acquireTimeoutMs;
  }

  stats(): PoolStats {
    return {
      active: this.#holdings.size + this.#admitted + (this.#writer ? 1 : 0),
      idle: this.#idle.length + (this.#writer || this.#closed ? 0 : 1),
      waiting: this.#waiting.size + (this.#overdueWrite ? 1 : 0),
      limit: this.#limit,
    };
  }

  /**
   * Lends a connection that can only read. Rejects with `TIDEMARK_STORAGE_ACQUIRE_TIMEOUT`, which names who holds the
   * others and for how long, with `TIDEMARK_STORAGE_POOL_CLOSED`, or with why a connection could not be opened.
   */
  async acquireReader({ holder, signal }: AcquireOptions): Promise<Lease> {
    signal?.throwIfAborted();
    if (this.#closed) throw storageErrors.poolClosed({ holder });
    const askedMs = this.#clock.monotonicMs();
    // Whoever waits comes first, even if a place is free at this moment.
    if (this.#waiting.size > 0 || !this.#hasPlace()) {
      await this.#wait(holder, signal);
      this.#admitted--;
    }
    if (this.#closed) throw storageErrors.poolClosed({ holder });

    const holding: Holding = { holder, sinceMs: this.#clock.monotonicMs() };
    const idle = this.#idle.pop();
    this.#holdings.set(holding, idle);
    const connection = idle ?? (await this.#open(holding));
    this.#holdings.set(holding, connection);
    if (this.#closed || signal?.aborted) {
      this.#giveBack(holding, connection);
      signal?.throwIfAborted();
      throw storageErrors.poolClosed({ holder });
    }
    this.#observer.onAcquired({ kind: "reader", holder, waitMs: this.#clock.monotonicMs() - askedMs });
    this.#changed({ given: true });
    const returned = subscription(() => {
      this.#giveBack(holding, connection);
      this.#observer.onReleased({ kind: "reader", holder, useMs: this.#clock.monotonicMs() - holding.sinceMs });
    });
    return { connection, holder, release: () => returned.dispose() };
  }

  /** Runs `use` with a reader and gives it back, whatever happens. Errors as {@link acquireReader}. */
  async withReader<Result>(
    holder: string,
    use: (db: Sqlite) => Result | Promise<Result>,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Result> {
    const lease = await this.acquireReader({ holder, signal });
    try {
      return await use(lease.connection);
    } finally {
      lease.release();
    }
  }

  /** Where the writer accounts for its slices and for writes that wait too long. */
  readonly writerAccount: WriterAccount = {
    acquired: (holder, waitMs) => {
      this.#writer = { holder, sinceMs: this.#clock.monotonicMs() };
      this.#overdueWrite = undefined;
      this.#observer.onAcquired({ kind: "writer", holder, waitMs });
      this.#changed({ given: true });
    },
    released: (holder, useMs) => {
      this.#writer = undefined;
      this.#observer.onReleased({ kind: "writer", holder, useMs });
      this.#changed({});
    },
    overdue: (holder, waitMs) => {
      this.#overdueWrite = { holder, sinceMs: this.#clock.monotonicMs() - waitMs };
      this.#changed({ waits: true });
    },
    abandoned: () => {
      this.#overdueWrite = undefined;
      this.#changed({});
    },
  };

  /**
   * Closes the readers; those in use when they come back, or by force when that takes longer than the acquire time-out,
   * which rejects with `TIDEMARK_STORAGE_LEASES_NOT_RETURNED`. Whoever waits is refused at once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiting]) waiter.refuse(storageErrors.poolClosed({ holder: waiter.holder }));
    for (const connection of this.#idle.splice(0)) connection.close();
    this.#changed({});
    if (this.#holdings.size === 0) return;
    const inTime = await new Promise<boolean>((resolve) => {
      const timer = this.#clock.setTimeout(() => resolve(false), this.#acquireTimeoutMs);
      this.#onAllReturned = () => {
        timer.dispose();
        resolve(true);
      };
    });
    if (inTime) return;
    const holders = [...this.#holdings.keys()].map(({ holder }) => holder);
    for (const connection of this.#holdings.values()) connection?.close();
    throw storageErrors.leasesNotReturned({ holders });
  }

  #hasPlace(): boolean {
    // One place is the writer's, whether it is writing or not.
    return this.#holdings.size + this.#admitted < this.#limit - 1;
  }

  async #wait(holder: string, signal: AbortSignal | undefined): Promise<void> {
    const sinceMs = this.#clock.monotonicMs();
    await new Promise<void>((resolve, reject) => {
      const abort = () => waiter.refuse(signal?.reason);
      const timer = this.#clock.setTimeout(() => {
        const waitMs = this.#clock.monotonicMs() - sinceMs;
        this.#observer.onTimedOut({ kind: "reader", holder, waitMs });
        waiter.refuse(storageErrors.acquireTimedOut({ holder, waitMs: Math.round(waitMs), holders: this.#held() }));
      }, this.#acquireTimeoutMs);
      const leave = () => {
        this.#waiting.delete(waiter);
        timer.dispose();
        signal?.removeEventListener("abort", abort);
      };
      const waiter: Waiter = {
        holder,
        sinceMs,
        admit: () => {
          leave();
          this.#admitted++;
          resolve();
        },
        refuse: (error) => {
          leave();
          this.#changed({});
          reject(error);
        },
      };
      this.#waiting.add(waiter);
      signal?.addEventListener("abort", abort);
      this.#changed({ waits: true });
    });
  }

  async #open(holding: Holding): Promise<Sqlite> {
    try {
      return await this.#openReader();
    } catch (error) {
      this.#holdings.delete(holding);
      this.#placeFreed();
      throw error;
    }
  }

  #giveBack(holding: Holding, connection: Sqlite): void {
    this.#holdings.delete(holding);
    try {
      // A read transaction that stayed open would keep the write-ahead log from being emptied.
      if (connection.inTransaction) connection.exec("ROLLBACK");
      if (this.#closed) connection.close();
      else if (connection.open) this.#idle.push(connection);
    } catch {
      // An iterator that was not finished keeps the connection busy for ever; better one less than a broken one.
    }
    this.#placeFreed();
  }

  #placeFreed(): void {
    const [next] = this.#waiting;
    if (next && this.#hasPlace()) next.admit();
    if (this.#closed && this.#holdings.size === 0) this.#onAllReturned?.();
    this.#changed({});
  }

  #held(): { readonly holder: string; readonly heldMs: number }[] {
    const now = this.#clock.monotonicMs();
    return this.#allHoldings().map(({ holder, sinceMs }) => ({ holder, heldMs: Math.round(now - sinceMs) }));
  }

  #allHoldings(): Holding[] {
    return [...(this.#writer ? [this.#writer] : []), ...this.#holdings.keys()];
  }

  #changed({ given = false, waits = false }: { readonly given?: boolean; readonly waits?: boolean }): void {
    const stats = this.stats();
    this.#observer.onChanged(stats);
    const pressed = stats.waiting > 0 || stats.active > stats.limit * PRESSURE_SHARE;
    if (pressed && (given || waits)) {
      this.#underPressure = true;
      this.#observer.onPressure(this.#pressure(stats));
    } else if (!pressed && this.#underPressure) {
      this.#underPressure = false;
      this.#observer.onRelieved();
    }
  }

  #pressure(stats: PoolStats): PoolPressure {
    const [first] = this.#waiting;
    const since = [first?.sinceMs, this.#overdueWrite?.sinceMs].filter((it) => it !== undefined);
    return {
      ...stats,
      longestWaitMs: since.length === 0 ? 0 : this.#clock.monotonicMs() - Math.min(...since),
      holders: this.#allHoldings().map(({ holder }) => holder),
    };
  }
}
