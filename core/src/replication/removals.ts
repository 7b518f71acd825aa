import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import { type Member, type Members, outweighs, type RemovalFacts, saveRemoval } from "../storage/members.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import type { WireRemoval } from "./messages.js";

/**
 * Who is no member any more: a set that only grows, keyed by origin. It is exchanged in both directions first thing in
 * every hello, with removed devices too, and goes along with the end of every round. Each removal counts, even if its
 * maker is removed itself; so two that remove each other are both removed.
 *
 * From the moment a device knows a removal it takes nothing more from the removed origin itself. What any member has of
 * it stays valid, keeps its stamps and is relayed; `settling.ts` says what becomes of the rest.
 */

/** More than any library ever has; a peer that tells more is none of this protocol. */
const MAX_REMOVALS = 10_000;

export function wireRemovals(members: Members): WireRemoval[] {
  return members.removed().map(({ origin, deviceId, name, removal }) => ({ origin, deviceId, name, ...removal! }));
}

/** The last time that counts of each removed origin whose removal is settled here, by origin id. */
export function settledEntries(members: Members): Record<string, number> {
  const settled = members.removed().filter(({ settledHlc }) => settledHlc !== null);
  return Object.fromEntries(settled.map(({ origin, settledHlc }) => [origin, settledHlc!]));
}

/** Adds removals to the set; call inside a write transaction. Those that say something new, as members. */
export function addRemovals(db: Sqlite, members: Members, told: readonly RemovalFacts[]): readonly Member[] {
  const fresh = told.filter((removal) => isNews(members, removal));
  if (fresh.length === 0) return [];
  const added = fresh.filter(({ origin }) => members.byOrigin(origin)?.removal == null);
  if (members.removed().length + added.length > MAX_REMOVALS) {
    throw replicationErrors.tooManyRemovals({ limit: MAX_REMOVALS });
  }
  for (const removal of fresh) saveRemoval(db, removal);
  members.load(db);
  return fresh.map(({ origin }) => members.byOrigin(origin)!);
}

function isNews(members: Members, told: RemovalFacts): boolean {
  const known = members.byOrigin(told.origin)?.removal ?? null;
  return known === null || outweighs(told, known);
}

/** Takes over removals that a peer has told, or that are made here. Durable once it resolves. */
export async function learnRemovals(library: LocalLibrary, told: readonly RemovalFacts[]): Promise<void> {
  const { members, fence } = library.deps;
  if (!told.some((removal) => isNews(members, removal))) return;
  const fresh = await library.write("removals", ({ db }) => addRemovals(db, members, told));
  await fence.cover();
  tellRemovals(library, fresh);
}

/** Once they are committed. */
export function tellRemovals(library: LocalLibrary, fresh: readonly Member[]): void {
  const { events, logger } = library.deps;
  for (const { origin, deviceId, name, removal } of fresh) {
    const { kind, by } = removal!;
    logger.info("A member was removed", { origin, deviceId, name, kind, by });
    events.emit("memberRemoved", { origin, deviceId, kind, by });
  }
}

/**
 * Removes who goes by this origin or device id, for good: they do not come back by themselves. Durable once it resolves;
 * nothing happens if they are removed already.
 */
export async function removeMembers(library: LocalLibrary, name: string): Promise<void> {
  const { members, fence } = library.deps;
  const fresh = await library.write(`removal of ${name}`, (tx) => {
    const meant = membersNamed(library, name);
    const by = members.byNumber(tx.self!).origin;
    const { hlc } = tx.tick();
    return addRemovals(
      tx.db,
      members,
      meant.map(({ origin, deviceId, name }) => ({ origin, deviceId, name, kind: "removed", hlc, by })),
    );
  });
  await fence.cover();
  tellRemovals(library, fresh);
}

/** The members that `name` stands for: one origin, or all present origins of a device. Throws if it is none of them. */
function membersNamed(library: LocalLibrary, name: string): readonly Member[] {
  const { members, connection, settings } = library.deps;
  const { self } = readState(connection);
  const known = members.counted();
  const meant = known.filter(
    ({ origin, deviceId, removal }) => (origin === name || deviceId === name) && removal?.kind !== "replaced",
  );
  if (name === settings.device.id || meant.some(({ num }) => num === self)) throw replicationErrors.removesItself();
  if (meant.length === 0) {
    const present = members.present().filter(({ num }) => num !== self);
    throw replicationErrors.unknownPeer({ peer: name, known: present.map(({ deviceId }) => deviceId) });
  }
  return meant;
}
