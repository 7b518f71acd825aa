import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, isTidemarkError } from "@tidemark/plugin-api";
import type Database from "better-sqlite3";
import type { DataSource } from "typeorm";

import { storageErrors } from "./errors.js";
import { userPrepareDatabase } from "./user-prepare.js";

/**
 * The kernel's own connections to the application's database: opened with the data source's driver module, key, native
 * binding and `prepareDatabase`, because triggers, indexes and CHECKs may need the application's functions. The
 * database and -shm files must never be opened with `fs` in this process: closing them drops SQLite's locks.
 */

/** A better-sqlite3 connection. */
export type Sqlite = Database.Database;
export type Statement = Database.Statement;

export interface OpenConnectionOptions {
  readonly dataSource: DataSource;
  readonly clock: Clock;
  /** How long a lock of somebody else is waited for. Default 30,000. */
  readonly lockTimeoutMs?: number;
}

// What we use of TypeORM's BetterSqlite3Driver, some of which it calls protected.
interface Driver {
  readonly sqlite: new (path: string, options: Database.Options) => Sqlite;
  readonly databaseConnection?: Sqlite;
  readonly queryRunner?: { readonly stmtCache?: Map<string, unknown> };
}

/** Short, because it blocks the loop; long enough to find the gap between two commits of another process. */
const BUSY_TIMEOUT_MS = 5;
const RETRY_DELAY_MS = 50;
/** More is no faster: what a slice changes fits, and the rest is in the system's cache, while this one only grows. */
const WRITER_CACHE_KIB = 6 * 1024;
const READER_CACHE_KIB = 2 * 1024;

/**
 * Opens the kernel's connection for writing and switches the database to the write-ahead log. The data source need not
 * be open; a file that does not exist is created, as TypeORM would.
 *
 * Throws `TIDEMARK_STORAGE_…`: `DRIVER`, `IN_MEMORY`, `DIRECTORY`, `NOT_A_DATABASE`, `READ_ONLY`, `LOCKED`, `ENCODING`,
 * `NO_WAL`, or `CANNOT_OPEN` for all the rest.
 */
export function openWriterConnection(options: OpenConnectionOptions): Promise<Sqlite> {
  return openConnection(options, (connection, path) => {
    // Shows at once whether the file can be written and nobody else holds it.
    connection.exec("BEGIN IMMEDIATE; ROLLBACK");
    const encoding = connection.pragma("encoding", { simple: true }) as string;
    if (encoding !== "UTF-8") throw storageErrors.encoding({ path, encoding });
    const mode = connection.pragma("journal_mode = WAL", { simple: true }) as string;
    if (mode !== "wal") throw storageErrors.noWriteAheadLog({ path, mode });
    connection.pragma(`cache_size = -${WRITER_CACHE_KIB}`);
    // What an insert of many rows would have to undo if one of them were refused is kept at hand, not in a file.
    connection.pragma("temp_store = MEMORY");
  });
}

/** Opens a connection that can only read. Errors as {@link openWriterConnection}, which must have been called before. */
export function openReaderConnection(options: OpenConnectionOptions): Promise<Sqlite> {
  return openConnection(options, (connection) => {
    connection.pragma(`cache_size = -${READER_CACHE_KIB}`);
    connection.pragma("query_only = ON");
    // The first read opens the write-ahead log; better here than in the middle of a page.
    connection.prepare("SELECT 1 FROM sqlite_master").get();
  });
}

/**
 * The application's own connection, for the gate to watch. Empties TypeORM's cache of prepared statements, because those
 * that were prepared before the watch began would go unseen. Throws `TIDEMARK_STORAGE_NOT_INITIALIZED`.
 */
export function applicationConnection(dataSource: DataSource): Sqlite {
  const { databaseConnection, queryRunner } = driverOf(dataSource);
  if (!dataSource.isInitialized || !databaseConnection) throw storageErrors.notInitialized();
  queryRunner?.stmtCache?.clear();
  return databaseConnection;
}

