import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of the storage layer, with its stable code. */
export const storageErrors = {
  newerFormat: ({ found, supported }: { readonly found: number; readonly supported: number }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_NEWER_FORMAT",
      what: "The sync tables of this database can't be used",
      why: `they have format ${found}, and this version of Tidemark knows formats up to ${supported}`,
      advice: "Update the application to the version that last opened this database, or a newer one",
      details: { found, supported },
    }),
  notBetterSqlite3: ({ type }: { readonly type: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_DRIVER",
      what: "The data source can't be synced",
      why: `its type is "${type}", and only "better-sqlite3" is supported`,
      advice: 'Make the data source with `tidemarkDataSourceOptions({ type: "better-sqlite3", … })`',
      details: { type },
    }),
  notInitialized: () =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_NOT_INITIALIZED",
      what: "The connection of the data source can't be watched",
      why: "the data source is not open yet",
      advice: "Call `dataSource.initialize()` before",
    }),
  inMemory: ({ path }: { readonly path: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_IN_MEMORY",
      what: "The database can't be synced",
      why: `${path === "" ? "a temporary database" : `"${path}"`} belongs to one connection, and the kernel needs one of its own`,
      advice: "Use a database file; for tests, one in a temporary folder",
      details: { path },
    }),
  directory: ({ path }: { readonly path: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_DIRECTORY",
      what: `The database "${path}" can't be opened`,
      why: "the path is a directory",
      advice: "Name a file inside it in the `database` option of the data source",
      details: { path },
    }),
  notADatabase: ({ path, cause }: { readonly path: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_NOT_A_DATABASE",
      what: `The database "${path}" can't be opened`,
      why: "the file is not an SQLite database, or it is encrypted with another key",
      advice: "Check the path, and the `key` option of the data source if the database is encrypted",
      details: { path },
      cause,
    }),
  readOnly: ({ path, cause }: { readonly path: string; readonly cause?: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_READ_ONLY",
      what: `The database "${path}" can't be synced`,
      why: "the file, its folder, or the data source itself is read-only",
      advice:
        "Give this user write access to the file and to its folder (SQLite keeps two files beside it), and leave out the `readonly` option",
      details: { path },
      cause,
    }),
  cannotOpen: ({ path, cause }: { readonly path: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_CANNOT_OPEN",
      what: `The database "${path}" can't be opened`,
      why: cause instanceof Error ? cause.message : String(cause),
      advice: "Check that the path exists and that the options of the data source, `prepareDatabase` included, fit it",
      details: { path },
      cause,
    }),
  locked: ({ path, waitedMs, cause }: { readonly path: string; readonly waitedMs: number; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_LOCKED",
      what: `The database "${path}" can't be opened`,
      why: `somebody else has kept it locked for ${waitedMs} ms`,
      advice: "Close the other program, or end the transaction that it left open, and start again",
      details: { path, waitedMs },
      cause,
    }),
  encoding: ({ path, encoding }: { readonly path: string; readonly encoding: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_ENCODING",
      what: `The database "${path}" can't be synced`,
      why: `it keeps text as ${encoding}, in which text can't be compared and carried byte for byte as on the other devices`,
      advice:
        "Copy it into a new database with UTF-8, which is what SQLite makes by itself: `sqlite3 old.db .dump | sqlite3 new.db`",
      details: { path, encoding },
    }),
  noWriteAheadLog: ({ path, mode }: { readonly path: string; readonly mode: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_NO_WAL",
      what: `The database "${path}" can't be synced`,
      why: `its journal mode stays "${mode}", and the write-ahead log is needed`,
      advice: "Keep the database on a local disk; a network file system has no write-ahead log",
      details: { path, mode },
    }),
  acquireTimedOut: ({
    holder,
    waitMs,
    holders,
  }: {
    readonly holder: string;
    readonly waitMs: number;
    readonly holders: readonly { readonly holder: string; readonly heldMs: number }[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_ACQUIRE_TIMEOUT",
      what: `"${holder}" got no connection`,
      why: `all were in use for ${waitMs} ms: ${holders.map((it) => `"${it.holder}" for ${it.heldMs} ms`).join(", ")}`,
      advice: "Find out why these hold theirs for so long, or raise `settings.pool.size` (`TIDEMARK_DB_POOL_SIZE`)",
      details: { holder, waitMs, holders },
    }),
  poolClosed: ({ holder }: { readonly holder: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_POOL_CLOSED",
      what: `"${holder}" got no connection`,
      why: "the pool of connections is closed",
      advice: "Ask for connections only while Tidemark runs",
      details: { holder },
    }),
  leasesNotReturned: ({ holders }: { readonly holders: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_LEASES_NOT_RETURNED",
      what: "The pool of connections was closed by force",
      why: `leases were not given back in time: ${holders.map((holder) => `"${holder}"`).join(", ")}`,
      advice: "Release every lease, also when something fails in between; `withReader` does it by itself",
      details: { holders },
    }),
  writerClosed: ({ name }: { readonly name: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_WRITER_CLOSED",
      what: `The write "${name}" was not done`,
      why: "the writer is closed",
      advice: "Write only while Tidemark runs",
      details: { name },
    }),
  asyncBody: ({ name }: { readonly name: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_ASYNC_BODY",
      what: `The write "${name}" was rolled back`,
      why: "its body returned a promise, and nothing may be awaited inside a write transaction",
      advice: "Do what is asynchronous before the write, and hand over a plain function",
      details: { name },
    }),
  transactionLost: ({ name }: { readonly name: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_TRANSACTION_LOST",
      what: `The write "${name}" failed`,
      why: "its transaction had ended before the body did",
      advice:
        "Let errors of SQLite leave the body, because some of them end the transaction, and run no COMMIT or ROLLBACK in it",
      details: { name },
    }),
  diskFull: ({ name, cause }: { readonly name: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_FULL",
      what: `The write "${name}" was rolled back`,
      why: "the disk is full, or the database has reached its largest size",
      advice: "Make room; what was not written is tried again by itself",
      details: { name },
      cause,
    }),
  inputOutput: ({ name, cause }: { readonly name: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_IO",
      what: `The write "${name}" was rolled back`,
      why: `the disk could not be read or written (${cause instanceof Error ? cause.message : String(cause)})`,
      advice: "Check the disk and its file system",
      details: { name },
      cause,
    }),
  commitFailed: ({ name, cause }: { readonly name: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_COMMIT_FAILED",
      what: `The write "${name}" was rolled back`,
      why: cause instanceof Error ? cause.message : String(cause),
      advice: "See the cause; a foreign key that does not hold shows only here, when checks were deferred",
      details: { name },
      cause,
    }),
  captureUnsafeDrop: ({ table, affected }: { readonly table: string; readonly affected: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_CAPTURE_UNSAFE_DROP",
      what: `The table "${table}" was not dropped`,
      why: `foreign keys are on, so SQLite would delete its rows first and carry that on to ${affected.map((name) => `"${name}"`).join(", ")}; these deletes would then be synced to the whole library`,
      advice:
        "Change the schema in a migration or by `synchronize`, which turn foreign keys off, or run `PRAGMA foreign_keys = OFF` before the transaction (that is also how to revert a migration, for which TypeORM does not do it) and ON after it. If a change by TypeORM's query runner failed here outside a transaction, drop the copy `temporary_…` that it left behind",
      details: { table, affected },
    }),
  badIdentity: ({ model, value }: { readonly model: string; readonly value: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_BAD_IDENTITY",
      what: `A record of "${model}" can't be synced`,
      why: `its identity ${JSON.stringify(value)} is not text of 1 to 512 valid characters without white space`,
      advice: "Give the row a uuid in its identity column",
      details: { model, value },
    }),
  notAnIdentity: ({ model, value }: { readonly model: string; readonly value: string }) =>
    new TidemarkError({
      code: "TIDEMARK_STORAGE_NOT_AN_IDENTITY",
      what: `Records of "${model}" can't be read`,
      why: `${JSON.stringify(value)} is not an identity of this model`,
      advice: "Go on from the identity of a record of this model, or from the beginning",
      details: { model, value },
    }),
};
