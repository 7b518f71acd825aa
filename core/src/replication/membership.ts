import type { Random } from "@tidemark/plugin-api";
import type { Sqlite } from "../storage/database.js";
import type { LogTransaction } from "../storage/log-transaction.js";
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
 * Vouches for a device. One that asked before and never heard the answer gets the same origin again, as long as nothing
 * has been heard of it since.
 */
export function sponsor({
  tx,
  members,
  device,
  random,
}: {
  readonly tx: LogTransaction;
  readonly members: Members;
  readonly device: DeviceFacts;
  readonly random: Random;
}): { readonly origin: string; readonly hlc: number } {
  const { db } = tx;
  const self = members.byNumber(tx.self!);
  const own = loadVector(db, self.num);
  for (const member of members.all()) {
    if (member.deviceId !== device.deviceId || member.sponsor !== self.origin || member.joinHlc === null) continue;
    if (!own.has(member.num) && loadVector(db, member.num).size === 0)
      return { origin: member.origin, hlc: member.joinHlc };
  }
  const { hlc } = tx.tick();
  const origin = newId(random);
  saveMember(db, { origin, ...device, joinHlc: hlc, sponsor: self.origin });
  members.load(db);
  return { origin, hlc };
}

/** Takes up the membership that a sponsor has granted; what remains is a backfill that removes nothing. */
export function adoptMembership({
  db,
  members,
  library,
  device,
  origin,
  hlc,
  known,
  startedAt,
}: {
  readonly db: Sqlite;
  readonly members: Members;
  readonly library: string;
  readonly device: DeviceFacts;
  readonly origin: string;
  readonly hlc: number;
  readonly known: readonly WireMember[];
  readonly startedAt: number;
}): void {
  for (const member of known) saveMember(db, member);
  members.load(db);
  const self = members.byOrigin(origin)!;
  // The first time after the join is kept for records from before it, which the backfill issues as own.
  db.prepare("UPDATE tidemark_state SET library = ?, device = ?, self = ?, hlc = max(hlc, ?), ready = 0").run(
    library,
    device.deviceId,
    self.num,
    hlc + 1,
  );
  // What was written before has no stamp: the backfill compares it with the library, range by range.
  clearOutbox(db);
  beginBackfill(db, "join", startedAt);
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

/** Takes over what a peer knows of the members; their joins count from now on. */
export function learnMembers(db: Sqlite, members: Members, told: readonly WireMember[]): readonly WireMember[] {
  const fresh = told.filter((member) => (members.byOrigin(member.origin)?.joinHlc ?? null) === null);
  for (const member of fresh) saveMember(db, member);
  if (fresh.length > 0) members.load(db);
  return fresh;
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
