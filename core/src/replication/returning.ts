import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import { type Member, type Members, type Removal, saveMember } from "../storage/members.js";
import { outboxIsEmpty } from "../storage/outbox.js";
import { resetSyncTables } from "../storage/reset.js";
import { loadVector, raiseVector } from "../storage/vectors.js";
import { loadBackfill } from "./backfill-store.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { adoptMembership, type BackfillMode, foundLibrary, newId } from "./membership.js";
import type { MessageOf } from "./messages.js";
import { addRemovals } from "./removals.js";
import { putAside } from "./unsent.js";

/**
 * How a device comes to a new origin: it joins for the first time; its origin was removed, and it returns; its database
 * turns out to be a copy of another device's; or it is told to start anew. In each case it forgets stamps and vectors, and
 * receives the whole library. What it had not got out under its old origin is put aside first (`unsent.ts`), and issued
 * again in the end (`reissue.ts`).
 */

/** Whether a removed device may come back by itself. What a person has removed may not. */
export function mayReturn(removal: Removal): boolean {
  return removal.kind !== "removed";
}

/** Takes up the membership that a sponsor has granted, and gives up the origin before, in one transaction. */
export async function takeUpMembership(library: LocalLibrary, granted: MessageOf<"joined">): Promise<void> {
  const { settings, clock, members, fence } = library.deps;
  const { origin, hlc, members: known } = granted;
  const device = { deviceId: settings.device.id, name: settings.device.name };
  await withEmptyOutbox(library, "take up membership", (db, self) => {
    const mode = self === null ? plannedMode(db) : leave(library, db, self, entriesAt(library, self, granted));
    const adopted = { library: settings.library.id, device, origin, hlc, known, mode, startedAt: clock.now() };
    adoptMembership({ db, members, ...adopted });
  });
  await fence.cover();
}

/** The database was copied from another device, which goes on under its own origin: this one will join under another. */
export async function leaveAsCopy(library: LocalLibrary): Promise<void> {
  const { members, fence } = library.deps;
  await withEmptyOutbox(library, "leave the origin of another device", (db, self) => {
    if (self === null) {
      forget(library, db);
      return;
    }
    const others = members.all().filter((member) => member.num !== self.num);
    const heard = Math.max(...others.map(({ num }) => loadVector(db, num).get(self.num) ?? 0), self.joinHlc ?? 0);
    planMode(db, leave(library, db, self, new Map([[self.num, heard]])));
  });
  await fence.cover();
}

/**
 * Forgets everything that is known about synchronization. Every record stays, and is issued anew if the library lacks it;
 * with `found`, what is here is the library. Throws `TIDEMARK_MEMBERS_ARE_LEFT` if others would go on without it.
 */
export async function leaveForReset(library: LocalLibrary, { found }: { readonly found: boolean }): Promise<void> {
  const { members, fence, settings, clock } = library.deps;
  const founded = await transaction(library, "reset", (db) => {
    const { self, hlc } = readState(db);
    const left = members.present().filter(({ num, deviceId }) => num !== self && deviceId !== settings.device.id);
    if (found && left.length > 0) throw replicationErrors.membersAreLeft({ members: left.map((it) => it.deviceId) });
    const present = fromPhysicalMs(clock.now());
    const last = hlc > library.maxHlc ? present : hlc;
    if (self !== null) {
      const { origin, deviceId, name } = members.byNumber(self);
      addRemovals(db, members, [{ origin, deviceId, name, kind: "replaced", hlc: last, by: origin }]);
    }
    forget(library, db);
    if (!found && !mayFound(library, db)) return false;
    foundAt(library, db, Math.max(last + 1, present));
    return true;
  });
  await fence.cover();
  if (founded) tellFounded(library);
}

/** Founds the library where that is this device's part: who was a member of one before joins it anew, whatever its role was. */
export async function foundIfNew(library: LocalLibrary): Promise<void> {
  const { connection, clock } = library.deps;
  if (!mayFound(library, connection)) return;
  await transaction(library, "found the library", (db) => foundAt(library, db, fromPhysicalMs(clock.now())));
  tellFounded(library);
}

function mayFound({ deps: { settings } }: LocalLibrary, db: Sqlite): boolean {
  const { self, library } = readState(db);
  return self === null && library === null && settings.library.role === "found";
}

function foundAt({ deps: { members, settings, random } }: LocalLibrary, db: Sqlite, hlc: number): void {
  const device = { deviceId: settings.device.id, name: settings.device.name };
  foundLibrary({ db, library: settings.library.id, device, hlc, random });
  members.load(db);
}

function tellFounded({ deps: { members, connection, events } }: LocalLibrary): void {
  const { origin, deviceId } = members.byNumber(readState(connection).self!);
  events.emit("memberJoined", { origin, deviceId, sponsor: null });
}

/**
 * Goes on under a new origin with all that is here, without a backfill: for when all members have been removed, so that
 * there is nobody to return through. The others return through this device.
 */
