import { isConstraint } from "../storage/database.js";

/**
 * The schema refuses one of the newcomers. Some of the others are in their tables by now, so whoever gets this rolls the
 * transaction back and has the same records applied the long way, which finds out which of them it is and what that means
 * for the rest. A savepoint would do without, but inside of one SQLite keeps a copy of every page that an insert touches:
 * a backfill would take more than twice as long.
 */
export class NewcomersRefused extends Error {}

/** Runs what inserts newcomers. Throws {@link NewcomersRefused} when the schema refuses one of them. */
export function orRefused(insert: () => void): void {
  try {
    insert();
  } catch (error) {
    throw isConstraint(error) ? new NewcomersRefused("the schema refuses a newcomer", { cause: error }) : error;
  }
}
