import type { BetterSqlite3DataSourceOptions } from "typeorm/driver/better-sqlite3/BetterSqlite3DataSourceOptions.js";
import { captureGuard } from "./capture-guard.js";
import { watchConnection } from "./connection-watch.js";
import type { Sqlite } from "./database.js";
import { storageErrors } from "./errors.js";
import { rememberUserPrepare, userPrepareDatabase } from "./user-prepare.js";

/**
 * The options of a data source that is to be synced: yours, with a `prepareDatabase` that runs your own first, then turns
 * `recursive_triggers` on and watches the connection, so that capture survives migrations and `synchronize`, and a
 * transaction that would drop a synced table under its children is refused. TypeORM turns foreign keys on, as always.
 *
 * Throws `TIDEMARK_STORAGE_DRIVER` when the type is not `better-sqlite3`.
 *
 * @example
 * const dataSource = new DataSource(
 *   tidemarkDataSourceOptions({ type: "better-sqlite3", database: "library.db", entities: [Entry] }),
 * );
 */
export function tidemarkDataSourceOptions<Options extends BetterSqlite3DataSourceOptions>(options: Options): Options {
  if (options.type !== "better-sqlite3") throw storageErrors.notBetterSqlite3({ type: String(options.type) });
  const original = userPrepareDatabase(options);
  const prepareDatabase = async (connection: Sqlite) => {
    await original?.(connection);
    watchConnection({ connection, guard: captureGuard });
  };
  rememberUserPrepare(prepareDatabase, original);
  return { ...options, prepareDatabase };
}
