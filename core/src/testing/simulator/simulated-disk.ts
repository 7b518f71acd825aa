// The database file of one simulated device, from one start of its process to the end of it. It stands between the kernel
// and better-sqlite3 as the data source's own driver: sees every statement that writes, can refuse it as a disk would, and
// can end the process at it. What is left then is a copy of the files as they were at that statement, or, where the
// power was lost, as they were when something was last made durable.

import { copyFileSync, existsSync, rmSync } from "node:fs";
import Database from "better-sqlite3";
import type { Sqlite, Statement } from "../../storage/database.js";

/** Where a process can be ended. */
export type CrashPlace = "before a statement" | "before a commit" | "after a commit" | "in the application's write";

export interface CrashPlan {
  readonly place: CrashPlace;
  /** How many such places are passed first. */
  readonly skip: number;
  /** The power goes: what was committed and not made durable may be lost. */
  readonly powerLoss: boolean;
}

/** What the device's process was doing when it ended. */
export interface Crash {
  /** For people: `fold, before a commit`. */
  readonly where: string;
  /** Whether commits were lost that no fence covered. */
  readonly powerLoss: boolean;
}

/** Thrown at the statement at which the process ends, and by every later one of what is left of it. */
export class SimulatedCrash extends Error {
  constructor() {
    super("the simulated process has ended");
    this.name = "SimulatedCrash";
  }
}

export interface DiskObserver {
  /** The kernel has committed something; called before it hears of it. `durable`: a loss of power can't undo it. */
  committed(commit: { readonly job: string; readonly durable: boolean }): void;
  /** The process has ended. Nothing may be thrown here. */
  crashed(crash: Crash): void;
}

interface Faults {
  /** Until then another process holds the lock, in milliseconds of the timeline. */
  lockedUntilMs: number;
  /** So many commits fail with an error of the disk. */
  failingCommits: number;
}

type Role = "application" | "writer" | "other";

const SQLITE_DEFAULT_MAX_PAGES = 4_294_967_294;
/** Small, so that checkpoints happen within a run and copies are quick. */
const AUTOCHECKPOINT_PAGES = 100;
const FILES = ["", "-wal"] as const;

export class SimulatedDisk {
  readonly path: string;
  readonly #observer: DiskObserver;
  readonly #nowMs: () => number;
  readonly #checkpoints: boolean;
  readonly #roles = new Map<Sqlite, Role>();
  readonly #unseen = new Map<Sqlite, Map<string, Statement>>();
  readonly #faults: Faults = { lockedUntilMs: 0, failingCommits: 0 };
  #plan: { place: CrashPlace; skip: number; powerLoss: boolean } | null = null;
  #crash: Crash | null = null;
  #job = "start";
  #durable = false;
  #full = false;
  #readOnly = false;

  constructor({
    path,
    observer,
    nowMs,
    checkpoints,
  }: {
    readonly path: string;
    readonly observer: DiskObserver;
    readonly nowMs: () => number;
    /** Whether the write-ahead log is emptied into the database now and then. */
    readonly checkpoints: boolean;
  }) {
    this.path = path;
    this.#observer = observer;
    this.#nowMs = nowMs;
    this.#checkpoints = checkpoints;
  }

