import type { WireValue } from "@tidemark/plugin-api";
import { isIdentity } from "../registry/identity-form.js";
import type { SyncColumn, SyncModel, SyncRegistry } from "../registry/model.js";
import { addDamaged } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { isEnforced } from "../storage/enforced.js";
import { anyExtra, saveExtra } from "../storage/extra.js";
import { addToJournal } from "../storage/journal.js";
import { forgetTentative } from "../storage/late.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import {
  BORN,
  bornBehind,
  clearOutbox,
  columnsOf,
  DIED,
  lastInOutbox,
  type OutboxEntry,
  PendingDeaths,
  removeFromOutbox,
  SUSPECT,
} from "../storage/outbox.js";
import { OutboxSlices } from "../storage/outbox-slices.js";
import { derivedIdentityAt, type JoinedKeys, OwnerFinder, PendingMoves, SOMEBODY_ELSE } from "../storage/owners.js";
import { anyParked, loadParked, park, unpark } from "../storage/parked.js";
import { presentRows, rowsReferring } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { deriveIdentity, targetsOf } from "../storage/row-writer.js";
import { type LoggedState, loadLogged, StateWriter, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { loadVector } from "../storage/vectors.js";
import { anyWaiting, removeWaiting, waitingFor } from "../storage/waiting.js";
import type { Applier, Reconsidered } from "./apply.js";
import { byModel } from "./by-model.js";
import { raiseFloor } from "./forget.js";
import { formerNames } from "./former-names.js";
import type { LateReferences } from "./late-references.js";
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
import { stampGroup } from "./stamp-group.js";
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
  readonly late: LateReferences;
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

/** What one page of the outbox is about. */
interface Collected {
  readonly all: Folding[];
  readonly changes: readonly { readonly entry: OutboxEntry; readonly folding: Folding }[];
  readonly deaths: PendingDeaths;
  readonly known: Map<SyncModel, Map<string, Folding>>;
  /** Records to be looked at again although nothing has changed them. */
  readonly others: Reconsidered[];
  /** Deaths of rows with an identity that no peer would accept: another one may have taken their place. */
  readonly unfitDeaths: readonly { readonly entry: OutboxEntry; readonly model: SyncModel }[];
}

export class Fold {
  readonly #deps: FoldDeps;
  readonly #slices: OutboxSlices;

  constructor(deps: FoldDeps) {
    this.#deps = deps;
    const referredTo = deps.registry.models.filter(({ referencedBy }) => referencedBy.length > 0);
    this.#slices = new OutboxSlices(referredTo.map(({ number }) => number));
  }

  /** Folds about `limit` entries. A device that is not a member yet leaves its outbox alone. */
  run(tx: LogTransaction, limit: number): FoldResult {
    if (tx.self === null) return NOTHING;
    const { entries, whole: emptied } = this.#slices.next(tx.db, limit);
    if (entries.length === 0) return NOTHING;
    const alone = isAlone(this.#deps.members, tx.self);
    const anyAside = anyWaiting(tx.db) || anyParked(tx.db) || anyExtra(tx.db);
    if (alone && !anyAside && !this.#mayBeLate(tx.db, entries)) {
      // With nobody else in the library everything is stable at once: nothing needs a stamp.
      for (let index = 0; index < entries.length; index++) tx.tick();
      this.#consume(tx.db, entries, emptied);
      forgetStamps(tx, this.#deps);
      return { ...NOTHING, entries: entries.length, emptied };
    }
    // What is kept aside is judged by what was so before these changes, of which none gets a stamp to compare it with.
    if (alone) raiseFloor(tx, tx.highWater, this.#deps);

    const records = this.#collect(tx.db, entries);
    const owners = new OwnerFinder(
      tx.db,
      records.deaths,
      new PendingMoves(tx.db, this.#deps.registry.models, entries, emptied),
    );
    const ownDevice = this.#deps.members.byNumber(tx.self).deviceId;
    const heard = alone ? 0 : this.#heardOf(tx);
    for (const { entry, folding } of records.changes) {
      if (!alone && this.#refuses(owners, ownDevice, folding, entry)) {
        // Nobody has heard of the record in its present state: nobody could put it back.
        const newest = columnStamp(folding.state, 0);
        if (folding.refused !== "changed" || newest.origin !== tx.self || newest.hlc <= heard) continue;
        folding.refused = null;
      }
      this.#change(tx, folding, entry);
    }
    if (!alone) {
      this.#endFormerNames(tx, records);
      this.#stampInherited(tx, records, (model, record) => {
        const owner = owners.ownerOfRow(model, record);
        return owner === null || owner === ownDevice;
      });
      this.#stampLateReferences(tx, records.all);
    }

    let stamps = 0;
    const states = new StateWriter(tx);
    const strange = anyExtra(tx.db);
    for (const folding of records.all) {
      const { model, record, logged, state } = folding;
      if (!alone && state !== folding.before) stamps += states.save({ model: model.number, record, logged, state });
      if (strange && (folding.died || folding.born)) {
        // Columns that this version does not have go with the life that they belonged to.
        saveExtra({ db: tx.db, model: model.number, record, values: new Map(), keep: [...state.columns.keys()] });
      }
    }
    states.flush();
    this.#lateReferences(tx, records.all, emptied || alone ? null : entries.at(-1)!.seq);
    // First: what is taken back may put aside records that were made with it.
    const mended = this.#replaceParked(tx.db, records.all);
    const refused = this.#takeBack(tx, records.all);
    this.#consequences(tx, records, mended);
    this.#consume(tx.db, entries, emptied);
    if (alone) forgetStamps(tx, this.#deps);
    return {
      entries: entries.length,
      stamps,
      refused,
      touched: [...new Set(records.all.map(({ model }) => model))],
      emptied,
    };
  }

  #consume(db: Sqlite, entries: readonly OutboxEntry[], emptied: boolean): void {
    const last = entries[entries.length - 1]!.seq;
    if (emptied) clearOutbox(db);
    else removeFromOutbox(db, last);
    forgetTentative(db, emptied ? null : last);
  }

  #collect(db: Sqlite, entries: readonly OutboxEntry[]): Collected {
    const deaths = new PendingDeaths(db);
    const named: { entry: OutboxEntry; model: SyncModel; record: string }[] = [];
    const unfitDeaths: { entry: OutboxEntry; model: SyncModel }[] = [];
    const byModel = new Map<SyncModel, Set<string>>();
    for (const entry of entries) {
      const model = this.#deps.registry.byNumber.get(entry.model);
      if (model === undefined) continue; // No longer registered: nobody is to hear of it.
      const record = this.#identity(db, deaths, model, entry);
      if (record === null) continue;
      if (!isFit(model, record)) {
        if (entry.mask === BORN) this.#reportUnfit(db, model, record);
        else if (entry.mask < 0) unfitDeaths.push({ entry, model });
        continue;
      }
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
        folding = newFolding(model, record, stored, before);
        known.get(model)!.set(record, folding);
        all.push(folding);
      }
      changes.push({ entry, folding });
    }
    return { all, changes, deaths, known, others: [], unfitDeaths };
  }

  /** A record whose identity no peer would accept stays on this device, and in nobody's way. */
  #reportUnfit(db: Sqlite, model: SyncModel, record: string): void {
    addToJournal(db, {
      at: this.#deps.now(),
      kind: "not-synced",
      model: model.name,
      // A blob is possible.
      record: String(record),
      reason:
        model.identity.kind === "column"
          ? "its identity is not text of 1 to 512 characters without white space; give it a uuid"
          : "it joins a record whose identity is not text of 1 to 512 characters without white space; give that one a uuid",
      values: null,
    });
  }

  /** The identity behind an entry; null when a derived one can't be told any more because a target has vanished. */
  #identity(db: Sqlite, deaths: PendingDeaths, model: SyncModel, entry: OutboxEntry): string | null {
    if (model.identity.kind === "column") return entry.record;
    const { columns } = model.identity;
    const keys = JSON.parse(entry.record) as JoinedKeys;
    return derivedIdentityAt({ db, deaths, columns, keys, after: entry.seq });
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
    if (owner === null || owner === ownDevice || this.#deps.members.isGone(owner)) return false;
    folding.refused =
      entry.mask === BORN && folding.logged === undefined && owner !== SOMEBODY_ELSE ? "created" : "changed";
    return true;
  }

  /** Up to where some other member is known to have this device's own changes. */
  #heardOf(tx: LogTransaction): number {
    const others = this.#deps.members.all().filter((member) => member.num !== tx.self);
    return Math.max(0, ...others.map((member) => loadVector(tx.db, member.num).get(tx.self!) ?? 0));
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
      const groups = new Set(columns.map((column) => stampGroup(folding.model, column)));
      folding.state = editedLocally(folding.state, groups, stamp);
    }
  }

  /** Junctions that are called otherwise since a row that they join has taken another identity, or another row its place. */
  #endFormerNames(tx: LogTransaction, records: Collected): void {
    const { reader } = this.#deps;
    for (const { model, record, passing, refused } of formerNames(tx.db, records.changes, records.deaths)) {
      if (passing && records.known.get(model)?.has(record) !== true) continue;
      // Another row may have the name by now.
      if (!isFit(model, record) || presentRows({ db: tx.db, model, records: [record], reader }).has(record)) continue;
      const former = this.#folding(tx.db, records, model, record);
      if (former.refused !== null || former.state.births.length === 0) continue;
      if (refused) {
        addDamaged(tx.db, model.number, record);
        continue;
      }
      former.state = diedLocally(tx.tick());
      former.died = true;
      former.born = false;
    }
  }

  /**
   * A row that takes the place of another one under the same key (a replacement, another identity) inherits what refers
   * to that key. Those references have not been written, but mean another life now, and say so by a stamp of their own.
   */
  #stampInherited(tx: LogTransaction, records: Collected, isOwn: (model: SyncModel, record: string) => boolean): void {
    const { db } = tx;
    const predecessors = new Map<string, string>();
    for (const { entry, folding } of records.changes) {
      if (entry.mask !== BORN && entry.mask < 0) {
        for (const value of [entry.key, folding.record]) {
          if (value !== null) predecessors.set(`${folding.model.number} ${typeof value} ${value}`, folding.record);
        }
      }
    }
    for (const { entry, model } of records.unfitDeaths) {
      if (entry.key !== null) predecessors.set(`${model.number} ${typeof entry.key} ${entry.key}`, entry.record);
    }
    if (predecessors.size === 0) return;
    for (const target of records.all.slice()) {
      if (!target.born || target.refused !== null) continue;
      for (const { model, column } of target.model.referencedBy) {
        const value = column.reference!.byIdentity ? target.record : target.key;
        const predecessor =
          value === null ? undefined : predecessors.get(`${target.model.number} ${typeof value} ${value}`);
        if (value === null || predecessor === undefined) continue;
        for (const record of rowsReferring({ db, model, column, value })) {
          if (formerIdentity(model, column, record, predecessor) !== record) {
            // A junction is named by what it joins: under another name it is another record.
            const renamed = this.#folding(db, records, model, record, UNKNOWN);
            if (renamed.born) continue;
            renamed.state = bornLocally(renamed.state, tx.tick(), tx.floor, this.#deps.members.order);
            renamed.born = true;
            continue;
          }
          if (!isOwn(model, record)) {
            // Nobody but its owner may say that it refers to the new life: it refers to the old one, if that was ever told.
            if (isIdentity(predecessor)) records.others.push({ model, record, lost: { column, target: predecessor } });
            continue;
          }
          const child = this.#folding(db, records, model, record);
          const group = stampGroup(model, column.number);
          const life = target.state.births[0]!;
          if (child.refused !== null || this.#deps.members.order.compare(columnStamp(child.state, group), life) > 0)
            continue;
          child.state = editedLocally(child.state, [group], tx.tick());
        }
      }
    }
  }

  /** The folding of a record that no entry of this page may have named. */
  #folding(
    db: Sqlite,
    records: Collected,
    model: SyncModel,
    record: string,
    otherwise: RecordState = SETTLED,
  ): Folding {
    const known = records.known.get(model)?.get(record);
    if (known !== undefined) return known;
    const logged = loadLogged(db, model.number, [record]).get(record);
    const folding = newFolding(model, record, logged, logged === undefined ? otherwise : stateOf(logged, true));
    const group = records.known.get(model) ?? new Map<string, Folding>();
    group.set(record, folding);
    records.known.set(model, group);
    records.all.push(folding);
    return folding;
  }

  /**
   * A reference counts only if it is younger than its target's life. Within one transaction an application may write a
   * child before its parent; such a reference takes a stamp of its own, after the parent's birth.
   */
  #stampLateReferences(tx: LogTransaction, all: readonly Folding[]): void {
    const { order } = this.#deps.members;
    const births = new Map<SyncModel, { readonly lives: Map<string, Stamp>; last: number }>();
    for (const { model, record, born, state } of all) {
      if (!born || state.births.length === 0) continue;
      const group = births.get(model) ?? { lives: new Map<string, Stamp>(), last: 0 };
      const life = state.births[0]!;
      group.lives.set(record, life);
      group.last = Math.max(group.last, life.hlc);
      births.set(model, group);
    }
    if (births.size === 0) return;
    const children = new Map<SyncModel, Folding[]>();
    for (const folding of all) {
      const { model, state, before } = folding;
      if (state.births.length === 0 || state === before) continue;
      const early = model.references.some((column) => {
        const targets = births.get(column.reference!.target);
        return targets !== undefined && columnStamp(state, stampGroup(model, column.number)).hlc < targets.last;
      });
      if (!early) continue;
      const group = children.get(model);
      if (group === undefined) children.set(model, [folding]);
      else group.push(folding);
    }
    for (const [model, early] of children) {
      const rows = this.#deps.reader.readByIdentity(
        tx.db,
        model,
        early.map(({ record }) => record),
      );
      for (const folding of early) {
        const row = rows.get(folding.record);
        if (row === undefined) continue;
        for (const column of model.references) {
          const target = row[model.columns.indexOf(column)];
          const life = typeof target === "string" ? births.get(column.reference!.target)?.lives.get(target) : undefined;
          const group = stampGroup(model, column.number);
          if (life === undefined || (column.reference!.target === model && target === folding.record)) continue;
          if (order.compare(columnStamp(folding.state, group), life) > 0) continue;
          folding.state = editedLocally(folding.state, [group], tx.tick());
        }
      }
    }
  }

  /**
   * What was stamped before what it refers to is stamped again, or is remembered until that is born. `foldedTo`: the last
   * entry of this page, if it is not the last of all.
   */
  #lateReferences(tx: LogTransaction, all: readonly Folding[], foldedTo: number | null): void {
    const { late } = this.#deps;
    const until = foldedTo === null ? null : lastInOutbox(tx.db);
    const targets = new Set<number>();
    for (const model of new Set(all.map((folding) => folding.model))) {
      for (const column of model.references) targets.add(column.reference!.target.number);
    }
    const bornLater = foldedTo === null ? null : bornBehind(tx.db, foldedTo, [...targets]);
    for (const [model, group] of byModel(all)) {
      const born = group.filter((folding) => folding.born && folding.refused === null);
      late.recall(
        tx,
        model,
        born.map(({ record }) => record),
      );
    }
    for (const [model, group] of byModel(all)) {
      if (model.references.length === 0) continue;
      const living: string[] = [];
      const gone: string[] = [];
      for (const { record, state, born, died, edited, refused } of group) {
        if (!born && !died && !model.references.some(({ number }) => edited.has(number))) continue;
        (state.births.length > 0 && refused === null ? living : gone).push(record);
      }
      late.note(tx.db, model, { living, gone, until, born: bornLater });
    }
  }

  #mayBeLate(db: Sqlite, entries: readonly OutboxEntry[]): boolean {
    const { late, registry } = this.#deps;
    const models = new Set(entries.map(({ model }) => registry.byNumber.get(model)));
    return [...models].some((model) => model !== undefined && late.mayConcern(db, model));
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
      // What was changed against the rules is fetched again from whoever has it.
      if (how === "changed") addDamaged(tx.db, model.number, record);
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

  /** Local changes stand in the place of what was kept aside of the same records; returns those to be looked at again. */
  #replaceParked(db: Sqlite, all: readonly Folding[]): readonly Reconsidered[] {
    const parks = anyParked(db);
    if (!parks && !anyWaiting(db)) return [];
    const mended: Reconsidered[] = [];
    for (const folding of all) {
      const { model, record, edited, refused } = folding;
      if (refused !== null) continue;
      if (folding.born || folding.died) {
        unpark(db, model.number, record);
        removeWaiting(db, model.number, record);
      } else {
        // The stamp of a device-owned row says of every column what it reads now, also where a reference reads NULL.
        if (model.ownership.kind === "device" && edited.size > 0) removeWaiting(db, model.number, record);
        for (const column of edited) removeWaiting(db, model.number, record, column);
        if (parks && this.#mendParked(db, folding)) mended.push({ model, record });
      }
    }
    return mended;
  }

  /** What local changes mean for records that were parked, or that refer to what went. */
  #consequences(tx: LogTransaction, { all, others }: Collected, mended: readonly Reconsidered[]): void {
    const { db } = tx;
    const again = [...others, ...mended];
    const accepted = all.filter(({ refused }) => refused === null);
    if (anyWaiting(db)) {
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
          again.push({ model: child, record: referring, lost: { column, target: record } });
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

/** Whether this device is the only member, and nothing is waited for that somebody who was one has left. */
function isAlone(members: Members, self: number): boolean {
  const counted = members.counted().filter((member) => member.removal === null || member.settledHlc === null);
  return counted.length === 1 && counted[0]!.num === self && counted[0]!.removal === null;
}

/** Whether peers would accept the identity. A derived one is made of several. */
function isFit(model: SyncModel, record: string): boolean {
  if (model.identity.kind === "column") return isIdentity(record);
  const { columns } = model.identity;
  return targetsOf(columns, record)?.every(isIdentity) ?? false;
}

function newFolding(model: SyncModel, record: string, logged: LoggedState | undefined, before: RecordState): Folding {
  return {
    model,
    record,
    logged,
    before,
    state: before,
    born: false,
    died: false,
    key: null,
    edited: new Set(),
    refused: null,
  };
}

/** The identity that a row had while `column` referred to `predecessor`: another one only if it is derived. */
function formerIdentity(model: SyncModel, column: SyncColumn, record: string, predecessor: string): string {
  if (model.identity.kind === "column") return record;
  const at = model.identity.columns.indexOf(column);
  const targets = targetsOf(model.identity.columns, record);
  return at < 0 || targets === null ? record : deriveIdentity(targets.with(at, predecessor));
}

function namedValues(model: SyncModel, row: readonly WireValue[]): Record<string, WireValue> {
  return Object.fromEntries(model.columns.map((column, index) => [column.name, row[index]!]));
}

/** The floor first: what does not hold becomes final, and is told by the stamps that go. */
function forgetStamps(tx: LogTransaction, deps: FoldDeps): void {
  raiseFloor(tx, tx.highWater, deps);
  prepared(tx.db, "DELETE FROM tidemark_stamp").run();
  prepared(tx.db, "DELETE FROM tidemark_parked WHERE kind = 'dead'").run();
}
