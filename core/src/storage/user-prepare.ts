import type { Sqlite } from "./database.js";

/**
 * Remembers, for a `prepareDatabase` of ours, the one of the user that it stands before: the kernel's own connections
 * need the user's functions and collations, but must not be watched.
 */
export type PrepareDatabase = (db: Sqlite) => void | Promise<void>;

const originals = new WeakMap<PrepareDatabase, PrepareDatabase | undefined>();

/** Notes that `ours` runs `original` first. */
export function rememberUserPrepare(ours: PrepareDatabase, original: PrepareDatabase | undefined): void {
  originals.set(ours, original);
}

/** The user's own `prepareDatabase`, whether or not ours stands before it. */
export function userPrepareDatabase(options: {
  readonly prepareDatabase?: PrepareDatabase;
}): PrepareDatabase | undefined {
  const given = options.prepareDatabase;
  return given && originals.has(given) ? originals.get(given) : given;
}
