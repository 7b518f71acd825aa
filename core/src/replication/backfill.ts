import { compareIdentities } from "../registry/identity-form.js";
import type { SyncModel } from "../registry/model.js";
import { addToJournal } from "../storage/journal.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { raiseVector } from "../storage/vectors.js";
import { applyPage, type ReceivedPage } from "./apply-batch.js";
import {
  type BackfillCursor,
  type BackfillRecord,
  endBackfill,
  loadBackfill,
  START,
  saveBackfill,
} from "./backfill-store.js";
import { checkWireRecords, recordCountOf } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import type { IncomingRecord } from "./incoming.js";
import type { LocalLibrary } from "./local-library.js";
import { beginBackfill, fromWireVector, learnMembers } from "./membership.js";
import type { MessageOf } from "./messages.js";
import { updatePeer } from "./peer-store.js";
import { editedLocally, type RecordState, type Stamp, UNKNOWN, UNSTAMPED } from "./record-state.js";
import { stampGroup } from "./stamp-group.js";
import { PlainLookup } from "./target-lookup.js";

/**
 * The receiving side of a backfill: pages by key range, model after model in the order of the levels. Each page commits
 * together with its checkpoint, so that a stop resumes at the next page, with another peer if the first is gone. The
 * vector moves with the last page, to the minimum of what all servers noted before their first page.
 */
export interface BackfillSource {
  /** Origin id of the serving peer. */
  readonly peer: string;
  readonly plan: () => Promise<MessageOf<"backfill-plan">>;
  readonly page: (model: string, after: string | null, limit: number) => Promise<MessageOf<"backfill-rows">>;
}

export function runBackfill(library: LocalLibrary, source: BackfillSource): Promise<void> {
  return library.deps.checkpointer.during(() => backfillFrom(library, source));
}

async function backfillFrom(library: LocalLibrary, source: BackfillSource): Promise<void> {
  const { deps } = library;
  const { events, clock, settings, registry } = deps;
  const startedMs = clock.monotonicMs();
  const plan = await source.plan();
  const noted = await library.write("backfill plan", (tx) => notePlan(library, tx, plan));

  const order = modelOrder(library, Object.keys(plan.totals));
  let record = noted;
  // Only a device that had records before it joined can have other values for one of the library.
  const inspect =
    record.mode === "join" && (Object.keys(record.cursors).length > 0 || hasRows(library))
      ? (tx: LogTransaction, records: readonly IncomingRecord[]) => journalOverwritten(library, tx, records)
      : undefined;
  events.emit("backfillStarted", {
    peer: source.peer,
    models: plan.totals,
    resumed: Object.keys(record.cursors).length > 0,
  });
  const limit = settings.replication.pageRecords;
  let ahead: {
    readonly model: string;
    readonly after: string | null;
    readonly rows: Promise<MessageOf<"backfill-rows">>;
  } | null = null;
  const ask = (model: string, after: string | null) => {
    if (ahead !== null && ahead.model === model && ahead.after === after) return ahead.rows;
    return source.page(model, after, limit);
  };
  for (const [index, name] of order.entries()) {
    for (;;) {
      const cursor = cursorOf(record, name);
      if (cursor.complete) break;
      const rows = await ask(name, cursor.after);
      // The next page travels while this one is applied.
      const nextModel =
        rows.upTo !== null ? name : order.slice(index + 1).find((other) => !cursorOf(record, other).complete);
      if (nextModel !== undefined && deps.pacer.pagesAtOnce > 1) {
        const after: string | null = nextModel === name ? rows.upTo : cursorOf(record, nextModel).after;
        const fetched = source.page(nextModel, after, limit);
        fetched.catch(() => {}); // Awaited when its turn comes; until then its failure is nobody's.
        ahead = { model: nextModel, after, rows: fetched };
      } else ahead = null;
      record = await applyRange(library, source.peer, record, name, cursor, rows, nextModel === undefined, inspect);
      const next = record.cursors[name]!;
      events.emit("backfillProgress", {
        peer: source.peer,
        model: name,
        done: next.done,
        total: Math.max(plan.totals[name] ?? 0, next.done),
        allDone: Object.values(record.cursors).reduce((sum, { done }) => sum + done, 0),
        allTotal: record.total,
      });
    }
  }
  for (const model of registry.models) await model.afterBackfill?.();
  events.emit("backfillCompleted", {
    peer: source.peer,
    records: Object.values(record.cursors).reduce((sum, { done }) => sum + done, 0),
    durationMs: clock.monotonicMs() - startedMs,
  });
}

