import { type Clock, type Logger, type Subscription, subscription } from "@tidemark/plugin-api";
import { isBusy, type Sqlite, sqliteCode } from "./database.js";
import { storageErrors } from "./errors.js";
import type { Gate } from "./gate.js";

/**
 * The kernel's only way to write: a queue of synchronous jobs, each in a BEGIN IMMEDIATE … COMMIT of its own on the
 * kernel's connection, with a turn of the event loop between two, unless a caller wants its own job run at once. A job
 * starts only while the gate is open; one that has waited takes its turn right after a transaction of the application,
 * because an application that begins the next one in the same turn would keep it out for ever. Nothing here blocks the
 * loop to wait for a lock, and nothing is awaited between BEGIN and COMMIT.
 */
export interface WriterOptions {
  /** The kernel's connection. Belongs to whoever opened it: the writer does not close it. */
  readonly connection: Sqlite;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly account: WriterAccount;
  /** After so long a write that can't begin is reported, and again each time as long. Default 30,000. */
  readonly acquireTimeoutMs?: number;
}

/** Keeps the books of the writer's lease; the pool does. Must not throw. */
export interface WriterAccount {
  acquired(holder: string, waitMs: number): void;
  released(holder: string, useMs: number): void;
  /** A write could not begin for longer than the acquire time-out; it goes on waiting. */
  overdue(holder: string, waitMs: number): void;
  /** Writes that were waiting have been given up. */
  abandoned(): void;
}

export interface WriteJob<Result> {
  /** For people: `fold`, `apply from 3f…`. */
  readonly name: string;
  /** `high` goes before all that is `normal`, and is not held back by pacing. Default `normal`. */
  readonly priority?: "high" | "normal";
  /**
   * Begins before `run` returns if it can, instead of in the next turn: for a caller that has a turn of its own. Default
   * false.
   */
  readonly atOnce?: boolean;
  /** Commits with synchronous=FULL, so that this and every earlier commit survive a power loss. Default false. */
  readonly durable?: boolean;
  /** Is told how long the transaction took, from BEGIN to the end of COMMIT, before `run` resolves. */
  readonly took?: ((durationMs: number) => void) | undefined;
  /** Runs inside the transaction, in a few milliseconds. What it throws rolls the transaction back. */
  readonly body: (db: Sqlite) => Result;
}

/** A commit that changed something. */
export interface WriterCommit {
  readonly name: string;
  /** From BEGIN to the end of COMMIT. */
  readonly durationMs: number;
}

interface QueuedJob {
  readonly name: string;
  readonly durable: boolean;
  readonly queuedMs: number;
  readonly took: ((durationMs: number) => void) | undefined;
  readonly body: (db: Sqlite) => unknown;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** How long a job waits before it is run inside the application's commit, and the least time between two such runs. */
const TURN_TAKING_MS = 12;
/** How often a closed gate is looked at, in case nobody tells. */
const GATE_POLL_MS = 5;
const FIRST_BUSY_DELAY_MS = 5;
const LONGEST_BUSY_DELAY_MS = 50;

export class Writer {
  readonly #db: Sqlite;
  readonly #gate: Gate;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #account: WriterAccount;
  readonly #acquireTimeoutMs: number;
  readonly #gateSubscription: Subscription;
  readonly #begin;
  readonly #commit;
  readonly #rollback;
  readonly #changes;
  readonly #high: QueuedJob[] = [];
  readonly #normal: QueuedJob[] = [];
  readonly #commitListeners = new Set<(commit: WriterCommit) => void>();
  /** The immediate or timer that will look at the queue next. */
  #wake: Subscription | undefined;
  /** What the wake-up waits for: the next turn, the end of a pause, or the gate. */
  #wakeReason: "turn" | "pause" | "gate" = "turn";
  #running = false;
  #lastSliceMs = Number.NEGATIVE_INFINITY;
  #pauseMs = 0;
  #busyDelayMs = 0;
  #busyUntilMs = Number.NEGATIVE_INFINITY;
  /** Since when a job has been able to run but for the gate or a lock; for the report. */
  #obstructedSinceMs: number | undefined;
  #reports = 0;
  /** Something may have been committed that a power loss would take back; so it is at the start. */
  #uncovered = true;
  #closed = false;
  #closing: Promise<void> | undefined;
  #onDrained: (() => void) | undefined;

  constructor({ connection, gate, clock, logger, account, acquireTimeoutMs = 30_000 }: WriterOptions) {
    this.#db = connection;
    this.#gate = gate;
    this.#clock = clock;
    this.#logger = logger;
    this.#account = account;
    this.#acquireTimeoutMs = acquireTimeoutMs;
    this.#begin = connection.prepare("BEGIN IMMEDIATE");
    this.#commit = connection.prepare("COMMIT");
    this.#rollback = connection.prepare("ROLLBACK");
    // A change of the schema is no change of a row, hence both.
    this.#changes = connection.prepare("SELECT total_changes(), schema_version FROM pragma_schema_version").raw();
    this.#gateSubscription = gate.onApplicationCommit(() => this.#onApplicationCommit());
  }

