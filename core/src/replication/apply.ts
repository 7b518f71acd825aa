import type { BatchCounts } from "@tidemark/plugin-api";
import type { SyncColumn, SyncModel, SyncRegistry } from "../registry/model.js";
import { anyDamaged, isDamaged } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { deferForeignKeys } from "../storage/deferred-keys.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { OutsideReferences } from "../storage/outside-references.js";
import { anyQuarantined, loadParked, unpark } from "../storage/parked.js";
import { presentRows, rowsReferring } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { RowWriter, targetsOf } from "../storage/row-writer.js";
import { loadLogged, StateWriter, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { anyWaiting, waitingFor, waitingOf } from "../storage/waiting.js";
import { addCounts, countsOf, type MutableCounts } from "./batch-counts.js";
import { byModel } from "./by-model.js";
import type { IncomingRecord } from "./incoming.js";
import { insertBlock } from "./insert-block.js";
import { keepAside } from "./keep-aside.js";
import type { LateReferences } from "./late-references.js";
import { LifeReader } from "./life-reader.js";
import { insertNewcomers } from "./newcomers.js";
import {
  isLiving,
  type Join,
  joinStates,
  losesTo,
  overridesUnheard,
  type RecordState,
  stampsOf,
  type Ties,
} from "./record-state.js";
import { recordOf, recordsOf, type SettledBlock } from "./settled-block.js";
import { holdsLate, stampAnew } from "./stamp-anew.js";
import { stampGroup } from "./stamp-group.js";
import type { TargetLookup } from "./target-lookup.js";
import { WorkingRecord, type WorkingReference, WorkingSet } from "./working-set.js";
import { writeRows } from "./write-rows.js";

/**
 * Merges records into the tables and the log, inside one write transaction of the caller: compare stamps, decide what is
 * visible, upsert, delete, park. It moves no cursor and no vector, sends nothing and awaits nothing.
 *
 * The caller guarantees that the outbox is empty in this very transaction: otherwise an unfolded local edit would be
 * overwritten by an older remote one.
 */
export interface ApplierDeps {
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
  readonly late: LateReferences;
  /** Wall time in milliseconds, for the age of parked records. */
  readonly now: () => number;
  /** Brings what is derived from a tree in line with rows that came, moved or went. */
  readonly rebuildTree: (db: Sqlite, model: SyncModel, changed: ReadonlySet<string>) => void;
}

export interface ApplyOptions {
  readonly tx: LogTransaction;
  readonly records: readonly IncomingRecord[];
  readonly lookup: TargetLookup;
  /**
   * A backfill page speaks for the library: its values win where neither side has a stamp. Trees are rebuilt when the
   * backfill is complete.
   */
  readonly backfill: boolean;
  /** Whether records of which nothing is here may go the short way; false once that has been refused. */
  readonly shortWay: boolean;
  /** Whose value stands where stamps are equal. */
  readonly ties: Ties;
  /** Up to which time the sender has forgotten stamps, where its word on them counts all the same. */
  readonly forgotten: number;
  /** Up to which time everybody has everything, by the word of the sender of a backfill page; 0 for all else. */
  readonly settledTo: number;
  /** Records that a transform has named, by model number and identity. */
  readonly withheld?: (record: IncomingRecord) => WorkingRecord["withheld"];
  /** The member that sent them, and up to where it has heard of this device, where that is known. */
  readonly sender?: { readonly member: number; readonly heard: number } | undefined;
}

export interface ApplyResult {
  readonly models: ReadonlyMap<string, BatchCounts>;
  /** Records that entered their table after having been parked. */
  readonly healed: readonly { readonly model: string; readonly record: string }[];
  /** The rows that came, went or changed. */
  readonly touched: ReadonlyMap<SyncModel, ReadonlySet<string>>;
  /** Of them, how many were inserted the short way. */
  readonly inserted: number;
  /** Whether the local schema refuses any record, one that may fit now. */
  readonly anyQuarantined: boolean;
}

/** A record that is looked at again. */
export interface Reconsidered {
  readonly model: SyncModel;
  readonly record: string;
  readonly state?: RecordState;
  /** What a reference means, where its row can't tell any more. */
  readonly lost?: { readonly column: SyncColumn; readonly target: string };
}

export class Applier {
  readonly #deps: ApplierDeps;
  readonly #writers = new WeakMap<Sqlite, Map<number, RowWriter>>();
  readonly #outside = new WeakMap<Sqlite, OutsideReferences>();
  #writes = 0;

  constructor(deps: ApplierDeps) {
    this.#deps = deps;
  }

  /** Rises when rows are written: the kernel's own writes do not move the data version of its connection. */
  get writes(): number {
    return this.#writes;
  }

  /** Merges what came from a peer. Throws `NewcomersRefused` when records can't be taken the short way. */
  apply(options: ApplyOptions): ApplyResult {
    const { tx, records } = options;
    return this.#guarded(tx, () => {
      const counts = new Counts();
      const touched = new Map<SyncModel, Set<string>>();
      const { rest, inserted } = options.shortWay
        ? insertNewcomers({
            tx,
            records,
            lookup: options.lookup,
            order: this.#deps.members.order,
            reader: this.#deps.reader,
            writer: (model) => this.#writer(tx.db, model),
            withheld: (record) =>
              (options.withheld?.(record) ?? null) !== null || holdsLate(record.state, this.#deps.members),
            touched,
          })
        : { rest: records, inserted: [] };
      for (const [model, rows] of inserted) counts.inserts(model.name, rows);
      return this.#mergeAll(rest, options, counts, touched);
    });
  }

  /**
   * Merges a stretch of a block of a backfill page. Throws `NewcomersRefused` as {@link apply} does. Of the rows that went
   * the short way, `touched` tells the model alone.
   */
  applyBlock(
    options: Omit<ApplyOptions, "records" | "withheld"> & {
      readonly block: SettledBlock;
      readonly from: number;
      readonly to: number;
    },
  ): ApplyResult {
    const { tx, block, from, to, lookup, shortWay } = options;
    const { model } = block;
    return this.#guarded(tx, () => {
      const counts = new Counts();
      const touched = new Map<SyncModel, Set<string>>();
      if (!shortWay) return this.#mergeAll(recordsOf(block, from, to), options, counts, touched);
      const { reader } = this.#deps;
      const rest = insertBlock({ tx, block, from, to, lookup, reader, writer: this.#writer(tx.db, model) });
      const inserted = to - from - rest.length;
      if (inserted > 0) {
        counts.inserts(model.name, inserted);
        touched.set(model, new Set());
      }
      const result = this.#mergeAll(
        rest.map((row) => recordOf(block, row)),
        options,
        counts,
        touched,
      );
      if (inserted > 0) this.#deps.late.recall(tx, model, block.identities.slice(from, to));
      return result;
    });
  }

  /** The long way: what is here is loaded, joined with what came, and all that depends on it is decided anew. */
  #mergeAll(
    records: readonly IncomingRecord[],
    options: Omit<ApplyOptions, "records">,
    counts: Counts,
    touched: Map<SyncModel, Set<string>>,
  ): ApplyResult {
    const { tx, backfill, settledTo } = options;
    const set = new WorkingSet();
    for (const [model, group] of byModel(records)) {
      const loaded = this.#load(
        tx.db,
        model,
        group.map((record) => record.record),
        true,
      );
      group.forEach((incoming, index) => {
        const known = set.get(model.number, incoming.record);
        const working = known ?? loaded[index]!;
        if (!backfill && this.#isConflict(options, working, incoming)) {
          counts.add(model.name, { conflicts: 1 });
        }
        // Before the merge: what it stamps anew comes after all that came.
        for (const stamp of stampsOf(incoming.state)) tx.receive(stamp.hlc);
        if (this.#merge(working, incoming, options, known !== undefined)) {
          if (known === undefined) {
            working.withheld = options.withheld?.(incoming) ?? null;
            set.add(working);
          }
        } else if (known === undefined) counts.add(model.name, { superseded: 1 });
      });
    }
    return this.#finish(tx, set, options.lookup, { counts, touched, backfill, settledTo });
  }

  /**
   * Looks at records again because something about them changed without a merge: a local change has brought or taken a
   * target, a refused row may fit now, or a refused local change is to be taken back (`state` given). A reference whose
   * target has gone is told by `lost`: the row reads something else by now.
   */
  reconsider({
    tx,
    records,
    lookup,
  }: {
    readonly tx: LogTransaction;
    readonly records: readonly Reconsidered[];
    readonly lookup: TargetLookup;
  }): ApplyResult {
    return this.#guarded(tx, () => {
      const set = new WorkingSet();
      for (const [model, group] of byModel(records)) {
        const loaded = this.#load(
          tx.db,
          model,
          group.map((record) => record.record),
          false,
        );
        const added: WorkingRecord[] = [];
        group.forEach(({ state, lost }, index) => {
          let working = set.get(model.number, loaded[index]!.record);
          if (working === undefined) {
            working = loaded[index]!;
            if (state !== undefined) working.state = state;
            set.add(working);
            added.push(working);
          }
          if (lost === undefined) return;
          const at = model.columns.indexOf(lost.column);
          if (working.values[at] === undefined) working.values[at] = lost.target;
        });
        this.#completeReferences(tx.db, model, added);
      }
      return this.#finish(tx, set, lookup, {
        counts: new Counts(),
        touched: new Map(),
        backfill: false,
        settledTo: 0,
      });
    });
  }

  /** Runs `body` with capture silent: what it writes is no local change. */
  #guarded<T>(tx: LogTransaction, body: () => T): T {
    prepared(tx.db, "INSERT INTO tidemark_applying (on_behalf) VALUES (1)").run();
    deferForeignKeys(tx.db);
    const result = body();
    prepared(tx.db, "DELETE FROM tidemark_applying").run();
    return result;
  }

  #load(db: Sqlite, model: SyncModel, records: readonly string[], incoming: boolean): WorkingRecord[] {
    const logged = loadLogged(db, model.number, records);
    const rows = presentRows({ db, model, records, reader: this.#deps.reader });
    const parked = loadParked(db, model.number, records);
    const restoring = incoming && anyDamaged(db);
    return records.map((record) => {
      const key = rows.get(record) ?? null;
      const kept = parked.get(record) ?? null;
      // A record whose row a refused change has taken lives on: what comes for it is no edit of a dead one.
      const damaged = restoring && key === null && kept === null && isDamaged(db, model.number, record);
      const present = key !== null || (kept !== null && kept.kind !== "dead") || damaged;
      const working = new WorkingRecord({
        model,
        record,
        logged: logged.get(record),
        before: stateOf(logged.get(record), present),
        key,
        parked: kept,
        incoming,
      });
      if (kept !== null) {
        model.columns.forEach((column, index) => {
          const value = kept.values.get(column.number);
          if (value !== undefined) working.values[index] = value;
        });
      }
      if (damaged && model.identity.kind === "derived") {
        // Its row can't be written without what it joins.
        const targets = targetsOf(model.identity.columns, record);
        model.identity.columns.forEach((column, index) => {
          working.values[model.columns.indexOf(column)] = targets?.[index];
        });
      }
      return working;
    });
  }

  /** Whether a change that is news here meets one that was made here, neither maker having known of the other. */
  #isConflict(
    { tx, sender }: Pick<ApplyOptions, "tx" | "sender">,
    { state: local }: WorkingRecord,
    { state: incoming }: IncomingRecord,
  ) {
    const met = { member: tx.self!, local, incoming, order: this.#deps.members.order };
    return (
      losesTo(met) || (sender !== undefined && overridesUnheard({ ...met, maker: sender.member, heard: sender.heard }))
    );
  }

  /** Merges one incoming record; false when it brought nothing. */
  #merge(
    working: WorkingRecord,
    incoming: IncomingRecord,
    { tx, ties, forgotten }: Pick<ApplyOptions, "tx" | "ties" | "forgotten">,
    again: boolean,
  ): boolean {
    const local = working.state;
    const join = joinStates({
      local,
      incoming: incoming.state,
      order: this.#deps.members.order,
      ties,
      forgotten,
    });
    // An edit of a record that is neither here nor remembered is an edit of a dead record.
    if (!isLiving(join.state) && join.state.death.hlc === 0) return again;
    let won = false;
    working.model.columns.forEach((column, index) => {
      const value = incoming.values[index];
      if (value === undefined || !join.wins(stampGroup(working.model, column.number))) return;
      working.values[index] = value;
      won = true;
    });
    if (incoming.extra !== null) {
      const extra = new Map(working.extra ?? []);
      for (const [column, value] of incoming.extra) {
        if (!join.wins(stampGroup(working.model, column))) continue;
        extra.set(column, value);
        won = true;
      }
      working.extra = extra;
    }
    const { members } = this.#deps;
    leaveUntold(working, incoming, join);
    working.state = stampAnew({ state: join.state, members, tx });
    return join.changed || won || again;
  }

  /** Draws in what depends on the set, decides what is visible, and writes it all. */
  #finish(
    tx: LogTransaction,
    set: WorkingSet,
    lookup: TargetLookup,
    {
      counts,
      touched,
      backfill,
      settledTo,
    }: {
      readonly counts: Counts;
      /** The rows that have come already. */
      readonly touched: Map<SyncModel, Set<string>>;
      readonly backfill: boolean;
      readonly settledTo: number;
    },
  ): ApplyResult {
    const { db } = tx;
    const order = this.#deps.members.order;
    const waits = anyWaiting(db);
    if (waits) this.#addWaiting(db, set);
    const healed: { model: string; record: string }[] = [];
    let pending = set.records.slice();
    let expanded = 0;
    // Each turn draws in records that depend on those before; a refusal by the schema starts another turn.
    for (;;) {
      while (pending.length > 0) {
        this.#readReferences(tx, set, pending, lookup);
        pending = waits ? this.#drawInWaiting(db, set, set.records.slice(expanded)) : [];
        expanded = set.records.length - pending.length;
      }
      set.settle(order, settledTo);
      pending = this.#drawInDependents(db, set);
      if (pending.length > 0) continue;
      const refused = writeRows({
        db,
        set,
        reader: this.#deps.reader,
        writer: (model) => this.#writer(db, model),
        lookup,
        outside: this.#outsideOf(db),
        touched,
      });
      // What the schema refuses is not visible, and neither is what requires it: decide again.
      if (!refused) break;
    }
    if (touched.size > 0) this.#writes += 1;
    keepAside({ tx, set, reader: this.#deps.reader, now: this.#deps.now, waits });
    const states = new StateWriter(tx);
    for (const working of set.records) {
      states.save({
        model: working.model.number,
        record: working.record,
        logged: working.logged,
        state: working.state,
      });
      if (working.parked !== null && working.visible && working.stuck === null) {
        unpark(db, working.model.number, working.record);
        if (working.parked.kind !== "dead") healed.push({ model: working.model.name, record: working.record });
      }
      if (working.incoming) counts.count(working);
    }
    states.flush();
    for (const [model, changed] of touched) this.#deps.late.recall(tx, model, [...changed]);
    if (!backfill) {
      for (const [model, changed] of touched) if (model.tree !== null) this.#deps.rebuildTree(db, model, changed);
    }
    return { models: counts.models, healed, touched, inserted: counts.inserted, anyQuarantined: anyQuarantined(db) };
  }

  /**
   * Of rows about which something came, the references that read NULL and of which nothing came: their targets may come
   * with it, and when the row leaves its table, what they refer to is kept with its values.
   */
  #addWaiting(db: Sqlite, set: WorkingSet): void {
    const rows = set.records.filter((working) => working.incoming && working.hadRow && working.parked === null);
    for (const [model, group] of byModel(rows)) {
      const names = group.map((working) => working.record);
      for (const { record, column: number, target } of waitingOf(db, model.number, names)) {
        const working = set.get(model.number, record)!;
        const index = model.columns.findIndex((column) => column.number === number);
        const column = model.columns[index];
        if (!column?.reference || working.values[index] !== undefined || working.left?.has(index)) continue;
        working.references.push(unjudged({ column, index, target }));
      }
    }
  }

  /** Fills in the references that matter for each record, and what is known of their targets. */
  #readReferences(tx: LogTransaction, set: WorkingSet, pending: readonly WorkingRecord[], lookup: TargetLookup): void {
    const lives = new LifeReader(tx.db);
    const drawnIn = new Map<SyncModel, Set<string>>();
    for (const working of pending) {
      if (!isLiving(working.state)) {
        working.references = [];
        continue;
      }
      for (const column of working.model.references) {
        const index = working.model.columns.indexOf(column);
        const value = working.values[index];
        if (typeof value !== "string" || working.references.some((reference) => reference.column === column)) continue;
        working.references.push(unjudged({ column, index, target: value }));
      }
      for (const reference of working.references) {
        const target = column(reference).target;
        reference.working = set.get(target.number, reference.target) ?? null;
        if (reference.working !== null) continue;
        lives.want(target, reference.target);
        const came = working.incoming && working.values[reference.index] !== undefined;
        if (!came) addTo(drawnIn, target, reference.target);
      }
    }
    lookup.expect(tx.db, drawnIn);
    for (const working of pending) {
      for (const reference of working.references) {
        if (reference.working !== null) continue;
        const target = column(reference).target;
        const key = lookup.find(tx.db, target, reference.target);
        reference.found = key === null ? null : { key, life: lives.of(target, reference.target) };
      }
    }
  }

  /** Records that wait for one that becomes visible, or whose life is another one now. */
  #drawInWaiting(db: Sqlite, set: WorkingSet, records: readonly WorkingRecord[]): WorkingRecord[] {
    const drawn: WorkingRecord[] = [];
    for (const [model, group] of byModel(records.filter((r) => isLiving(r.state) && (!r.hadRow || r.lifeChanged)))) {
      const waiting = waitingFor(
        db,
        model.number,
        group.map((record) => record.record),
      );
      const groups = new Map<number, Set<string>>();
      for (const reference of waiting) {
        if (!this.#deps.registry.byNumber.has(reference.model)) continue;
        const records = groups.get(reference.model) ?? new Set();
        records.add(reference.record);
        groups.set(reference.model, records);
      }
      for (const [number, names] of groups) {
        drawn.push(...this.#drawIn(db, set, this.#deps.registry.byNumber.get(number)!, [...names], null));
      }
    }
    this.#relink(set, drawn);
    return drawn;
  }

  /** Rows that refer to a record which leaves its table, or whose life is another one now. */
  #drawInDependents(db: Sqlite, set: WorkingSet): WorkingRecord[] {
    const drawn: WorkingRecord[] = [];
    for (const working of set.records.slice()) {
      const leaves = working.key !== null && (working.hadRow || working.refused !== null) && !working.visible;
      if (!leaves && !(working.hadRow && working.lifeChanged)) continue;
      for (const { model, column } of working.model.referencedBy) {
        const value = column.reference!.byIdentity ? working.record : (working.key as number | bigint | string);
        const referring = rowsReferring({ db, model, column, value });
        drawn.push(...this.#drawIn(db, set, model, referring, { column, target: working }));
      }
    }
    this.#relink(set, drawn);
    return drawn;
  }

  /** Adds records to the set with all their values; returns those that are new or have a reference more to look at. */
  #drawIn(
    db: Sqlite,
    set: WorkingSet,
    model: SyncModel,
    records: readonly string[],
    because: { readonly column: WorkingReference["column"]; readonly target: WorkingRecord } | null,
  ): WorkingRecord[] {
    const fresh = records.filter((record) => set.get(model.number, record) === undefined);
    const result: WorkingRecord[] = [];
    for (const working of this.#load(db, model, fresh, false)) {
      set.add(working);
      result.push(working);
    }
    this.#completeReferences(db, model, result);
    if (because !== null) {
      for (const record of records) {
        const working = set.get(model.number, record)!;
        if (!isLiving(working.state)) continue;
        if (result.includes(working) || working.references.some((reference) => reference.column === because.column))
          continue;
        // It is in the set for another reason and keeps this reference: nothing has written the column.
        const index = model.columns.indexOf(because.column);
        if (working.values[index] !== undefined) continue;
        const reference = unjudged({ column: because.column, index, target: because.target.record });
        working.references.push({ ...reference, working: because.target });
        result.push(working);
      }
    }
    return result;
  }

  /** For rows about which nothing came: the identities that their reference columns have, also those that read NULL. */
  #completeReferences(db: Sqlite, model: SyncModel, records: readonly WorkingRecord[]): void {
    const withRow = records.filter((working) => working.hadRow && working.parked === null);
    if (withRow.length === 0) return;
    const names = withRow.map((working) => working.record);
    const rows = this.#deps.reader.readByIdentity(db, model, names);
    const kept = new Map<string, Map<number, string>>();
    for (const reference of waitingOf(db, model.number, names)) {
      const columns = kept.get(reference.record) ?? new Map();
      columns.set(reference.column, reference.target);
      kept.set(reference.record, columns);
    }
    for (const working of withRow) {
      const row = rows.get(working.record);
      for (const column of model.references) {
        const index = model.columns.indexOf(column);
        if (working.values[index] !== undefined) continue;
        const waited = kept.get(working.record)?.get(column.number);
        const target = waited ?? row?.[index];
        if (typeof target === "string") {
          const standing = waited === undefined;
          working.references.push(unjudged({ column, index, target, standing }));
        }
      }
    }
  }

  /** References to records that have joined the set since they were looked up. */
  #relink(set: WorkingSet, drawn: readonly WorkingRecord[]): void {
    if (drawn.length === 0) return;
    for (const working of set.records) {
      for (const reference of working.references) {
        reference.working ??= set.get(column(reference).target.number, reference.target) ?? null;
      }
    }
  }

  #outsideOf(db: Sqlite): OutsideReferences {
    let outside = this.#outside.get(db);
    if (outside === undefined) {
      outside = new OutsideReferences(db);
      this.#outside.set(db, outside);
    }
    return outside;
  }

  #writer(db: Sqlite, model: SyncModel): RowWriter {
    let writers = this.#writers.get(db);
    if (writers === undefined) {
      writers = new Map();
      this.#writers.set(db, writers);
    }
    let writer = writers.get(model.number);
    if (writer === undefined) {
      writer = new RowWriter(db, model);
      writers.set(model.number, writer);
    }
    return writer;
  }
}

