import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import { outboxIsEmpty } from "../storage/outbox.js";
import { isUnsettled } from "./change-page.js";
import type { LocalLibrary } from "./local-library.js";
import type { UNREST } from "./messages.js";

/**
 * Reads from one snapshot of this device in which there is nothing that one peer has not applied. If that is so on both
 * sides, the two must hold the same records. Comparing vectors would not tell: a vector stands still while a round is on
 * its way, and moves without any change.
 */

/**
 * What is not at rest. `unfolded`: local changes without a stamp. `unsent`: changes that the peer has not applied.
 * `unsettled`: records that wait for their values, or for their time.
 */
export type Unrest = (typeof UNREST)[number];

export type CalmReading<T> =
  | { readonly unrest: null; readonly value: T }
  | { readonly unrest: Unrest; readonly value: null };

/** Local changes come at any time: how often they are folded before the reading is given up. */
const FOLDS = 3;

/** `isSent` says whether the peer has applied the log up to a sequence number. */
export async function readInCalm<T>(
  library: LocalLibrary,
  holder: string,
  isSent: (sequence: number) => boolean,
  read: (db: Sqlite) => Promise<T>,
): Promise<CalmReading<T>> {
  for (let folds = 0; ; folds++) {
    const reading = await library.deps.pool.withReader(holder, async (db): Promise<CalmReading<T>> => {
      db.exec("BEGIN");
      try {
        if (!outboxIsEmpty(db)) return { unrest: "unfolded", value: null };
        if (isUnsettled(db)) return { unrest: "unsettled", value: null };
        if (!isSent(readState(db).sequence)) return { unrest: "unsent", value: null };
        return { unrest: null, value: await read(db) };
      } finally {
        if (db.inTransaction) db.exec("COMMIT");
      }
    });
    if (reading.unrest !== "unfolded" || folds === FOLDS) return reading;
    await library.fold();
  }
}