  /**
   * Queues a job; resolves with what its body returned, after COMMIT. Rejects with what the body threw, and with
   * `TIDEMARK_STORAGE_…`: `FULL` and `IO` from the disk, `COMMIT_FAILED` (a foreign key that does not hold), each with
   * SQLite's error as cause; `ASYNC_BODY`, `TRANSACTION_LOST` for a body that breaks the rules; `WRITER_CLOSED`. In all
   * these cases nothing was written, and the writer goes on.
   */
  run<Result>({
    name,
    priority = "normal",
    atOnce = false,
    durable = false,
    took,
    body,
  }: WriteJob<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(storageErrors.writerClosed({ name }));
    return new Promise<Result>((resolve, reject) => {
      (priority === "high" ? this.#high : this.#normal).push({
        name,
        durable,
        queuedMs: this.#clock.monotonicMs(),
        took,
        body,
        resolve: (result) => resolve(result as Result),
        reject,
      });
      if (atOnce && !this.#wake && !this.#running) this.#look();
      // A pause holds for normal jobs only.
      else if (this.#wakeReason === "pause") this.#wakeUp();
      else this.#plan();
    });
  }

  /** Called after each commit that changed something, in the same turn; the listener must be quick. */
  onCommitted(listener: (commit: WriterCommit) => void): Subscription {
    const entry = (commit: WriterCommit) => listener(commit);
    this.#commitListeners.add(entry);
    return subscription(() => this.#commitListeners.delete(entry));
  }

  /** Obeys advice from `onPoolPressure`: the least time between the end of a slice and the next of normal priority. */
  setPacing({ pauseMs = 0 }: { readonly pauseMs?: number | undefined }): void {
    this.#pauseMs = pauseMs;
    this.#wakeUp();
  }

  /**
   * Whether something was committed, or is about to be by the body that is running, which no durable commit covers.
   * True at first: nobody knows what the last process left behind.
   */
  get uncovered(): boolean {
    return this.#uncovered || this.#running;
  }

  /** Jobs that wait. */
  get queued(): number {
    return this.#high.length + this.#normal.length;
  }

  /**
   * Finishes the queue and rejects later jobs. What can't begin within the acquire time-out, because the application
   * does not end its transaction, is rejected with `TIDEMARK_STORAGE_WRITER_CLOSED`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    this.setPacing({});
    if (this.queued > 0) {
      const drained = new Promise<void>((resolve) => {
        this.#onDrained = resolve;
      });
      const timer = this.#clock.setTimeout(() => this.#abandon(), this.#acquireTimeoutMs);
      await drained;
      timer.dispose();
    }
    this.#gateSubscription.dispose();
  }

  #abandon(): void {
    this.#wake?.dispose();
    this.#wake = undefined;
    for (const job of [...this.#high.splice(0), ...this.#normal.splice(0)]) {
      job.reject(storageErrors.writerClosed({ name: job.name }));
    }
    this.#account.abandoned();
    this.#onDrained?.();
  }

  /** Makes sure that the queue is looked at, as soon as pacing and other processes allow. */
  #plan(): void {
    if (this.#wake || this.#running || this.queued === 0) return;
    const delayMs = this.#notBeforeMs() - this.#clock.monotonicMs();
    this.#wakeReason = delayMs > 0 ? "pause" : "turn";
    this.#wake =
      delayMs > 0 ? this.#clock.setTimeout(() => this.#look(), delayMs) : this.#clock.setImmediate(() => this.#look());
  }

  /** Plans anew, because what the plan rested on has changed. */
  #wakeUp(): void {
    this.#wake?.dispose();
    this.#wake = undefined;
    this.#plan();
  }

  #notBeforeMs(): number {
    const pacedMs = this.#high.length > 0 ? Number.NEGATIVE_INFINITY : this.#lastSliceMs + this.#pauseMs;
    return Math.max(pacedMs, this.#busyUntilMs);
  }

  #look(): void {
    this.#wake = undefined;
    if (this.#running || this.queued === 0) return;
    // The plan may be older than a slice that was taken in between.
    if (this.#notBeforeMs() > this.#clock.monotonicMs()) {
      this.#plan();
    } else if (this.#gate.open) {
      this.#runNext();
    } else {
      this.#reportObstruction("the application has kept a transaction open");
      this.#wakeReason = "gate";
      this.#wake = this.#clock.setTimeout(() => this.#look(), GATE_POLL_MS);
    }
  }

  #onApplicationCommit(): void {
    if (this.#running || this.queued === 0 || !this.#gate.open) return;
    const now = this.#clock.monotonicMs();
    if (this.#notBeforeMs() > now) return;
    const queuedMs = Math.min(this.#high[0]?.queuedMs ?? now, this.#normal[0]?.queuedMs ?? now);
    if (now - queuedMs >= TURN_TAKING_MS && now - this.#lastSliceMs >= TURN_TAKING_MS) {
      this.#wake?.dispose();
      this.#wake = undefined;
      this.#runNext();
    } else if (this.#wakeReason === "gate") {
      // Perhaps the application rests now: look at the end of its turn.
      this.#wakeUp();
    }
  }

  #runNext(): void {
    const queue = this.#high.length > 0 ? this.#high : this.#normal;
    const job = queue[0]!;
    this.#running = true;
    try {
      if (this.#runSlice(job)) queue.shift();
    } finally {
      this.#running = false;
    }
    if (this.queued > 0) this.#plan();
    else if (this.#closed) this.#onDrained?.();
  }

  /** Runs the job in a slice; false if another process holds the lock, and the job must wait. */
  #runSlice(job: QueuedJob): boolean {
    const startedMs = this.#clock.monotonicMs();
    try {
      // Only if an earlier ROLLBACK failed; BEGIN would otherwise fail for ever.
      if (this.#db.inTransaction) this.#rollback.run();
      if (job.durable) this.#db.pragma("synchronous = FULL");
      this.#begin.run();
    } catch (error) {
      this.#relax(job);
      if (isBusy(error)) {
        this.#backOff();
        return false;
      }
      job.reject(writeError(job.name, error));
      return true;
    }
    this.#busyDelayMs = 0;
    this.#obstructedSinceMs = undefined;
    this.#reports = 0;
    this.#account.acquired(job.name, startedMs - job.queuedMs);
    try {
      this.#runTransaction(job, startedMs);
    } finally {
      this.#relax(job);
      this.#lastSliceMs = this.#clock.monotonicMs();
      this.#account.released(job.name, this.#lastSliceMs - startedMs);
    }
    return true;
  }

  #runTransaction(job: QueuedJob, startedMs: number): void {
    let result: unknown;
    let changed: boolean;
    try {
      const before = this.#changes.get() as [number, number];
      result = job.body(this.#db);
      if (isPromise(result)) {
        // Its outcome is of no interest any more, and must not become an unhandled rejection.
        result.then(undefined, () => {});
        throw storageErrors.asyncBody({ name: job.name });
      }
      if (!this.#db.inTransaction) throw storageErrors.transactionLost({ name: job.name });
      const after = this.#changes.get() as [number, number];
      changed = after[0] !== before[0] || after[1] !== before[1];
    } catch (error) {
      this.#undo(job);
      job.reject(writeError(job.name, error));
      return;
    }
    try {
      this.#commit.run();
    } catch (error) {
      this.#undo(job);
      const typed = writeError(job.name, error);
      job.reject(typed === error ? storageErrors.commitFailed({ name: job.name, cause: error }) : typed);
      return;
    }
    const durationMs = this.#clock.monotonicMs() - startedMs;
    job.took?.(durationMs);
    job.resolve(result);
    if (!changed) return; // Nothing was written, and nothing synced.
    this.#uncovered = !job.durable;
    this.#tell({ name: job.name, durationMs });
  }

  #undo(job: QueuedJob): void {
    // Some errors, a full disk among them, have rolled back already.
    if (!this.#db.inTransaction) return;
    try {
      this.#rollback.run();
    } catch (error) {
      this.#logger.error("A write could not be rolled back; it is tried again before the next", {
        write: job.name,
        error,
      });
    }
  }

  /** Back to the usual durability; the level can't be changed inside a transaction. */
  #relax(job: QueuedJob): void {
    if (job.durable && this.#db.open && !this.#db.inTransaction) this.#db.pragma("synchronous = NORMAL");
  }

  #backOff(): void {
    this.#reportObstruction("another process has kept the database locked");
    this.#busyDelayMs =
      this.#busyDelayMs === 0 ? FIRST_BUSY_DELAY_MS : Math.min(this.#busyDelayMs * 2, LONGEST_BUSY_DELAY_MS);
    this.#busyUntilMs = this.#clock.monotonicMs() + this.#busyDelayMs;
  }

  #reportObstruction(reason: string): void {
    const now = this.#clock.monotonicMs();
    this.#obstructedSinceMs ??= now;
    const waitMs = now - this.#obstructedSinceMs;
    if (waitMs < this.#acquireTimeoutMs * (this.#reports + 1)) return;
    this.#reports++;
    const name = (this.#high[0] ?? this.#normal[0])!.name;
    this.#logger.warn("Writes wait", { reason, write: name, waitMs: Math.round(waitMs), queued: this.queued });
    this.#account.overdue(name, waitMs);
  }

  #tell(commit: WriterCommit): void {
    for (const listener of this.#commitListeners) {
      try {
        listener(commit);
      } catch (error) {
        // The commit stands, whatever its listeners make of it.
        this.#logger.error("A listener of the writer failed", { write: commit.name, error });
      }
    }
  }
}

/** Names what SQLite reports of the disk; everything else is the caller's own and stays as it is. */
function writeError(name: string, error: unknown): unknown {
  const code = sqliteCode(error);
  if (code === "SQLITE_FULL") return storageErrors.diskFull({ name, cause: error });
  if (code?.startsWith("SQLITE_IOERR")) return storageErrors.inputOutput({ name, cause: error });
  return error;
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === "function";
}