/** Models have the names that peers give them, `constructor` included. */
function cursorOf({ cursors }: BackfillRecord, model: string): BackfillCursor {
  return Object.hasOwn(cursors, model) ? cursors[model]! : START;
}

function hasRows(library: LocalLibrary): boolean {
  const { registry, reader, connection } = library.deps;
  return registry.models.some((model) => reader.count(connection, model) > 0);
}

/** Values from before the join that give way to those of the library. */
function journalOverwritten(library: LocalLibrary, tx: LogTransaction, records: readonly IncomingRecord[]): void {
  const { reader, clock } = library.deps;
  // A page of a backfill holds one model.
  const model = records[0]?.model;
  if (model === undefined) return;
  const rows = reader.readByIdentity(
    tx.db,
    model,
    records.map(({ record }) => record),
  );
  const logged = loadLogged(tx.db, model.number, [...rows.keys()]);
  for (const { record, values } of records) {
    const row = rows.get(record);
    if (row === undefined || logged.has(record)) continue;
    const lost = model.columns.flatMap((column, index) =>
      values[index] === undefined || JSON.stringify(values[index]) === JSON.stringify(row[index])
        ? []
        : [[column.name, row[index]!] as const],
    );
    if (lost.length === 0) continue;
    addToJournal(tx.db, {
      at: clock.now(),
      kind: "overwritten-at-join",
      model: model.name,
      record,
      reason: "the library had other values for this record when the device joined",
      values: Object.fromEntries(lost),
    });
  }
}

/** Levels first; models that only the server knows last. */
function modelOrder(library: LocalLibrary, served: readonly string[]): string[] {
  const { registry } = library.deps;
  const known = registry.levels.flat().map((model) => model.name);
  return [...known, ...served.filter((name) => !registry.byName.has(name)).sort()];
}

/** Takes the server's vector and floor into account; starts over where they don't fit what other servers have given. */
function notePlan(library: LocalLibrary, tx: LogTransaction, plan: MessageOf<"backfill-plan">): BackfillRecord {
  const { members, clock } = library.deps;
  learnMembers(tx.db, members, plan.members);
  const before = loadBackfill(tx.db);
  if (before === null) throw new Error("no backfill is under way");
  let noted: Record<string, number> = { ...plan.vector };
  if (before.noted !== null) {
    noted = {};
    for (const [origin, hlc] of Object.entries(plan.vector)) {
      const other = before.noted[origin];
      if (other !== undefined) noted[origin] = Math.min(hlc, other);
    }
  }
  const floor = Math.max(before.floor, plan.floor);
  const total = Object.values(plan.totals).reduce((sum, rows) => sum + rows, 0);
  if (!covers(library, noted, floor, tx.self!)) {
    beginBackfill(tx.db, before.mode, clock.now());
    const fresh = { ...loadBackfill(tx.db)!, noted: plan.vector, floor: plan.floor, total };
    saveBackfill(tx.db, fresh);
    return fresh;
  }
  const record = { ...before, noted, floor, total };
  saveBackfill(tx.db, record);
  return record;
}

/** Whether the noted minimum lies nowhere below the floor: otherwise what lies between has been pruned away. */
function covers(library: LocalLibrary, noted: Readonly<Record<string, number>>, floor: number, self: number): boolean {
  return library.deps.members
    .counted()
    .every((member) => member.num === self || (noted[member.origin] ?? member.joinHlc!) >= floor);
}

async function applyRange(
  library: LocalLibrary,
  peer: string,
  record: BackfillRecord,
  name: string,
  cursor: BackfillCursor,
  rows: MessageOf<"backfill-rows">,
  last: boolean,
  inspect: ReceivedPage["inspect"],
): Promise<BackfillRecord> {
  const page = checkWireRecords(rows.records);
  if (rows.upTo !== null && cursor.after !== null && compareIdentities(rows.upTo, cursor.after) <= 0) {
    throw replicationErrors.malformed({ reason: "a page of a backfill does not go forward" });
  }
  for (const group of page.groups) {
    if (group.m !== name) throw replicationErrors.malformed({ reason: "a page of a backfill holds another model" });
    for (const [identity] of group.r) {
      const before = cursor.after !== null && compareIdentities(identity, cursor.after) <= 0;
      if (before || (rows.upTo !== null && compareIdentities(identity, rows.upTo) > 0)) {
        throw replicationErrors.malformed({ reason: "a page of a backfill holds a record from outside of its range" });
      }
    }
  }
  const served = new Set(page.groups.flatMap((group) => group.r.map(([identity]) => identity)));
  const next: BackfillRecord = {
    ...record,
    floor: Math.max(record.floor, rows.floor),
    cursors: {
      ...record.cursors,
      [name]: {
        after: rows.upTo ?? cursor.after,
        done: cursor.done + recordCountOf(page),
        complete: rows.upTo === null,
      },
    },
  };
  const model = library.deps.registry.byName.get(name);
  await applyPage(library, {
    peer,
    phase: "backfill",
    page,
    vectorMoves: last,
    ...(inspect !== undefined && { inspect }),
    finish: (tx) => {
      if (model !== undefined) settleRange(library, tx, model, next, cursor.after, rows.upTo, served);
      saveBackfill(tx.db, next);
      if (last) complete(library, tx, peer, next);
    },
  });
  return next;
}

