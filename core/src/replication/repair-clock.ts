import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import { prepared } from "../storage/statements.js";
import type { LocalLibrary } from "./local-library.js";
import { addRemovals, tellRemovals } from "./removals.js";

/**
 * A device that has written while its wall clock was far ahead has stamps that nobody takes, and can't have a smaller one
 * under its origin. So it gives the origin up by itself: it returns under another one, whose clock begins with the present,
 * and issues again what nobody has taken. Only where a peer says what time it is: a clock that is behind looks the same.
 */
export async function giveUpPoisonedOrigin(library: LocalLibrary): Promise<boolean> {
  if (!isPoisoned(library)) return false;
  const { members, fence, logger, clock } = library.deps;
  const fresh = await library.write("give up an origin from the future", (tx) => {
    if (!isPoisoned(library)) return [];
    const hlc = fromPhysicalMs(clock.now());
    if (tx.self === null) {
      takeBack(tx.db, { limit: library.maxHlc, hlc });
      members.load(tx.db);
      return [];
    }
    const self = members.byNumber(tx.self);
    if (members.counted().length === 1) {
      setBack(tx.db, hlc);
      members.load(tx.db);
      return [];
    }
    takeBack(tx.db, { limit: library.maxHlc, hlc });
    members.load(tx.db);
    if (self.removal !== null) return [];
    const { origin, deviceId, name } = self;
    return addRemovals(tx.db, members, [{ origin, deviceId, name, kind: "regressed", hlc, by: origin }]);
  });
  await fence.cover();
  if (fresh.length > 0) {
    const deviceId = fresh[0]!.deviceId;
    logger.warn("This device has written with a clock far ahead, and has to come back under a new origin", {
      deviceId,
    });
  }
  tellRemovals(library, fresh);
  return true;
}

/**
 * Whether this device's clock has been where no peer would follow it, and its origin, or what it says of others, with it.
 * After a reset what it says is all that is left of that time.
 */
function isPoisoned({ deps: { connection, members }, maxHlc }: LocalLibrary): boolean {
  const { self, hlc } = readState(connection);
  const says = members.removed().some(({ removal }) => removal!.hlc > maxHlc);
  return self === null ? says : hlc > maxHlc && (says || members.byNumber(self).removal === null);
}

/** What was said of members in that time has reached nobody. What a person has said stays said, from now on. */
function takeBack(db: Sqlite, { limit, hlc }: { readonly limit: number; readonly hlc: number }): void {
  prepared(
    db,
    `UPDATE tidemark_member SET removed_hlc = ?, settled_hlc = NULL
     WHERE removed_hlc > ? AND removed_kind IN ('removed', 'replaced')`,
  ).run(hlc, limit);
  prepared(
    db,
    `UPDATE tidemark_member SET removed_kind = NULL, removed_hlc = NULL, removed_by = NULL, settled_hlc = NULL
     WHERE removed_hlc > ?`,
  ).run(limit);
  prepared(
    db,
    "UPDATE tidemark_member SET join_hlc = NULL, sponsor = NULL WHERE join_hlc > ? AND num <> (SELECT self FROM tidemark_state)",
  ).run(limit);
}

/** A founder that nobody has joined has no stamps, and nobody has heard of any. */
function setBack(db: Sqlite, hlc: number): void {
  prepared(db, "UPDATE tidemark_state SET hlc = ?, floor = ?").run(hlc, hlc);
  prepared(db, "UPDATE tidemark_member SET join_hlc = ? WHERE num = (SELECT self FROM tidemark_state)").run(hlc);
  prepared(db, "DELETE FROM tidemark_silence").run();
}