  /** For the data source's `driver`. */
  get driver(): typeof Database {
    const disk = this;
    class SimulatedSqlite extends Database {
      constructor(path: string, options: Database.Options) {
        super(path, options);
        disk.#opened(this);
      }
      override prepare(sql: string): never {
        return disk.#watch(this, super.prepare(sql)) as never;
      }
      override exec(sql: string): this {
        disk.#around(this, sql, false, () => super.exec(sql));
        return this;
      }
      override pragma(pragma: string, options?: Database.PragmaOptions): unknown {
        // Nothing here outlives the real machine, so nothing need be synced; the level is only noted.
        const level = /^synchronous\s*=\s*(\w+)/.exec(pragma)?.[1];
        if (level !== undefined) {
          if (disk.#roles.get(this) === "writer") disk.#durable = level === "FULL";
          return undefined;
        }
        return super.pragma(pragma, options);
      }
    }
    return SimulatedSqlite as unknown as typeof Database;
  }

  /** How the process ended; null while it runs. */
  get crash(): Crash | null {
    return this.#crash;
  }

  /** The connection of the kernel's writer; undefined before it has one. */
  get writer(): Sqlite | undefined {
    return this.#withRole("writer");
  }

  get application(): Sqlite | undefined {
    return this.#withRole("application");
  }

  /** A statement that meets no fault and is not seen. Always used in the same way: it is kept. */
  prepareUnseen(connection: Sqlite, sql: string): Statement {
    const statements = this.#unseen.get(connection) ?? new Map<string, Statement>();
    this.#unseen.set(connection, statements);
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = Database.prototype.prepare.call(connection, sql) as Statement;
      statements.set(sql, statement);
    }
    return statement;
  }

  /** For people: what the writer is doing. */
  doing(job: string): void {
    this.#job = job;
  }

  /** Ends the process at a place of that kind. Where the power goes, what was written before this call survives. */
  arm(plan: CrashPlan): void {
    this.#plan = { ...plan };
    if (plan.powerLoss) this.#copy("durable");
  }

  disarm(): void {
    this.#plan = null;
  }

  get armed(): boolean {
    return this.#plan !== null;
  }

  /** Ends the process now. */
  end(where: string): void {
    this.#end({ where, powerLoss: false });
  }

  /** Another process holds the lock for a while. */
  lockFor(ms: number): void {
    this.#faults.lockedUntilMs = this.#nowMs() + ms;
  }

  set failingCommits(count: number) {
    this.#faults.failingCommits = count;
  }

  /** Whether there is no room for another page. */
  set full(full: boolean) {
    this.#full = full;
    for (const connection of this.#writing()) this.#applyFull(connection);
  }

  /** Whether nothing can be written. */
  set readOnly(readOnly: boolean) {
    this.#readOnly = readOnly;
    for (const connection of this.#writing()) this.#applyReadOnly(connection);
  }

  /** Everything works again. */
  heal(): void {
    this.full = false;
    this.readOnly = false;
    this.lockFor(0);
    this.failingCommits = 0;
  }

  /** Copies the files to `path` as they are; what is not committed does not count. */
  copyTo(path: string): void {
    for (const file of FILES)
      if (existsSync(`${this.path}${file}`)) copyFileSync(`${this.path}${file}`, `${path}${file}`);
  }

  /** Copies what the ended process has left to `path`. */
  recoverTo(path: string): void {
    const source = this.#crash?.powerLoss ? `${this.path}.durable` : `${this.path}.left`;
    for (const file of FILES) if (existsSync(`${source}${file}`)) copyFileSync(`${source}${file}`, `${path}${file}`);
  }

  /** Closes what the process has left open, and deletes its files. */
  bury(): void {
    for (const connection of this.#roles.keys()) {
      try {
        connection.close();
      } catch {
        // A statement that was left in the middle keeps it busy for ever; the process will take it along.
      }
    }
    for (const kind of ["", ".left", ".durable"]) {
      for (const file of [...FILES, "-shm"]) rmSync(`${this.path}${kind}${file}`, { force: true });
    }
  }

  #withRole(role: Role): Sqlite | undefined {
    for (const [connection, its] of this.#roles) if (its === role) return connection;
    return undefined;
  }

  #writing(): Sqlite[] {
    return [...this.#roles].filter(([it, role]) => role !== "other" && it.open).map(([connection]) => connection);
  }

  #opened(connection: Sqlite): void {
    const pragma = (text: string) => Database.prototype.pragma.call(connection, text);
    pragma("synchronous = OFF");
    pragma(`wal_autocheckpoint = ${this.#checkpoints ? AUTOCHECKPOINT_PAGES : 0}`);
    this.#roles.set(connection, this.#roles.size === 0 ? "application" : "other");
  }

  #applyFull(connection: Sqlite): void {
    const pages = this.#full
      ? (this.prepareUnseen(connection, "PRAGMA page_count").pluck().get() as number)
      : SQLITE_DEFAULT_MAX_PAGES;
    Database.prototype.pragma.call(connection, `max_page_count = ${pages}`);
  }