function column(reference: WorkingReference) {
  return reference.column.reference!;
}

function addTo(records: Map<SyncModel, Set<string>>, model: SyncModel, record: string): void {
  const known = records.get(model);
  if (known === undefined) records.set(model, new Set([record]));
  else known.add(record);
}

class Counts {
  inserted = 0;
  readonly models = new Map<string, MutableCounts>();

  add(model: string, counts: Partial<BatchCounts>): void {
    addCounts(this.models, model, counts);
  }

  /** Records that went the short way. */
  inserts(model: string, records: number): void {
    this.add(model, { applied: records });
    this.inserted += records;
  }

  /** What became of a record that has come. */
  count({ model, withheld, refused, stuck, state, visible }: WorkingRecord): void {
    const outcome: keyof BatchCounts =
      withheld !== null
        ? withheld.kind === "deferred"
          ? "deferred"
          : "rejected"
        : refused !== null || stuck !== null
          ? "quarantined"
          : isLiving(state) && !visible
            ? "parked"
            : "applied";
    countsOf(this.models, model.name)[outcome] += 1;
  }
}

/** A reference of which nothing is known yet but where it leads. */
function unjudged({
  column,
  index,
  target,
  standing = false,
}: Pick<WorkingReference, "column" | "index" | "target"> &
  Partial<Pick<WorkingReference, "standing">>): WorkingReference {
  return { column, index, target, working: null, found: null, standing, holds: false };
}

