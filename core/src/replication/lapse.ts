import { physicalMs } from "../clock/hybrid-logical-clock.js";
import type { Sqlite } from "../storage/database.js";
import { type LogTransaction, readState } from "../storage/log-transaction.js";
import type { Member } from "../storage/members.js";
import { prepared } from "../storage/statements.js";
import { loadVector } from "../storage/vectors.js";
import type { LocalLibrary } from "./local-library.js";
import { addRemovals, tellRemovals } from "./removals.js";

/**
 * Members of which nothing was heard for too long lapse: they are removed, free to come back. A word of a member is a step
 * of its own entry in its vector, by whatever way it came; so a device that changes nothing lets its clock tick once in a
 * while. Call before every heartbeat.
 */
export async function lookForLapsed(library: LocalLibrary): Promise<void> {
  const { connection, clock, members, settings } = library.deps;
  const now = clock.now();
  const state = readState(connection);
  if (state.self === null || state.ready === 0 || members.byNumber(state.self).removal !== null) return;
  const { beat, watching } = readWatch(connection);
  // A device that was away itself has not heard of anybody, and they may all have been there. Nor does it know what to
  // think of a clock that leaps.
  const away =
    beat === null || watching === null || now < beat || now - beat > settings.membership.maxOfflineMs / PARTS;
  const since = away ? now : watching;
  const lapsed = silentFor(library, state.self, Math.max(0, now - since), now);
  const noted = !away && now - beat < settings.membership.maxOfflineMs / (PARTS * PARTS);
  const silent = now - physicalMs(state.hlc) > settings.membership.maxOfflineMs / PARTS;
  if (noted && !silent && lapsed.length === 0) return;
  // It survives a power loss, so that the heartbeat needs no other commit before it.
  const fresh = await library.write(
    "heartbeat",
    (tx) => {
      prepared(tx.db, "UPDATE tidemark_state SET beat = ?, watching = ?").run(Math.trunc(now), Math.trunc(since));
      if (silent) tx.tick();
      return lapsed.length === 0 ? [] : removeLapsed(library, tx, lapsed);
    },
    { sent: true },
  );
  if (fresh.length === 0) return;
  await library.deps.fence.cover();
  tellRemovals(library, fresh);
}

/** Into so many parts the longest time offline is divided: for the signs of life, and to tell that this device was away. */
const PARTS = 10;

function readWatch(db: Sqlite): { readonly beat: number | null; readonly watching: number | null } {
  return prepared(db, "SELECT beat, watching FROM tidemark_state").get() as {
    beat: number | null;
    watching: number | null;
  };
}

/** The members that have said nothing for too long, of which this device has watched as much. */
function silentFor({ deps }: LocalLibrary, self: number, watchedMs: number, now: number): readonly Member[] {
  const { members, connection, settings } = deps;
  const { maxOfflineMs } = settings.membership;
  if (watchedMs <= maxOfflineMs) return [];
  const own = loadVector(connection, self);
  return members.present().filter(({ num, joinHlc }) => {
    if (num === self) return false;
    const last = Math.max(joinHlc!, own.get(num) ?? 0, loadVector(connection, num).get(num) ?? 0);
    return now - physicalMs(last) > maxOfflineMs;
  });
}

function removeLapsed(library: LocalLibrary, tx: LogTransaction, lapsed: readonly Member[]): readonly Member[] {
  const { members } = library.deps;
  const by = members.byNumber(tx.self!).origin;
  const { hlc } = tx.tick();
  // Somebody may have been heard of since.
  const still = lapsed.filter(({ origin }) => members.byOrigin(origin)!.removal === null);
  return addRemovals(
    tx.db,
    members,
    still.map(({ origin, deviceId, name }) => ({ origin, deviceId, name, kind: "lapsed" as const, hlc, by })),
  );
}
