import { isTidemarkError } from "@tidemark/plugin-api";
import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { addToJournal } from "../storage/journal.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { anyParkedBetween, parkedBetween } from "../storage/parked.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { isUnseen } from "../storage/unseen.js";
import { raiseVector } from "../storage/vectors.js";
import { waitingOf } from "../storage/waiting.js";
import { hasDefault } from "./apply.js";
import { applyPage, type ReceivedPage } from "./apply-batch.js";
import { covers } from "./backfill-plan.js";
import { holds, isWithin, type Stretch, without } from "./backfill-ranges.js";
import { type BackfillRecord, cursorOf, endBackfill, loadBackfill, saveBackfill } from "./backfill-store.js";
import { checkWireRecords, recordCountOf } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import { judgeByFloor } from "./forget.js";
import type { IncomingRecord } from "./incoming.js";
import { referencesToLivesBefore } from "./issued-targets.js";
import type { LocalLibrary } from "./local-library.js";
import { beginBackfill, fromWireVector } from "./membership.js";
import type { MessageOf } from "./messages.js";
import { forgetFullBackfills, loadPeer, updatePeer } from "./peer-store.js";
import { ANY_ORIGIN, editedLocally, type RecordState, type Stamp, UNKNOWN, UNSTAMPED } from "./record-state.js";
import { stampGroup } from "./stamp-group.js";
import { PlainLookup } from "./target-lookup.js";
import { keepUnsent } from "./unsent.js";
import type { WireGroup, WireRecords } from "./wire-records.js";

/**
 * One page of a backfill on its way into the tables. It commits together with the account of what is still open, so that
 * a stop resumes there, with another peer if the first is gone. The vector moves with the page that closes the last range,
 * to the minimum of what all servers noted before their first page.
 */
export interface ServedPage {
  /** Origin id of the server. */
  readonly peer: string;
  readonly model: string;
  /** What the page covers. */
  readonly stretch: Stretch;
  readonly records: WireRecords;
  /** Of records. */
  readonly count: number;
  readonly floor: number;
}

/** Checks what a peer says to be the records of `asked`, or of its beginning, before anything else is done with it. */
export function checkServedPage(
  peer: string,
  model: string,
  asked: Stretch,
  rows: MessageOf<"backfill-rows">,
): ServedPage {
  const [after, upTo] = asked;
  const records = checkWireRecords(rows.records);
  if (rows.upTo === null ? upTo !== null : !holds(asked, rows.upTo)) {
    throw replicationErrors.malformed({
      reason: "a page of a backfill does not go forward, or not only to where it was to",
    });
  }
  const stretch: Stretch = [after, rows.upTo];
  for (const group of records.groups) {
    if (group.m !== model) throw replicationErrors.malformed({ reason: "a page of a backfill holds another model" });
    if (!outermostOf(group).every((identity) => holds(stretch, identity))) {
      throw replicationErrors.malformed({ reason: "a page of a backfill holds a record from outside of its range" });
    }
  }
  return { peer, model, stretch, records, count: recordCountOf(records), floor: rows.floor };
}

/** If all of these lie in a range, the others do: the identities of a block are in order. */
function outermostOf({ r, k }: WireGroup): readonly string[] {
  const single = r.map(([identity]) => identity);
  if (k === undefined || k.identities.length === 0) return single;
  return [...single, k.identities[0]!, k.identities.at(-1)!];
}

function identitiesOf({ r, k }: WireGroup): readonly string[] {
  const single = r.map(([identity]) => identity);
  return k === undefined ? single : [...single, ...k.identities];
}

/**
 * Applies a page whose range is open. Resolves with the account as it is then, whether nothing is open any more, and how
 * many records were kept aside because what they refer to is not here. Throws
 * `TIDEMARK_BACKFILL_OUTDATED`, having made the backfill start over, when the server has forgotten more than was noted.
 */