/** The code of an error of SQLite, such as `SQLITE_BUSY`. Not by `instanceof`: the driver module is the application's. */
export function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : undefined;
}

/** Whether somebody else holds a lock, so that a later attempt may succeed. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code !== undefined && (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED"));
}

/** Whether the schema refuses a row: a unique value, a CHECK, a NOT NULL, a foreign key. */
export function isConstraint(error: unknown): error is Error {
  return sqliteCode(error)?.startsWith("SQLITE_CONSTRAINT") === true;
}

async function openConnection(
  { dataSource, clock, lockTimeoutMs = 30_000 }: OpenConnectionOptions,
  settle: (connection: Sqlite, path: string) => void,
): Promise<Sqlite> {
  const driver = driverOf(dataSource);
  const options = dataSource.options;
  if (options.type !== "better-sqlite3") throw storageErrors.notBetterSqlite3({ type: options.type });
  const path = options.database.trim();
  if (path === "" || path === ":memory:") throw storageErrors.inMemory({ path });
  if (options.readonly) throw storageErrors.readOnly({ path });
  const prepareDatabase = userPrepareDatabase(options);

  const startedAt = clock.monotonicMs();
  for (;;) {
    let opened: Sqlite | undefined;
    try {
      if (!options.fileMustExist) mkdirSync(dirname(path), { recursive: true });
      const connection = new driver.sqlite(path, {
        timeout: BUSY_TIMEOUT_MS,
        ...(options.fileMustExist && { fileMustExist: true }),
        ...(options.nativeBinding && { nativeBinding: options.nativeBinding }),
      });
      opened = connection;
      if (options.key) connection.pragma(`key = ${JSON.stringify(options.key)}`);
      await prepareDatabase?.(connection);
      const files = connection.pragma("database_list") as { readonly name: string; readonly file: string }[];
      if (!files.find(({ name }) => name === "main")?.file) throw storageErrors.inMemory({ path });
      connection.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
      connection.pragma("foreign_keys = ON");
      connection.pragma("recursive_triggers = ON");
      settle(connection, path);
      // Last: in a database without the write-ahead log NORMAL would be less than the application has chosen.
      connection.pragma("synchronous = NORMAL");
      return connection;
    } catch (error) {
      opened?.close();
      if (!isBusy(error)) throw openError(error, path);
      const waitedMs = clock.monotonicMs() - startedAt;
      if (waitedMs >= lockTimeoutMs) throw storageErrors.locked({ path, waitedMs: Math.round(waitedMs), cause: error });
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, RETRY_DELAY_MS));
  }
}

function driverOf(dataSource: DataSource): Driver {
  const { type } = dataSource.options;
  if (type !== "better-sqlite3") throw storageErrors.notBetterSqlite3({ type });
  // TypeORM types the driver by its general interface, and these members are protected.
  return dataSource.driver as unknown as Driver;
}

function openError(error: unknown, path: string): unknown {
  if (isTidemarkError(error)) return error;
  const code = sqliteCode(error) ?? (error as { readonly code?: unknown } | null)?.code;
  if (isDirectory(path)) return storageErrors.directory({ path });
  if (code === "SQLITE_NOTADB") return storageErrors.notADatabase({ path, cause: error });
  const denied = typeof code === "string" && (code.startsWith("SQLITE_READONLY") || code === "SQLITE_PERM");
  if (denied || code === "EACCES" || code === "EROFS" || code === "EPERM" || !isWritable(path)) {
    return storageErrors.readOnly({ path, cause: error });
  }
  return storageErrors.cannotOpen({ path, cause: error });
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Whether the file, if it exists, and its folder can be written. Says yes when it can't tell. */
function isWritable(path: string): boolean {
  for (const it of [dirname(path), path]) {
    try {
      accessSync(it, constants.W_OK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EACCES" || code === "EROFS" || code === "EPERM") return false;
    }
  }
  return true;
}
