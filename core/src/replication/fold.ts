import type { WireValue } from "@tidemark/plugin-api";
import type { SyncColumn, SyncModel, SyncRegistry } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { addToJournal } from "../storage/journal.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import {
  BORN,
  clearOutbox,
  columnsOf,
  DIED,
  type OutboxEntry,
  PendingDeaths,
  readOutbox,
  removeFromOutbox,
  SUSPECT,
} from "../storage/outbox.js";
import { identityAt, OwnerFinder, PendingMoves, SOMEBODY_ELSE } from "../storage/owners.js";
import { anyParked, loadParked, park, unpark } from "../storage/parked.js";
import { presentRows, rowsReferring } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { deriveIdentity, quote } from "../storage/row-writer.js";
import { type LoggedState, loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { anyWaiting, removeWaiting, waitingFor } from "../storage/waiting.js";
import type { Applier } from "./apply.js";
import {
  bornLocally,
  columnStamp,
  diedLocally,
  editedLocally,
  type RecordState,
  SETTLED,
  type Stamp,
  UNKNOWN,
} from "./record-state.js";
import { PlainLookup } from "./target-lookup.js";

/**
 * Turns the outbox, in its order, into stamps: assigns the time of each change, applies policy (only its owner changes a
 * device-owned record) and enters the outcome in the log. Runs inside one write transaction of the caller.
 *
 * The time of a change is assigned here and not in the trigger because nobody sees a stamp before the fold. What makes
 * that right is that no remote change is merged, no page is read and no vector moves while the outbox holds something.
 */
export interface FoldDeps {
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
  readonly applier: Applier;
  /** Wall time in milliseconds. */
  readonly now: () => number;
}

export interface FoldResult {
  /** Outbox entries that were consumed. */
  readonly entries: number;
  /** Stamps that were written. */
  readonly stamps: number;
  readonly refused: readonly { readonly model: string; readonly record: string; readonly reason: string }[];
  readonly touched: readonly SyncModel[];
  /** Whether the outbox is empty now. */
  readonly emptied: boolean;
}

const NOTHING: FoldResult = { entries: 0, stamps: 0, refused: [], touched: [], emptied: true };

/** A record that local changes of this page concern. */
interface Folding {
  readonly model: SyncModel;
  readonly record: string;
  readonly logged: LoggedState | undefined;
  readonly before: RecordState;
  state: RecordState;
  born: boolean;
  died: boolean;
  /** Local integer key, where the outbox told it. */
  key: number | null;
  readonly edited: Set<number>;
  refused: "created" | "changed" | null;
}

export class Fold {
  readonly #deps: FoldDeps;

  constructor(deps: FoldDeps) {
    this.#deps = deps;
  }

  /** Folds up to `limit` entries. A device that is not a member yet leaves its outbox alone. */
  run(tx: LogTransaction, limit: number): FoldResult {
    if (tx.self === null) return NOTHING;
    const entries = readOutbox(tx.db, limit);
    if (entries.length === 0) return NOTHING;
    const emptied = entries.length < limit;
    const alone = this.#deps.members.counted().length === 1;
    if (alone && !anyWaiting(tx.db) && !anyParked(tx.db)) {
      // With nobody else in the library everything is stable at once: nothing needs a stamp.
      for (let index = 0; index < entries.length; index++) tx.tick();
      this.#consume(tx.db, entries, emptied);
      forgetStamps(tx);
      return { ...NOTHING, entries: entries.length, emptied };
    }

    const records = this.#collect(tx.db, entries);
    const owners = new OwnerFinder(tx.db, records.deaths, new PendingMoves(this.#deps.registry.models, entries));
    const ownDevice = this.#deps.members.byNumber(tx.self).deviceId;
    for (const { entry, folding } of records.changes) {
      if (!alone && this.#refuses(owners, ownDevice, folding, entry)) continue;
      this.#change(tx, folding, entry);
    }
    if (!alone) this.#stampLateReferences(tx, records.all);

    let stamps = 0;
    if (!alone) {
      for (const folding of records.all) {
        const { model, record, logged, state } = folding;
        if (state !== folding.before) stamps += saveState({ tx, model: model.number, record, logged, state });
      }
    }
    const refused = this.#takeBack(tx, records.all);
    this.#consequences(tx, records.all);
    this.#consume(tx.db, entries, emptied);
    if (alone) forgetStamps(tx);
    return {
      entries: entries.length,
      stamps,
      refused,
      touched: [...new Set(records.all.map(({ model }) => model))],
      emptied,
    };
  }

  #consume(db: Sqlite, entries: readonly OutboxEntry[], emptied: boolean): void {
    if (emptied) clearOutbox(db);
    else removeFromOutbox(db, entries[entries.length - 1]!.seq);
  }

  #collect(db: Sqlite, entries: readonly OutboxEntry[]) {
    const deaths = new PendingDeaths(db);
    const named: { entry: OutboxEntry; model: SyncModel; record: string }[] = [];
    const byModel = new Map<SyncModel, Set<string>>();
    for (const entry of entries) {
      const model = this.#deps.registry.byNumber.get(entry.model);
      if (model === undefined) continue; // No longer registered: nobody is to hear of it.
      const record = this.#identity(db, deaths, model, entry);
      if (record === null) continue;
      named.push({ entry, model, record });
      const group = byModel.get(model) ?? new Set();
      group.add(record);
      byModel.set(model, group);
    }
    const suspects = this.#confirmSuspects(db, named);
    const known = new Map<SyncModel, Map<string, Folding>>();
    const logged = new Map<SyncModel, Map<string, LoggedState>>();
    for (const [model, group] of byModel) {
      known.set(model, new Map());
      logged.set(model, loadLogged(db, model.number, [...group]));
    }
    const all: Folding[] = [];
    const changes: { entry: OutboxEntry; folding: Folding }[] = [];
    for (const { entry, model, record } of named) {
      if (entry.mask === SUSPECT && !suspects.has(entry.seq)) continue;
      let folding = known.get(model)!.get(record);
      if (folding === undefined) {
        const stored = logged.get(model)!.get(record);
        const before = stored !== undefined ? stateOf(stored, true) : entry.mask === BORN ? UNKNOWN : SETTLED;
        folding = {
          model,
          record,
          logged: stored,
          before,
          state: before,
          born: false,
          died: false,
          key: null,
          edited: new Set(),
          refused: null,
        };
        known.get(model)!.set(record, folding);
        all.push(folding);
      }
      changes.push({ entry, folding });
    }
    return { all, changes, deaths };
  }

  /** The identity behind an entry; null when a derived one can't be told any more because a target has vanished. */
  #identity(db: Sqlite, deaths: PendingDeaths, model: SyncModel, entry: OutboxEntry): string | null {
    if (model.identity.kind === "column") return entry.record;
    const keys = JSON.parse(entry.record) as (number | string | null)[];
    const targets: string[] = [];
    for (const [index, column] of model.identity.columns.entries()) {
      const { target, byIdentity } = column.reference!;
      const key = keys[index] ?? null;
      if (key === null) return null;
      const identity =
        byIdentity || typeof key === "string" ? String(key) : identityAt({ db, deaths, target, key, after: entry.seq });
      if (identity === null) return null;
      targets.push(identity);
    }
    return deriveIdentity(targets);
  }

  /** A suspect is a death if its row is gone and no later entry says so. */
  #confirmSuspects(
    db: Sqlite,
    named: readonly { entry: OutboxEntry; model: SyncModel; record: string }[],
  ): ReadonlySet<number> {
    const confirmed = new Set<number>();
    for (const { entry, model, record } of named) {
      if (entry.mask !== SUSPECT) continue;
      if (presentRows({ db, model, records: [record], reader: this.#deps.reader }).has(record)) continue;
      const told = prepared(
        db,
        `SELECT 1 FROM tidemark_outbox WHERE seq > ? AND model = ? AND record = ? AND mask IN (${DIED}, ${SUSPECT})`,
      ).get(entry.seq, model.number, entry.record);
      if (told === undefined) confirmed.add(entry.seq);
    }
    return confirmed;
  }

  #refuses(owners: OwnerFinder, ownDevice: string, folding: Folding, entry: OutboxEntry): boolean {
    if (folding.model.ownership.kind !== "device") return false;
    // What happens to a record that was changed against the rules is judged by a row that is not its owner's.
    if (folding.refused !== null) return true;
    const owner = owners.ownerOf(folding.model, entry, folding.record);
    if (owner === null || owner === ownDevice) return false;
    folding.refused =
      entry.mask === BORN && folding.logged === undefined && owner !== SOMEBODY_ELSE ? "created" : "changed";
    return true;
  }

  #change(tx: LogTransaction, folding: Folding, entry: OutboxEntry): void {
    const stamp = tx.tick();
    if (entry.key !== null) folding.key = entry.key;
    if (entry.mask === BORN) {
      folding.state = bornLocally(folding.state, stamp, tx.floor, this.#deps.members.order);
      folding.born = true;
      folding.edited.clear();
    } else if (entry.mask === DIED || entry.mask === SUSPECT) {
      folding.state = diedLocally(stamp);
      folding.died = true;
      folding.born = false;
    } else {
      const columns = columnsOf(entry.mask, entry.part);
      for (const column of columns) folding.edited.add(column);
      const groups = folding.model.ownership.kind === "device" ? [0] : columns;
      folding.state = editedLocally(folding.state, groups, stamp);
    }
  }

  /**
   * A reference counts only if it is younger than its target's life. Within one transaction an application may write a
   * child before its parent; such a reference takes a stamp of its own, after the parent's birth.
   */
  #stampLateReferences(tx: LogTransaction, all: readonly Folding[]): void {
    const births = new Map<SyncModel, { byKey: Map<number, Stamp>; last: number }>();
    for (const { model, born, key, state } of all) {
      if (!born || key === null || state.births.length === 0) continue;
      const group = births.get(model) ?? { byKey: new Map(), last: 0 };
      const stamp = state.births[state.births.length - 1]!;
      group.byKey.set(key, stamp);
      group.last = Math.max(group.last, stamp.hlc);
      births.set(model, group);
    }
    const children = new Map<SyncModel, Map<string, Folding>>();
    for (const folding of all) {
      if (folding.state.births.length === 0 || (!folding.born && folding.edited.size === 0)) continue;
      const group = children.get(folding.model) ?? new Map();
      group.set(folding.record, folding);
      children.set(folding.model, group);
    }
    for (const [model, group] of children) {
      if (model.identity.kind !== "column") continue; // The key of a junction can only name rows that are there.
      for (const column of model.references) {
        const targets = births.get(column.reference!.target);
        if (targets === undefined || column.reference!.byIdentity) continue;
        const stampGroup = model.ownership.kind === "device" ? 0 : column.number;
        const early = [...group.values()].filter(
          (folding) => columnStamp(folding.state, stampGroup).hlc < targets.last && folding.state !== folding.before,
        );
        if (early.length === 0) continue;
        const rows = prepared(
          tx.db,
          `SELECT t.${quote(model.identity.column)} AS record, t.${quote(column.column)} AS key
           FROM json_each(?) j CROSS JOIN ${quote(model.table)} t ON t.${quote(model.identity.column)} = j.value`,
        ).all(JSON.stringify(early.map(({ record }) => record))) as { record: string; key: number | null }[];
        for (const { record, key } of rows) {
          const birth = key === null ? undefined : targets.byKey.get(key);
          const folding = group.get(record)!;
          if (
            birth === undefined ||
            this.#deps.members.order.compare(columnStamp(folding.state, stampGroup), birth) > 0
          )
            continue;
          folding.state = editedLocally(folding.state, [stampGroup], tx.tick());
        }
      }
    }
  }

  /** Refused changes: what was changed is written to the journal, and the record is put back to what its owner says. */
  #takeBack(tx: LogTransaction, all: readonly Folding[]): { model: string; record: string; reason: string }[] {
    const refused = all.filter((folding) => folding.refused !== null);
    if (refused.length === 0) return [];
    const reports: { model: string; record: string; reason: string }[] = [];
    for (const { model, record, refused: how } of refused) {
      const row = this.#deps.reader.readByIdentity(tx.db, model, [record]).get(record);
      const reason = `only the device that owns the record may have it ${how}`;
      addToJournal(tx.db, {
        at: this.#deps.now(),
        kind: "refused-change",
        model: model.name,
        record,
        reason,
        values: row === undefined ? null : namedValues(model, row),
      });
      if (how === "changed") {
        prepared(tx.db, "INSERT OR IGNORE INTO tidemark_restore (model, record) VALUES (?, ?)").run(
          model.number,
          record,
        );
      }
      reports.push({ model: model.name, record, reason });
    }
    const created = refused.filter(({ refused: how }) => how === "created");
    if (created.length > 0) {
      this.#deps.applier.reconsider({
        tx,
        records: created.map(({ model, record }) => ({ model, record, state: UNKNOWN })),
        lookup: new PlainLookup(this.#deps.reader),
      });
    }
    return reports;
  }

  /** What local changes mean for records that were parked, or that refer to what went. */
  #consequences(tx: LogTransaction, all: readonly Folding[]): void {
    const { db } = tx;
    const again: { model: SyncModel; record: string }[] = [];
    const waits = anyWaiting(db);
    const parks = anyParked(db);
    const accepted = all.filter(({ refused }) => refused === null);
    if (waits || parks) {
      for (const folding of accepted) {
        const { model, record, edited } = folding;
        if (folding.born || folding.died) {
          unpark(db, model.number, record);
          removeWaiting(db, model.number, record);
        } else {
          // The stamp of a device-owned row says of every column what it reads now, also where a reference reads NULL.
          if (model.ownership.kind === "device" && edited.size > 0) removeWaiting(db, model.number, record);
          for (const column of edited) removeWaiting(db, model.number, record, column);
          if (parks && this.#mendParked(db, folding)) again.push({ model, record });
        }
      }
    }
    if (waits) {
      for (const { model, record, born } of accepted) {
        if (!born) continue;
        for (const reference of waitingFor(db, model.number, [record])) {
          const waiting = this.#deps.registry.byNumber.get(reference.model);
          if (waiting !== undefined) again.push({ model: waiting, record: reference.record });
        }
      }
    }
    const enforced = new Map<SyncColumn, boolean>();
    for (const { model, record, died, key } of accepted) {
      if (!died) continue;
      for (const { model: child, column } of model.referencedBy) {
        // Where SQLite itself keeps the reference, nothing can refer to what has gone.
        if (!enforced.has(column)) enforced.set(column, isEnforced(db, child, column.column));
        if (enforced.get(column)) continue;
        const value = column.reference!.byIdentity ? record : key;
        if (value === null) continue;
        for (const referring of rowsReferring({ db, model: child, column, value }))
          again.push({ model: child, record: referring });
      }
    }
    if (again.length > 0)
      this.#deps.applier.reconsider({ tx, records: again, lookup: new PlainLookup(this.#deps.reader) });
  }

  /** A local edit of a row whose remote values the schema had refused: the edit goes into the parked values too. */
  #mendParked(db: Sqlite, { model, record, edited }: Folding): boolean {
    const parked = loadParked(db, model.number, [record]).get(record);
    if (parked === undefined) return false;
    const row = this.#deps.reader.readByIdentity(db, model, [record]).get(record);
    if (row === undefined) return false;
    const values = new Map(parked.values);
    model.columns.forEach((column, index) => {
      if (edited.has(column.number)) values.set(column.number, row[index]!);
    });
    park({ db, model: model.number, record, parked: { ...parked, values }, now: this.#deps.now() });
    return true;
  }
}

function namedValues(model: SyncModel, row: readonly WireValue[]): Record<string, WireValue> {
  return Object.fromEntries(model.columns.map((column, index) => [column.name, row[index]!]));
}

function isEnforced(db: Sqlite, model: SyncModel, column: string): boolean {
  const keys = db.pragma(`foreign_key_list(${quote(model.table)})`) as { from: string }[];
  return keys.some((key) => key.from === column);
}

function forgetStamps(tx: LogTransaction): void {
  clearStamps(tx.db);
  tx.raiseFloor(tx.highWater);
}

function clearStamps(db: Sqlite): void {
  prepared(db, "DELETE FROM tidemark_stamp").run();
  prepared(db, "DELETE FROM tidemark_parked WHERE kind = 'dead'").run();
}