export async function applyServedPage(
  library: LocalLibrary,
  page: ServedPage,
  {
    order,
    servers,
    inspect,
  }: {
    /** All models of this backfill. */
    readonly order: readonly string[];
    /** Origin ids of all that have served so far. */
    readonly servers: ReadonlySet<string>;
    readonly inspect: ReceivedPage["inspect"];
  },
): Promise<{ readonly record: BackfillRecord; readonly last: boolean; readonly parked: number }> {
  const { model: name, stretch } = page;
  const { registry, connection, clock } = library.deps;
  const model = registry.byName.get(name);
  // Only pages close ranges, one page at a time: what is open now is open in the transaction too.
  const last = isComplete(order, advanced(loadBackfill(connection), page));
  let record: BackfillRecord | null = null;
  let parked = 0;
  try {
    const { counts } = await applyPage(library, {
      peer: page.peer,
      phase: "backfill",
      page: page.records,
      vectorMoves: last,
      settledTo: page.floor,
      ...(inspect !== undefined && { inspect }),
      finish: (tx, inserted) => {
        record = advanced(loadBackfill(tx.db), page);
        if (!covers(library, record, tx.self!)) throw replicationErrors.backfillOutdated();
        const [after, upTo] = stretch;
        // Where all that was served is new here, and nothing else is in the range, there is nothing to settle.
        const alone =
          inserted === page.count &&
          model !== undefined &&
          library.deps.reader.countWithin(tx.db, model, { after, upTo }) === inserted &&
          !anyParkedBetween(tx.db, model.number, after, upTo);
        if (model !== undefined && !alone) {
          const served = new Set(page.records.groups.flatMap(identitiesOf));
          settleRange(library, tx, model, record, stretch, served);
        }
        saveBackfill(tx.db, record);
        if (last) completeBackfill(library, tx, servers, record);
      },
    });
    parked = counts.parked;
  } catch (error) {
    if (isTidemarkError(error, "TIDEMARK_BACKFILL_OUTDATED")) {
      await library.write("start the backfill over", ({ db }) =>
        beginBackfill(db, loadBackfill(db)!.mode, clock.now()),
      );
    }
    throw error;
  }
  return { record: record!, last, parked };
}

/** Whether nothing is open any more. */
export function isComplete(order: readonly string[], record: BackfillRecord): boolean {
  return order.every((name) => cursorOf(record, name).open.length === 0);
}

function advanced(record: BackfillRecord | null, { model, stretch, count, floor }: ServedPage): BackfillRecord {
  if (record === null) throw new Error("no backfill is under way");
  const { open, done } = cursorOf(record, model);
  if (!isWithin(open, stretch)) throw new Error("the range of a page is not open");
  return {
    ...record,
    floor: Math.max(record.floor, floor),
    cursors: {
      ...record.cursors,
      [model]: { open: without(open, stretch), done: done + count },
    },
  };
}

/** Values from before the join, or that were written unseen, and give way to those of the library. */
export function journalOverwritten(
  library: LocalLibrary,
  tx: LogTransaction,
  records: readonly IncomingRecord[],
  mode: BackfillRecord["mode"],
): void {
  const { reader, clock } = library.deps;
  // A page of a backfill holds one model.
  const model = records[0]?.model;
  if (model === undefined || (mode === "full" && !isUnseen(tx.db, model.number))) return;
  const rows = reader.readByIdentity(
    tx.db,
    model,
    records.map(({ record }) => record),
  );
  const logged = loadLogged(tx.db, model.number, [...rows.keys()]);
  for (const { record, values, late } of records) {
    const row = rows.get(record);
    if (row === undefined || logged.has(record)) continue;
    const lost = model.columns.flatMap((column, index) => {
      if (late?.includes(column.name)) return [];
      // What there is nothing to read instead of stays as it is here.
      if (values[index] === undefined && !hasDefault(column)) return [];
      const told = values[index] === undefined ? defaultOf(tx.db, column) : values[index];
      return JSON.stringify(told) === JSON.stringify(row[index]) ? [] : [[column.name, row[index]!] as const];
    });
    if (lost.length === 0) continue;
    addToJournal(tx.db, {
      at: clock.now(),
      ...(mode === "join"
        ? {
            kind: "overwritten-at-join",
            reason: "the library had other values for this record when the device joined",
          }
        : {
            kind: "overwritten-by-backfill",
            reason: "the library has other values for this record; those here may have been written unseen",
          }),
      model: model.name,
      record,
      values: Object.fromEntries(lost),
    });
  }
}