/**
 * What this device has in the range and the library lacks. A device that joins (or starts anew) issues it as its own; one
 * that is a member removes what the library must have deleted: what has no stamp, or whose birth the server knew.
 */
function settleRange(
  library: LocalLibrary,
  tx: LogTransaction,
  model: SyncModel,
  record: BackfillRecord,
  after: string | null,
  upTo: string | null,
  served: ReadonlySet<string>,
): void {
  const { reader, applier, members, clock } = library.deps;
  const left: string[] = [];
  for (let from = after; ; ) {
    const page = reader.readPage(tx.db, model, { after: from, upTo, limit: 2_000 });
    for (const { identity } of page.rows) if (!served.has(identity)) left.push(identity);
    if (page.next === null) break;
    from = page.next;
  }
  if (left.length === 0) return;
  const logged = loadLogged(tx.db, model.number, left);
  const noted = fromWireVector(record.noted ?? {}, members);
  const removed: string[] = [];
  for (const identity of left) {
    const stamps = logged.get(identity);
    const state = stateOf(stamps, true);
    const birth = stamps?.birth ?? null;
    if (birth !== null && birth.hlc > (noted.get(birth.origin) ?? 0)) continue; // Younger than what was noted.
    if (record.mode === "full") {
      removed.push(identity);
      continue;
    }
    if (birth !== null) continue;
    const issued = issueAsOwn(tx, model, state, members);
    saveState({ tx, model: model.number, record: identity, logged: stamps, state: issued });
  }
  if (removed.length === 0) return;
  const values = reader.readByIdentity(tx.db, model, removed);
  for (const identity of removed) {
    const row = values.get(identity);
    if (logged.has(identity) && row !== undefined) {
      addToJournal(tx.db, {
        at: clock.now(),
        kind: "removed-by-backfill",
        model: model.name,
        record: identity,
        reason: "the library has deleted the record; it had changes that were not sent",
        values: Object.fromEntries(model.columns.map((column, index) => [column.name, row[index]!])),
      });
    }
    prepared(tx.db, "DELETE FROM tidemark_stamp WHERE model = ? AND record = ?").run(model.number, identity);
  }
  applier.reconsider({
    tx,
    records: removed.map((identity) => ({ model, record: identity, state: UNKNOWN })),
    lookup: new PlainLookup(reader),
  });
}

/**
 * The state of a record that only this device has, from before it joined. All such records are born at one time, the first
 * after the join, and their references are younger: so they hold in whatever order the records are issued.
 */
function issueAsOwn(tx: LogTransaction, model: SyncModel, state: RecordState, members: Members): RecordState {
  const self = members.byNumber(tx.self!);
  const birth: Stamp = { hlc: self.joinHlc! + 1, origin: self.num };
  const references = new Set(model.references.map((column) => stampGroup(model, column.number)));
  const born: RecordState = { births: [birth], death: UNSTAMPED, columns: state.columns };
  return model.references.length === 0 ? born : editedLocally(born, references, tx.tick());
}

/** The last page: the noted minimum becomes the vector, and this device may serve. */
function complete(library: LocalLibrary, tx: LogTransaction, peer: string, record: BackfillRecord): void {
  const { members, rebuildTree, registry } = library.deps;
  const vector = fromWireVector(record.noted ?? {}, members);
  tx.receive(vector.get(tx.self!) ?? 0);
  vector.delete(tx.self!);
  raiseVector(tx.db, tx.self!, vector);
  tx.raiseFloor(record.floor);
  for (const model of registry.models) if (model.tree !== null) rebuildTree(tx.db, model, "all");
  endBackfill(tx.db);
  const server = members.byOrigin(peer)!;
  updatePeer(tx.db, server.num, { state: "catching-up", fullBackfill: false, failures: 0, notBefore: 0 });
}