export async function carryOn(library: LocalLibrary): Promise<Member> {
  const { members, random, fence } = library.deps;
  const member = await library.write("carry on under a new origin", (tx) => {
    const before = members.byNumber(tx.self!);
    const origin = newId(random);
    const { hlc } = tx.tick();
    const { deviceId, name } = before;
    saveMember(tx.db, { origin, deviceId, name, joinHlc: hlc, sponsor: before.origin });
    members.load(tx.db);
    const self = members.byOrigin(origin)!;
    // Of what it was itself it has all, unless its database has gone back in time: then what is stable is sure, and no more.
    const own = before.removal?.kind === "regressed" ? Math.max(tx.floor, before.joinHlc!) : hlc;
    raiseVector(tx.db, self.num, loadVector(tx.db, before.num).set(before.num, own));
    tx.db.prepare("UPDATE tidemark_state SET self = ?").run(self.num);
    return self;
  });
  await fence.cover();
  return member;
}

/** Puts aside what others lack, and forgets. How the backfill is to treat what the library lacks. */
function leave(library: LocalLibrary, db: Sqlite, self: Member, entries: ReadonlyMap<number, number>): BackfillMode {
  // Before its first backfill was complete, or if it has forgotten stamps that the others never saw, nobody can tell any
  // more which of its records the library lacks because they were deleted there: then none is removed.
  const blind = loadBackfill(db)?.mode === "join" || hasForgotten(db, self, entries);
  putAside(db, entries, library.deps);
  forget(library, db);
  return blind ? "join" : "full";
}

/** Whether stamps from above `entries` may be gone: this device had what the others lack, and its floor has passed it. */
function hasForgotten(db: Sqlite, self: Member, entries: ReadonlyMap<number, number>): boolean {
  const { floor, hlc } = readState(db);
  const own = loadVector(db, self.num).set(self.num, hlc);
  return [...entries].some(([origin, entry]) => floor > entry && (own.get(origin) ?? 0) > entry);
}

function forget(library: LocalLibrary, db: Sqlite): void {
  const { members, random, clock } = library.deps;
  resetSyncTables(db, newId(random));
  // A clock that was far ahead need not stay there: the next origin has stamped nothing yet.
  if (readState(db).hlc > library.maxHlc) {
    db.prepare("UPDATE tidemark_state SET hlc = ?").run(fromPhysicalMs(clock.now()));
  }
  members.load(db);
}

/** The last times that count of removed origins: what is here above them is nowhere else, this device's own or not. */
function entriesAt({ deps: { members } }: LocalLibrary, self: Member, granted: MessageOf<"joined">) {
  const { settled } = granted;
  const entries = new Map<number, number>([[self.num, self.joinHlc ?? 0]]);
  for (const member of members.removed()) {
    const { origin, num, joinHlc } = member;
    if (Object.hasOwn(settled, origin)) entries.set(num, settled[origin]!);
    else if (joinHlc !== null && isUnheardOf(members, member, granted)) entries.set(num, joinHlc);
  }
  return entries;
}

/** Whether the library can't come to hear of a join any more: it was granted in a stream of which nothing more counts. */
function isUnheardOf(members: Members, member: Member, { members: told, settled }: MessageOf<"joined">): boolean {
  const counted = new Set(told.map(({ origin }) => origin));
  const seen = new Set<string>();
  for (let joined: Member | undefined = member; joined !== undefined; joined = members.byOrigin(joined.sponsor)) {
    if (counted.has(joined.origin) || joined.sponsor === null || seen.has(joined.origin)) return false;
    if (Object.hasOwn(settled, joined.sponsor)) return true;
    seen.add(joined.origin);
  }
  return false;
}

function plannedMode(db: Sqlite): BackfillMode {
  return (db.prepare("SELECT next_mode FROM tidemark_state").pluck().get() as BackfillMode | null) ?? "join";
}

function planMode(db: Sqlite, mode: BackfillMode): void {
  db.prepare("UPDATE tidemark_state SET next_mode = ?").run(mode);
}

/** Runs `body` in a transaction in which everything that was written has its stamp, if this device is or was a member. */
async function withEmptyOutbox(
  library: LocalLibrary,
  name: string,
  body: (db: Sqlite, self: Member | null) => void,
): Promise<void> {
  const { members } = library.deps;
  for (;;) {
    await library.fold();
    const done = await transaction(library, name, (db) => {
      const { self } = readState(db);
      if (self !== null && !outboxIsEmpty(db)) return false;
      body(db, self === null ? null : members.byNumber(self));
      return true;
    });
    if (done) return;
  }
}

/** A write transaction that leaves the log behind; what memory knows of the members goes back with a rollback. */
async function transaction<T>(
  { deps: { writer, members, connection } }: LocalLibrary,
  name: string,
  body: (db: Sqlite) => T,
): Promise<T> {
  try {
    return await writer.run({ name, body });
  } catch (error) {
    if (connection.open) members.load(connection);
    throw error;
  }
}
