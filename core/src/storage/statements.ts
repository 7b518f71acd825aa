import type { Sqlite, Statement } from "./database.js";

const caches = new WeakMap<Sqlite, Map<string, Statement>>();

/** The statement for `sql` on this connection, prepared once. For SQL of which there are few different texts. */
export function prepared(db: Sqlite, sql: string): Statement {
  let cache = caches.get(db);
  if (cache === undefined) {
    cache = new Map();
    caches.set(db, cache);
  }
  let statement = cache.get(sql);
  if (statement === undefined) {
    statement = db.prepare(sql);
    cache.set(sql, statement);
  }
  return statement;
}