  #applyReadOnly(connection: Sqlite): void {
    Database.prototype.pragma.call(connection, `query_only = ${this.#readOnly ? "ON" : "OFF"}`);
  }

  #watch(connection: Sqlite, statement: Statement): Statement {
    if (statement.source === "BEGIN IMMEDIATE" && this.#roles.get(connection) === "other") {
      this.#roles.set(connection, "writer");
      if (this.#full) this.#applyFull(connection);
      if (this.#readOnly) this.#applyReadOnly(connection);
    }
    const role = this.#roles.get(connection);
    if (role === "other" || (statement.reader && statement.readonly && role === "application")) return statement;
    const { run, get, all, source } = statement;
    const reads = statement.reader && statement.readonly;
    const watched = (method: (...parameters: never[]) => unknown) => ({
      value: (...parameters: never[]) =>
        this.#around(connection, source, reads, () => method.apply(statement, parameters)),
      writable: true,
      configurable: true,
    });
    Object.defineProperty(statement, "run", watched(run));
    if (statement.reader) {
      Object.defineProperty(statement, "get", watched(get));
      Object.defineProperty(statement, "all", watched(all));
    }
    return statement;
  }

  #around<Result>(connection: Sqlite, sql: string, reads: boolean, execute: () => Result): Result {
    // What is left of the process may still look, which does no harm; it changes nothing any more.
    if (this.#crash !== null && reads) return execute();
    if (this.#crash !== null) throw new SimulatedCrash();
    const role = this.#roles.get(connection);
    if (role === "application") {
      this.#pass("in the application's write");
      const result = execute();
      this.#pass("in the application's write");
      return result;
    }
    if (role !== "writer") return execute();
    if (sql === "COMMIT") return this.#commit(connection, execute);
    if (sql === "BEGIN IMMEDIATE" && this.#nowMs() < this.#faults.lockedUntilMs) {
      throw new Database.SqliteError("database is locked", "SQLITE_BUSY");
    }
    if (connection.inTransaction && sql !== "ROLLBACK") this.#pass("before a statement");
    return execute();
  }

  #commit<Result>(connection: Sqlite, execute: () => Result): Result {
    this.#pass("before a commit");
    if (this.#faults.failingCommits > 0) {
      this.#faults.failingCommits -= 1;
      throw new Database.SqliteError("disk I/O error", "SQLITE_IOERR_WRITE");
    }
    const durable = this.#durable;
    const result = execute();
    if (connection.inTransaction) return result;
    if (durable && this.#plan?.powerLoss) this.#copy("durable");
    this.#observer.committed({ job: this.#job, durable });
    this.#pass("after a commit");
    return result;
  }

  #pass(place: CrashPlace): void {
    const plan = this.#plan;
    if (plan === null || plan.place !== place) return;
    plan.skip -= 1;
    if (plan.skip >= 0) return;
    this.#end({ where: `${this.#job}, ${place}`, powerLoss: plan.powerLoss });
    throw new SimulatedCrash();
  }

  #end(crash: Crash): void {
    if (this.#crash !== null) return;
    this.#crash = crash;
    if (!crash.powerLoss) this.#copy("left");
    this.#observer.crashed(crash);
  }

  #copy(kind: "left" | "durable"): void {
    for (const file of FILES) {
      const copy = `${this.path}.${kind}${file}`;
      if (existsSync(`${this.path}${file}`)) copyFileSync(`${this.path}${file}`, copy);
      else rmSync(copy, { force: true });
    }
  }
}