/** What a column reads of which the server says nothing, because it does not have it. */
function defaultOf(db: Sqlite, { defaultSql }: SyncColumn): unknown {
  return defaultSql === "NULL" ? null : prepared(db, `SELECT (${defaultSql})`).pluck().get();
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
  [after, upTo]: Stretch,
  served: ReadonlySet<string>,
): void {
  const { reader, applier, members, clock, settings } = library.deps;
  // What a page has taken the target of is out of its table by now, or reads NULL there.
  const aside = parkedBetween(tx.db, model.number, after, upTo).filter((identity) => !served.has(identity));
  // Nearly always: and identities alone are quickly read.
  const nothingElse = reader.everyIdentity(tx.db, model, { after, upTo }, (identity) => served.has(identity));
  if (nothingElse && aside.length === 0) return;
  const left: string[] = [...aside];
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
  const issued: { readonly model: SyncModel; readonly record: string; readonly state: RecordState }[] = [];
  for (const identity of left) {
    const stamps = logged.get(identity);
    const state = stateOf(stamps, true);
    const birth = stamps?.birth ?? null;
    if (birth !== null && birth.hlc > (noted.get(birth.origin) ?? 0)) continue; // Younger than what was noted.
    if (record.mode === "full") {
      if (settings.membership.onReturn === "reissue" && keepUnsent(tx.db, model.number, identity)) continue;
      removed.push(identity);
      continue;
    }
    if (birth !== null) continue;
    issued.push({
      model,
      record: identity,
      state: issueAsOwn(tx, model, { state, members, floor: Math.max(record.floor, tx.floor) }),
    });
  }
  const waiting = new Set(waitingOf(tx.db, model.number, left).map(({ record }) => record));
  for (const { record, state } of issued) {
    saveState({ tx, model: model.number, record, logged: logged.get(record), state });
  }
  const states = new Map(issued.map(({ record, state }) => [record, state]));
  const again = [
    // Under its new stamp a reference may hold that did not before.
    ...issued.filter(({ record }) => waiting.has(record) || aside.includes(record)),
    ...referencesToLivesBefore({ tx, members, model, issued: states, backfill: record }),
  ];
  if (again.length > 0) applier.reconsider({ tx, records: again, lookup: new PlainLookup(reader) });
  if (removed.length === 0) return;
  const values = reader.readByIdentity(tx.db, model, removed);
  // Without a stamp it is old, unless nobody saw it come.
  const unseen = isUnseen(tx.db, model.number);
  for (const identity of removed) {
    const row = values.get(identity);
    if ((logged.has(identity) || unseen) && row !== undefined) {
      addToJournal(tx.db, {
        at: clock.now(),
        kind: "removed-by-backfill",
        model: model.name,
        record: identity,
        reason: logged.has(identity)
          ? "the library has deleted the record; it had changes that were not sent"
          : "the library does not have the record; it may have been written unseen",
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
 * after the join, and their references are younger: so they hold in whatever order the records are issued. Up to the
 * floor the library has nothing of them, so whoever comes back with a row of its own begins the same life with it.
 */
function issueAsOwn(
  tx: LogTransaction,
  model: SyncModel,
  { state, members, floor }: { readonly state: RecordState; readonly members: Members; readonly floor: number },
): RecordState {
  const self = members.byNumber(tx.self!);
  const birth: Stamp = { hlc: self.joinHlc! + 1, origin: self.num };
  const references = new Set(model.references.map((column) => stampGroup(model, column.number)));
  const death: Stamp = floor > 0 ? { hlc: floor, origin: ANY_ORIGIN } : UNSTAMPED;
  const born: RecordState = { births: [birth], death, columns: state.columns };
  return model.references.length === 0 ? born : editedLocally(born, references, tx.tick());
}

/** The end: the noted minimum becomes the vector, and this device may serve. */
export function completeBackfill(
  library: LocalLibrary,
  tx: LogTransaction,
  servers: ReadonlySet<string>,
  record: BackfillRecord,
): void {
  const { members, rebuildTree, registry, reader } = library.deps;
  const vector = fromWireVector(record.noted ?? {}, members);
  tx.receive(vector.get(tx.self!) ?? 0);
  vector.delete(tx.self!);
  raiseVector(tx.db, tx.self!, vector);
  judgeByFloor(tx, record.floor, { registry, reader, members });
  for (const model of registry.models) if (model.tree !== null) rebuildTree(tx.db, model, "all");
  endBackfill(tx.db);
  // Whoever it was wanted from: a peer that still has nothing for this device says so again.
  forgetFullBackfills(tx.db);
  for (const origin of servers) {
    const server = members.byOrigin(origin)!;
    const { state } = loadPeer(tx.db, server.num);
    updatePeer(tx.db, server.num, {
      // One whose changes are being pulled all the while is where it was.
      state: state === "ready" ? "ready" : "catching-up",
      failures: 0,
      notBefore: 0,
    });
  }
}