/** Whether a table can read something in this column of which nothing is told. */
export function hasDefault({ nullable, defaultSql }: SyncColumn): boolean {
  return nullable || defaultSql !== "NULL";
}

/** No column has this number: it stands for all those that nobody has stamped by themselves. */
const NO_COLUMN = -1;

/**
 * Who makes a record, stamps its row as a whole, or serves it in a backfill speaks of every column: of one that he does not
 * have, that it reads its default. Or it would depend on what was here before, and stay another value here than elsewhere.
 */
function leaveUntold(working: WorkingRecord, incoming: IncomingRecord, join: Join): void {
  const { model, values, hadRow, parked, logged } = working;
  if (!hadRow && parked === null && logged === undefined) return;
  const isOwned = model.ownership.kind === "device";
  if (!join.wins(stampGroup(model, NO_COLUMN))) return;
  const left = new Set(working.left);
  model.columns.forEach((column, index) => {
    const { number, name } = column;
    if (incoming.values[index] !== undefined || incoming.late?.includes(name)) return;
    // Edited since, or nothing that the table could read instead.
    if (!isOwned && (incoming.state.columns.has(number) || !join.wins(number))) return;
    if (!hasDefault(column)) return;
    values[index] = undefined;
    left.add(index);
  });
  working.left = left;
}
