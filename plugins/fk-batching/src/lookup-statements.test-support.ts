// A driver module that counts, on every connection that it opens, how often statements run that look up keys. It counts
// what SQLite is asked, not what somebody says of it.

import Database from "better-sqlite3";

export interface LookupStatements {
  /** For the option `driver` of a data source. */
  readonly driver: typeof Database;
  /** Executions of look-ups of the key behind one identity. */
  readonly single: number;
  /** Executions of look-ups of the keys behind many identities. */
  readonly bulk: number;
}

/** `SELECT key FROM table WHERE identity = ?`, and nothing else. */
const SINGLE = /^SELECT "\w+" FROM "\w+" WHERE "\w+" = \?$/;
/** `SELECT key FROM json_each(?) AS wanted LEFT JOIN …`, or the same with the identity; a page of rows begins otherwise. */
const BULK = /^SELECT m\."\w+"(, m\."\w+")? FROM json_each\(\?\) AS wanted (LEFT|CROSS) JOIN/;

export function countLookups(tables: readonly string[]): LookupStatements {
  let single = 0;
  let bulk = 0;
  const concerns = (sql: string) => tables.some((table) => sql.includes(`"${table}"`));
  class CountingDatabase extends Database {
    override prepare(sql: string): never {
      const statement = super.prepare(sql);
      const count = !concerns(sql)
        ? undefined
        : SINGLE.test(sql)
          ? () => (single += 1)
          : BULK.test(sql)
            ? () => (bulk += 1)
            : undefined;
      if (count !== undefined) {
        for (const method of ["get", "all", "iterate"] as const) {
          const original = statement[method].bind(statement) as (...args: unknown[]) => unknown;
          Object.defineProperty(statement, method, {
            value: (...args: unknown[]) => {
              count();
              return original(...args);
            },
          });
        }
      }
      // The declared type is generic in the parameters of the statement.
      return statement as never;
    }
  }
  return {
    driver: CountingDatabase as unknown as typeof Database,
    get single() {
      return single;
    },
    get bulk() {
      return bulk;
    },
  };
}
