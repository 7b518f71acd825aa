import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { Logger } from "@tidemark/plugin-api";
import type { Sqlite } from "./database.js";

/**
 * Keeps checkpoints off the event loop during a backfill, or while a long log is forgotten. By itself SQLite runs one inside whichever COMMIT crosses the
 * limit, the application's own included, and holds the loop for up to 300 ms when identities are random. Here a worker
 * thread with a connection of its own runs PASSIVE checkpoints, which wait for nobody, and the writer pauses when it has
 * got too far ahead. Outside of a backfill SQLite's own limit is right: there is little to do at a time.
 */
export interface CheckpointerOptions {
  readonly path: string;
  /** The database's key, if it is encrypted. */
  readonly key: string | undefined;
  /** Whether the application brought a driver of its own, which a thread can't be given. */
  readonly ownDriver: boolean;
  /** Connections of this process whose commits are not to run checkpoints meanwhile. */
  readonly connections: readonly Sqlite[];
  readonly logger: Logger;
}

/** Pages that may wait in the write-ahead log before the writer pauses. */
const MOST_PAGES_AHEAD = 3_000;
/** Slices before it is worth starting a thread. */
const SLICES_BEFORE = 10;
/** Slices from one checkpoint to the next: pages that change again and again need to be written into the file once. */
const SLICES_BETWEEN = 4;
/** SQLite's own limit, outside of a backfill. */
const AUTOCHECKPOINT_PAGES = 1_000;

// As text, because a worker needs a file of its own otherwise, and there is none when the sources run as they are.
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const Database = require(workerData.driver);
const db = new Database(workerData.path, { timeout: 0 });
if (workerData.key !== undefined) db.pragma("key = " + JSON.stringify(workerData.key));
parentPort.on("message", () => {
  try {
    const [{ log, checkpointed }] = db.pragma("wal_checkpoint(PASSIVE)");
    parentPort.postMessage({ ahead: Math.max(0, log - checkpointed) });
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
  #checkpoints = 0;
  #waiting: (() => void)[] = [];
  /** Works that are under way: one may begin during another. */
  #works = 0;
  #slices = 0;
  /** The slice at which a checkpoint was asked for. */
  #asked = 0;
  #ended: Promise<unknown> = Promise.resolve();

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
      if (this.#works === 0) this.#end();
    }
  }

  /** Resolves when the thread has let go of the database. */
  async close(): Promise<void> {
    this.#end();
    await this.#ended;
  }

  /** Call before each slice: asks for a checkpoint, and waits for it when too much has piled up. */
  async room(): Promise<void> {
    if (this.#works === 0) return;
    this.#slices += 1;
    if (this.#slices === SLICES_BEFORE) this.#begin();
    if (this.#worker === null) return;
    const tooFarAhead = this.#ahead > MOST_PAGES_AHEAD;
    if (!this.#busy && (tooFarAhead || this.#slices - this.#asked >= SLICES_BETWEEN)) {
      this.#busy = true;
      this.#asked = this.#slices;
      this.#worker.postMessage(null);
    }
    if (!tooFarAhead) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #begin(): void {
    const { path, key, ownDriver, logger } = this.#options;
    if (ownDriver) return;
    try {
      const driver = createRequire(import.meta.url).resolve("better-sqlite3");
      this.#worker = new Worker(WORKER, { eval: true, workerData: { path, key, driver } });
    } catch (error) {
      logger.debug("Checkpoints stay on the loop", { error });
      return;
    }
    this.#worker.unref();
    this.#worker.on("message", ({ ahead, error }: { ahead: number; error?: string }) => {
      this.#busy = false;
      this.#ahead = ahead;
      this.#checkpoints += 1;
      if (error !== undefined) logger.debug("A checkpoint failed", { error });
      this.#release();
    });
    this.#worker.on("error", (error) => {
      logger.debug("The thread for checkpoints has failed", { error });
      this.#worker = null;
      this.#limit(AUTOCHECKPOINT_PAGES);
      this.#release();
    });
    this.#limit(0);
  }

  #end(): void {
    const worker = this.#worker;
    if (worker === null) return;
    this.#worker = null;
    this.#busy = false;
    this.#ahead = 0;
    this.#limit(AUTOCHECKPOINT_PAGES);
    this.#release();
    this.#ended = worker.terminate();
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #limit(pages: number): void {
    for (const connection of this.#options.connections) {
      if (connection.open) connection.pragma(`wal_autocheckpoint = ${pages}`);
    }
  }
}
