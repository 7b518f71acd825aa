import type { Sqlite } from "./database.js";

/**
 * Puts the checks of foreign keys off to the COMMIT of the transaction that is open: records of one batch may refer to each
 * other in any order.
 *
 * The pragma is prepared and not run. SQLite sets the flag while it compiles the pragma; running it only makes SQLite
 * compile every other statement of the connection anew, which in small transactions takes longer than all of their work.
 * As the flag also counts when a statement that writes is compiled, such statements have to be prepared behind this call.
 */
const SQL = "PRAGMA defer_foreign_keys = ON";

/** Connections on which preparing has been seen to be enough, or not. */
const enough = new WeakMap<Sqlite, boolean>();

export function deferForeignKeys(db: Sqlite): void {
  const pragma = db.prepare(SQL);
  let prepares = enough.get(db);
  if (prepares === undefined) {
    // SQLite's manual does not promise at which of the two steps a pragma takes effect.
    prepares = db.pragma("defer_foreign_keys", { simple: true }) === 1;
    enough.set(db, prepares);
  }
  if (!prepares) pragma.run();
}
