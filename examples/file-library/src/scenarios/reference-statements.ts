import type Database from "better-sqlite3";

/**
 * Counts on every connection of a data source how often statements run that find out local keys by identity. It counts
 * what SQLite is asked, not what somebody says of it.
 */
export interface ReferenceStatements {
  /** For the data source's option `prepareDatabase`, which the kernel's connections obey too. */
  readonly prepareDatabase: (connection: Database.Database) => void;
  counts(): ReferenceStatementCounts;
}

export interface ReferenceStatementCounts {
  /**
   * Look-ups of many keys at once on connections that only read: what fk-batching asks before the transaction, and one for
   * each model of a page that the device sends.
   */
  readonly batched: number;
  /** Look-ups of a single key on the connection that writes: one per reference where nobody has resolved it. */
  readonly single: number;
  /**
   * Look-ups of many keys at once on the connection that writes: which records of a slice are here already, and what the
   * kernel checks again because somebody has written since it was resolved. Made with and without the plugin.
   */
  readonly ofTheKernel: number;
}

/** `SELECT key FROM table WHERE identity = ?`, and nothing else. */
const SINGLE = /^SELECT "\w+" FROM "\w+" WHERE "\w+" = \?$/;
/** `SELECT key FROM json_each(?) AS wanted LEFT JOIN …`, or the same with the identity; a page of rows begins otherwise. */
const MANY = /^SELECT m\."\w+"(, m\."\w+")? FROM json_each\(\?\) AS wanted (LEFT|CROSS) JOIN/;

export function countReferenceStatements(): ReferenceStatements {
  let batched = 0;
  let single = 0;
  let ofTheKernel = 0;
  return {
    counts: () => ({ batched, single, ofTheKernel }),
    prepareDatabase(connection) {
      const prepare = connection.prepare.bind(connection) as (sql: string) => Database.Statement;
      // The role of a connection is decided after it was opened, so it is asked for when a statement runs.
      let onlyReads: boolean | undefined;
      const isReader = () => {
        onlyReads ??= connection.pragma("query_only", { simple: true }) === 1;
        return onlyReads;
      };
      const count = (sql: string) => {
        if (SINGLE.test(sql)) single += 1;
        else if (isReader()) batched += 1;
        else ofTheKernel += 1;
      };
      Object.defineProperty(connection, "prepare", {
        configurable: true,
        writable: true,
        value: (sql: string) => {
          const statement = prepare(sql);
          if (!SINGLE.test(sql) && !MANY.test(sql)) return statement;
          for (const method of ["get", "all", "iterate"] as const) {
            const run = statement[method].bind(statement) as (...values: unknown[]) => unknown;
            Object.defineProperty(statement, method, {
              value: (...values: unknown[]) => {
                count(sql);
                return run(...values);
              },
            });
          }
          return statement;
        },
      });
    },
  };
}
