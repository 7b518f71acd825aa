import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { Clock, Logger, Subscription } from "@tidemark/plugin-api";
import type { Sqlite } from "./database.js";

/**
 * Keeps checkpoints off the event loop during a backfill, while a long log is forgotten, and while commits come thick and
 * fast. By itself SQLite runs one inside whichever COMMIT crosses the limit, the application's own included: every hundredth
 * change or so then waits for some 5 ms, and in a backfill of random identities for up to 300 ms. Here a worker thread with
 * a connection of its own runs PASSIVE checkpoints, which wait for nobody, and the writer pauses when it has got too far
 * ahead. At all other times SQLite's own limit is right: there is little to do at a time.
 */
export interface CheckpointerOptions {
  readonly path: string;
  /** The database's key, if it is encrypted. */
  readonly key: string | undefined;
  /** Whether the application brought a driver of its own, which a thread can't be given. */
  readonly ownDriver: boolean;
  /** Connections of this process whose commits are not to run checkpoints meanwhile. */
  readonly connections: readonly [kernel: Sqlite, ...others: Sqlite[]];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Pages that may wait in the write-ahead log before the writer pauses. */
const MOST_PAGES_AHEAD = 3_000;
/** Pages that are written into the file at once, on the loop, so that the log begins anew. */
const LAST_PAGES = 100;
/** Slices before it is worth starting a thread; after some more of them SQLite would run a checkpoint inside a COMMIT. */
const SLICES_BEFORE = 4;
/** Slices from one checkpoint to the next: pages that change again and again need to be written into the file once. */
const SLICES_BETWEEN = 4;
/** So many commits within so long begin a spell of many, and fewer in the longer time end it. */
const SPELL_COMMITS = 200;
const SPELL_MS = 1_000;
const CALM_MS = 5_000;
/** From one checkpoint to the next in a spell. */
const SPELL_PAUSE_MS = 50;

// As text, because a worker needs a file of its own otherwise, and there is none when the sources run as they are.
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const Database = require(workerData.driver);
const db = new Database(workerData.path, { timeout: 0 });
if (workerData.key !== undefined) db.pragma("key = " + JSON.stringify(workerData.key));
parentPort.on("message", () => {
  try {
    const [{ log, checkpointed }] = db.pragma("wal_checkpoint(PASSIVE)");
    parentPort.postMessage({ ahead: Math.max(0, log - checkpointed), pages: log });
  } catch (error) {
    parentPort.postMessage({ ahead: 0, error: String(error) });
  }
});
`;

export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #worker: Worker | null = null;
  #busy = false;
  #ahead = 0;
  /** Pages in the log when its end is next written into the file. */
  #finishAt = MOST_PAGES_AHEAD;
  #checkpoints = 0;
  #waiting: (() => void)[] = [];
  /** Works that are under way: one may begin during another. */
  #works = 0;
  #slices = 0;
  /** The slice at which a checkpoint was asked for. */
  #asked = 0;
  /** Commits since a time. */
  #commits = 0;
  #countedFromMs = Number.NEGATIVE_INFINITY;
  /** Looks whether the spell goes on; null while there is none. */
  #spell: Subscription | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #ended: Promise<unknown> = Promise.resolve();
  /** What connections had before a thread took over: each application has its own reasons for it. */
  readonly #ownLimits = new Map<Sqlite, number>();
  /** Connections of which the limit is still to be set: they refuse while the application walks through a result. */
  readonly #unset = new Set<Sqlite>();

  constructor(options: CheckpointerOptions) {
    this.#options = options;
  }

  /** Checkpoints that the worker has run. */
  get checkpoints(): number {
    return this.#checkpoints;
  }

  /**
   * Runs `work` with checkpoints in a thread, which is started when the work turns out to be long. Without one (no threads
   * allowed) SQLite goes on by itself.
   */
  async during<T>(work: () => Promise<T>): Promise<T> {
    if (this.#works === 0) {
      this.#slices = 0;
      this.#asked = 0;
    }
    this.#works += 1;
    try {
      return await work();
    } finally {
      this.#works -= 1;
      this.#endUnlessNeeded();
    }
  }

  /** Resolves when the thread has let go of the database. */
  async close(): Promise<void> {
    this.#spell?.dispose();
    this.#spell = null;
    this.#end();
    await this.#ended;
    this.#setLimits();
  }

  /**
   * Call before each slice: asks for a checkpoint, and waits for it when too much has piled up; with `alone`, whenever one is
   * running: while it writes, a COMMIT now and then waits for the disk.
   */
  async room({ alone = false }: { readonly alone?: boolean } = {}): Promise<void> {
    if (this.#works > 0) {
      this.#slices += 1;
      if (this.#slices === SLICES_BEFORE) this.#begin();
    }
    if (this.#worker === null) return;
    const tooFarAhead = this.#ahead > MOST_PAGES_AHEAD;
    if (tooFarAhead || this.#slices - this.#asked >= SLICES_BETWEEN) this.#ask();
    if (!tooFarAhead && !(alone && this.#busy)) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Call after each commit. */
  committed(): void {
    if (this.#unset.size > 0) this.#setLimits();
    const now = this.#options.clock.monotonicMs();
    if (this.#spell === null && now - this.#countedFromMs > SPELL_MS) {
      this.#commits = 0;
      this.#countedFromMs = now;
    }
    this.#commits += 1;
    if (this.#spell !== null) {
      if (now - this.#askedMs >= SPELL_PAUSE_MS) this.#ask();
    } else if (this.#commits >= SPELL_COMMITS) {
      this.#begin();
      this.#lookForCalm();
    }
  }

  #lookForCalm(): void {
    this.#commits = 0;
    this.#spell = this.#options.clock.setTimeout(() => {
      if (this.#commits >= SPELL_COMMITS) {
        this.#lookForCalm();
        return;
      }
      this.#spell = null;
      this.#endUnlessNeeded();
    }, CALM_MS);
  }

  #ask(): void {
    if (this.#busy || this.#worker === null) return;
    this.#busy = true;
    this.#asked = this.#slices;
    this.#askedMs = this.#options.clock.monotonicMs();
    this.#worker.postMessage(null);
  }

  #begin(): void {
    const { path, key, ownDriver, logger } = this.#options;
    if (ownDriver || this.#worker !== null) return;
    let worker: Worker;
    try {
      const driver = createRequire(import.meta.url).resolve("better-sqlite3");
      worker = new Worker(WORKER, { eval: true, workerData: { path, key, driver } });
    } catch (error) {
      logger.debug("Checkpoints stay on the loop", { error });
      return;
    }
    this.#worker = worker;
    worker.unref();
    // What a thread says that has been ended meanwhile is not about its successor.
    worker.on("message", ({ ahead, pages = 0, error }: { ahead: number; pages?: number; error?: string }) => {
      if (this.#worker !== worker) return;
      this.#busy = false;
      this.#ahead = ahead;
      this.#checkpoints += 1;
      if (error !== undefined) logger.debug("A checkpoint failed", { error });
      if (pages <= MOST_PAGES_AHEAD) this.#finishAt = MOST_PAGES_AHEAD;
      if (pages > this.#finishAt && ahead <= LAST_PAGES && this.#works === 0) this.#finish(pages);
      this.#release();
    });
    worker.on("error", (error) => {
      if (this.#worker !== worker) return;
      logger.debug("The thread for checkpoints has failed", { error });
      this.#end();
    });
    this.#limit();
  }

  /**
   * The log begins anew only when somebody writes while all of it is in the file; a thread never gets there while others
   * write. Here nobody writes, so the little that is left is written at once. A reader may still keep the log from beginning
   * anew: then it is tried again when the log has grown by as much once more, not at every answer.
   */
  #finish(pages: number): void {
    const { connections, logger } = this.#options;
    const [connection] = connections;
    try {
      if (!connection.open || connection.inTransaction) return;
      // Counts only: while the thread was at work, others have written. (SQLite before 3.51 writes here what is left.)
      const [left] = connection.pragma("wal_checkpoint(NOOP)") as [{ log: number; checkpointed: number }];
      if (left.log - left.checkpointed > LAST_PAGES) return;
      this.#finishAt = pages + MOST_PAGES_AHEAD;
      connection.pragma("wal_checkpoint(PASSIVE)");
    } catch (error) {
      // Of a disk that is full or broken the next COMMIT tells whom it concerns.
      logger.debug("A checkpoint failed", { error });
    }
  }

  #endUnlessNeeded(): void {
    if (this.#works === 0 && this.#spell === null) this.#end();
  }

  #end(): void {
    const worker = this.#worker;
    if (worker === null) return;
    this.#worker = null;
    this.#busy = false;
    this.#ahead = 0;
    this.#ended = worker.terminate();
    this.#release();
    this.#limit();
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** No limit while there is a thread, and the connection's own otherwise. */
  #limit(): void {
    for (const connection of this.#options.connections) this.#unset.add(connection);
    this.#setLimits();
    if (this.#unset.size > 0) this.#options.logger.debug("A busy connection gets its checkpoint limit later");
  }

  #setLimits(): void {
    for (const connection of this.#unset) {
      try {
        if (connection.open) this.#setLimit(connection);
        this.#unset.delete(connection);
      } catch {
        // Tried again after the next commit.
      }
    }
  }

  #setLimit(connection: Sqlite): void {
    const own = this.#ownLimits.get(connection);
    if (this.#worker === null) {
      if (own !== undefined) connection.pragma(`wal_autocheckpoint = ${own}`);
      this.#ownLimits.delete(connection);
    } else if (own === undefined) {
      const pages = connection.pragma("wal_autocheckpoint", { simple: true }) as number;
      connection.pragma("wal_autocheckpoint = 0");
      this.#ownLimits.set(connection, pages);
    }
  }
}
