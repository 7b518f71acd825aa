import type { Random } from "@tidemark/plugin-api";
import type { Sqlite } from "../storage/database.js";
import { type LogTransaction, readState } from "../storage/log-transaction.js";
import { type Members, saveMember } from "../storage/members.js";
import { clearOutbox } from "../storage/outbox.js";
import { loadVector, raiseVector, removalOf } from "../storage/vectors.js";
import { REMOVAL_MARK, type WireMember } from "./messages.js";

/**
 * How a device becomes a member of a library: it founds it, or joins it through a sponsor. A join is a change in the
 * sponsor's own stream, and the joiner's clock starts past it; so the stable point stays below everything that the joiner
 * will ever write. All functions run inside a write transaction of the caller, who makes it durable before it tells anyone.
 */
export interface DeviceFacts {
  readonly deviceId: string;
  readonly name: string;
}

/** A random identifier of an origin, a log or a session: 128 bits in the form of a uuid. */
export function newId(random: Random): string {
  const bytes = Buffer.from(random.bytes(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Makes this device the first and only member. What is in its tables already is the library: it needs no stamps, and what
 * waits in the outbox is part of it.
 */
export function foundLibrary({
  db,
  library,
  device,
  hlc,
  random,
}: {
  readonly db: Sqlite;
  readonly library: string;
  readonly device: DeviceFacts;
  /** The time of the founding. */
  readonly hlc: number;
  readonly random: Random;
}): void {
  saveMember(db, { origin: newId(random), ...device, joinHlc: hlc, sponsor: null });
  clearOutbox(db);
  db.prepare(
    "UPDATE tidemark_state SET library = ?, device = ?, self = (SELECT max(num) FROM tidemark_member), hlc = max(hlc, ?), floor = max(floor, ?), ready = 1",
  ).run(library, device.deviceId, hlc, hlc);
}

/**
 * The origin under which this device asks to join: made once, and durable before it asks anybody. So all whom it asks
 * vouch for the same member, also when it has never heard their answer.
 */
export function nextOrigin(db: Sqlite, members: Members, random: Random): string {
  const next = db.prepare("SELECT next_origin FROM tidemark_state").pluck().get() as string | null;
  if (next !== null && !members.byOrigin(next)?.removal) return next;
  const origin = newId(random);
  db.prepare("UPDATE tidemark_state SET next_origin = ?").run(origin);
  return origin;
}

/** Vouches for a device, under the origin that it has made. The time of its join: that of the first time, if it asks again. */
export function sponsor({
  tx,
  members,
  device,
  origin,
}: {
  readonly tx: LogTransaction;
  readonly members: Members;
  readonly device: DeviceFacts;
  readonly origin: string;
}): { readonly hlc: number; readonly first: boolean } {
  const known = members.byOrigin(origin);
  if (known !== undefined && known.joinHlc !== null) return { hlc: known.joinHlc, first: false };
  const { hlc } = tx.tick();
  saveMember(tx.db, { origin, ...device, joinHlc: hlc, sponsor: members.byNumber(tx.self!).origin });
  members.load(tx.db);
  return { hlc, first: true };
}

/** Takes up the membership that a sponsor has granted; what remains is a backfill. */
export function adoptMembership({
  db,
  members,
  library,
  device,
  origin,
  hlc,
  known,
  mode,
  startedAt,
}: {
  readonly db: Sqlite;
  readonly members: Members;
  readonly library: string;
  readonly device: DeviceFacts;
  readonly origin: string;
  readonly hlc: number;
  readonly known: readonly WireMember[];
  readonly mode: BackfillMode;
  readonly startedAt: number;
}): void {
  for (const member of known) saveMember(db, member);
  members.load(db);
  const self = members.byOrigin(origin)!;
  // The first time after the join is kept for records from before it, which the backfill issues as own.
  db.prepare(
    `UPDATE tidemark_state SET library = ?, device = ?, self = ?, hlc = max(hlc, ?), ready = 0,
     next_origin = NULL, next_mode = NULL`,
  ).run(library, device.deviceId, self.num, hlc + 1);
  // What was written before has no stamp: the backfill compares it with the library, range by range.
  clearOutbox(db);
  beginBackfill(db, mode, startedAt);
}

/** `join` removes nothing, and issues as own what only this device has; `full` removes what the library lacks. */
export type BackfillMode = "join" | "full";

/** Starts a backfill from nothing, forgetting one that was under way. */
export function beginBackfill(db: Sqlite, mode: BackfillMode, startedAt: number): void {
  db.prepare(
    "INSERT OR REPLACE INTO tidemark_backfill (id, mode, noted, floor, cursors, started) VALUES (1, ?, NULL, 0, '{}', ?)",
  ).run(mode, Math.trunc(startedAt));
  db.prepare("UPDATE tidemark_state SET ready = 0").run();
}

export function wireMembers(members: Members): WireMember[] {
  return members.counted().map(({ origin, deviceId, name, joinHlc, sponsor }) => ({
    origin,
    deviceId,
    name,
    joinHlc: joinHlc!,
    sponsor,
  }));
}

/**
 * Takes over what a peer knows of the members; their joins count from now on. Of two joins of one member, which had asked
 * two sponsors one after the other, the earlier one stands everywhere, but on itself: its clock started at the one that
 * was granted, and records from before were issued at that time. Those that were not known.
 */
export function learnMembers(db: Sqlite, members: Members, told: readonly WireMember[]): readonly WireMember[] {
  const { self } = readState(db);
  const news = told.flatMap((member) => {
    const known = members.byOrigin(member.origin);
    const first = known === undefined || known.joinHlc === null;
    const earlier = !first && known.num !== self && member.joinHlc < known.joinHlc!;
    return first || earlier ? [{ member, first }] : [];
  });
  for (const { member } of news) saveMember(db, member);
  if (news.length > 0) members.load(db);
  return news.flatMap(({ member, first }) => (first ? [member] : []));
}

/** A vector of origin ids, as it travels. What it says of a removal goes under the origin id with a mark before it. */
export function toWireVector(vector: ReadonlyMap<number, number>, members: Members): Record<string, number> {
  const wire: Record<string, number> = {};
  for (const [origin, entry] of vector) {
    wire[origin < 0 ? REMOVAL_MARK + members.byNumber(-origin).origin : members.byNumber(origin).origin] = entry;
  }
  return wire;
}

/** Entries for origins that are unknown here are left out: nothing can be said of them yet. */
export function fromWireVector(wire: Readonly<Record<string, number>>, members: Members): Map<number, number> {
  const vector = new Map<number, number>();
  for (const [name, entry] of Object.entries(wire)) {
    const marked = name.startsWith(REMOVAL_MARK);
    const member = members.byOrigin(marked ? name.slice(REMOVAL_MARK.length) : name);
    if (member !== undefined) vector.set(marked ? removalOf(member.num) : member.num, entry);
  }
  return vector;
}

/** The vectors of all others that count for anybody, as far as they are known here, by origin id. */
export function knownVectors(db: Sqlite, members: Members, self: number): Record<string, Record<string, number>> {
  const known: Record<string, Record<string, number>> = {};
  for (const member of members.counted()) {
    if (member.num === self || member.settledHlc !== null) continue;
    const vector = loadVector(db, member.num);
    if (vector.size > 0) known[member.origin] = toWireVector(vector, members);
  }
  return known;
}

/** Takes over vectors of other members that a peer has told; entries only rise. */
export function learnVectors(
  db: Sqlite,
  members: Members,
  self: number,
  told: Readonly<Record<string, Readonly<Record<string, number>>>>,
): void {
  for (const [origin, vector] of Object.entries(told)) {
    const member = members.byOrigin(origin);
    if (member !== undefined && member.num !== self) raiseVector(db, member.num, fromWireVector(vector, members));
  }
}
