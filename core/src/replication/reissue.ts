import type { WireValue } from "@tidemark/plugin-api";
import type { SyncModel } from "../registry/model.js";
import { loadExtra, saveExtra } from "../storage/extra.js";
import { addToJournal, type JournalKind } from "../storage/journal.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import { columnNames, modelName, nameAllocator } from "../storage/names.js";
import { loadParked } from "../storage/parked.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import { waitingOf } from "../storage/waiting.js";
import { applyForeign } from "./apply-foreign.js";
import { decodeRecords } from "./decode-records.js";
import type { LocalLibrary } from "./local-library.js";
import {
  bornLocally,
  columnStamp,
  diedLocally,
  isLiving,
  lifeOf,
  newestBirth,
  type RecordState,
  type Stamp,
  UNKNOWN,
  UNSTAMPED,
} from "./record-state.js";
import { stampGroup } from "./stamp-group.js";
import { PlainLookup } from "./target-lookup.js";
import { forgetUnsent, nextUnsent } from "./unsent.js";

/**
 * Issues again what this device had not got out before it lost its origin (`unsent.ts`), on top of the library as it is
 * now: with fresh stamps, in the order in which it was made. What has been overtaken meanwhile is written to the journal
 * instead: a record that was deleted stays deleted, and an edit older than the column's present stamp gives way.
 */
export interface Reissued {
  /** Records that were issued again, wholly or in part. */
  readonly issued: number;
  /** Entries that went to the journal. */
  readonly reported: number;
}

/** Records in one transaction. */
const SLICE = 200;

export async function reissueUnsent(library: LocalLibrary): Promise<Reissued> {
  const total = { issued: 0, reported: 0 };
  for (;;) {
    const { issued, journal, more } = await library.write("issue again", (tx) => reissueSlice(library, tx));
    for (const entry of journal) library.deps.events.emit("journalEntryAdded", entry);
    total.issued += issued;
    total.reported += journal.length;
    if (!more) return total;
  }
}

/** What one record was, in original stamps. */
interface Unsent {
  readonly number: number;
  /** Null: this version of the application does not have the model. */
  readonly model: SyncModel | null;
  readonly record: string;
  readonly state: RecordState;
  /** By column number. */
  readonly values: ReadonlyMap<number, WireValue>;
  readonly kept: boolean;
}

/** What the library has of it now. */
interface Present {
  readonly state: RecordState;
  readonly values: ReadonlyMap<number, WireValue>;
}

/** What is issued again: the state in fresh stamps, and the values that go with it. */
interface Again {
  readonly unsent: Unsent;
  /** Whether the record is here as it is to be, in its table or hidden, and only its stamps are missing. */
  readonly inPlace: boolean;
  readonly state: RecordState;
  readonly values: ReadonlyMap<number, WireValue>;
}

interface JournalNews {
  readonly kind: JournalKind;
  readonly model: string;
  readonly record: string;
}

function reissueSlice(
  library: LocalLibrary,
  tx: LogTransaction,
): { readonly issued: number; readonly journal: readonly JournalNews[]; readonly more: boolean } {
  const slice = nextUnsent(tx.db, SLICE);
  const journal = new Journal(library, tx);
  const records = slice.flatMap(({ id, page, kept }) => {
    forgetUnsent(tx.db, id);
    return decode(library, tx, page, kept);
  });
  const fresh = freshStamps(library, tx, records);
  const again: Again[] = [];
  for (const unsent of records) {
    const issued = judge({ library, tx, journal, fresh, unsent });
    if (issued === null) continue;
    if (library.deps.settings.membership.onReturn === "reissue") again.push(issued);
    else
      journal.add("not-reissued", unsent, "it was not sent in time, and is not issued again by itself", issued.values);
  }
  issue(library, tx, again);
  for (const { unsent } of again) {
    if (loadParked(tx.db, unsent.number, [unsent.record]).get(unsent.record)?.kind !== "hidden") continue;
    journal.add("not-reissued", unsent, "what it refers to is not in the library any more", unsent.values);
  }
  return { issued: again.length, journal: journal.news, more: slice.length === SLICE };
}

function decode(
  library: LocalLibrary,
  tx: LogTransaction,
  page: Parameters<typeof decodeRecords>[0],
  kept: boolean,
): Unsent[] {
  const { registry, members } = library.deps;
  // Its own clock made the stamps, wherever that stood.
  const maxHlc = Number.MAX_SAFE_INTEGER;
  const decoded = decodeRecords(page, { registry, members, numbers: nameAllocator(tx.db), maxHlc });
  return [
    ...decoded.records.map(({ model, record, state, values, extra }): Unsent => {
      const named = new Map(extra ?? []);
      model.columns.forEach((column, index) => {
        const value = values[index];
        if (value !== undefined) named.set(column.number, value);
      });
      return { number: model.number, model, record, state, values: named, kept };
    }),
    ...decoded.foreign.map(({ model, ...rest }): Unsent => ({ number: model, model: null, ...rest, kept })),
  ];
}

/** Fresh stamps in the order of the original ones, so that references stay younger than what they refer to. */
function freshStamps(library: LocalLibrary, tx: LogTransaction, records: readonly Unsent[]): (stamp: Stamp) => Stamp {
  const stamps = records.flatMap(({ state: { births, death, columns } }) => [...births, death, ...columns.values()]);
  const fresh = new Map<string, Stamp>();
  const key = ({ hlc, origin }: Stamp) => `${hlc} ${origin}`;
  for (const stamp of stamps.sort(library.deps.members.order.compare)) {
    if (stamp.hlc > 0 && !fresh.has(key(stamp))) fresh.set(key(stamp), tx.tick());
  }
  return (stamp) => fresh.get(key(stamp))!;
}

/** What of a record is to be issued again; null if nothing is. Reports what was overtaken. */
function judge({
  library,
  tx,
  journal,
  fresh,
  unsent,
}: {
  readonly library: LocalLibrary;
  readonly tx: LogTransaction;
  readonly journal: Journal;
  readonly fresh: (stamp: Stamp) => Stamp;
  readonly unsent: Unsent;
}): Again | null {
  const { order } = library.deps.members;
  const { state, values, kept } = unsent;
  const found = presentOf(library, tx, unsent);
  const inPlace = kept && found !== null && isLiving(found.state);
  const here = inPlace ? null : found;
  const birth = newestBirth(state);
  if (state.births.length > 0) {
    const diedBefore = here !== null && !isLiving(here.state) && order.compare(here.state.death, birth) < 0;
    if (here === null || diedBefore) {
      const born = bornLocally(here?.state ?? UNKNOWN, fresh(birth), tx.floor, order);
      const columns = new Map([...state.columns].map(([column, stamp]) => [column, fresh(stamp)]));
      return { unsent, inPlace, state: { ...born, columns }, values };
    }
  }
  if (here === null || !isLiving(here.state)) {
    // Deleted by this device's application while the library was on its way: nobody misses it.
    if (kept && here?.state.death.origin === tx.self) return null;
    if (state.death.hlc === 0) journal.add("not-reissued", unsent, "the library has deleted the record", values);
    return null;
  }
  if (state.death.hlc === 0) return judgeEdits({ tx, journal, fresh, unsent, here, order, latest: library.maxHlc });
  const life = lifeOf(here.state);
  if (life.hlc > 0 && order.compare(life, state.death) > 0) {
    journal.add("not-reissued", unsent, "it was deleted here, and others have made it again since", null);
    return null;
  }
  return { unsent, inPlace, state: diedLocally(fresh(state.death)), values: new Map() };
}

function judgeEdits({
  tx,
  journal,
  fresh,
  unsent,
  here,
  order,
  latest,
}: {
  readonly tx: LogTransaction;
  readonly journal: Journal;
  readonly fresh: (stamp: Stamp) => Stamp;
  readonly unsent: Unsent;
  readonly here: Present;
  readonly order: LocalLibrary["deps"]["members"]["order"];
  /** No clock that is right has told a later time. */
  readonly latest: number;
}): Again | null {
  const { state } = unsent;
  const groupOf = grouping(unsent, here);
  const columns = new Map<number, Stamp>();
  const values = new Map<number, WireValue>();
  const overtaken = new Map<number, WireValue>();
  const replaced = new Map<number, WireValue>();
  const unclear = new Map<number, WireValue>();
  for (const [column, value] of unsent.values) {
    const theirs = here.values.get(column) ?? null;
    if (JSON.stringify(value) === JSON.stringify(theirs)) continue;
    if (groupOf === null) {
      unclear.set(column, value);
      continue;
    }
    const group = groupOf(column);
    const original = state.columns.get(group) ?? newestBirth(state);
    if (original.hlc === 0) continue;
    const present = columnStamp(here.state, group);
    if (present.hlc > 0 && order.compare(present, original) > 0) {
      overtaken.set(column, value);
      continue;
    }
    // A value without a stamp is from below the floor. If this one is too, nobody knows any more which of them is later;
    // nor does a clock that was far ahead tell when this one was written.
    if ((present.hlc === 0 && original.hlc <= tx.floor) || original.hlc > latest) replaced.set(column, theirs);
    columns.set(group, fresh(original));
    values.set(column, value);
  }
  if (overtaken.size > 0) journal.add("not-reissued", unsent, "others have changed it since", overtaken);
  if (unclear.size > 0) {
    const reason = "the library has the record, and this version of the application does not know who may change it";
    journal.add("not-reissued", unsent, reason, unclear);
  }
  if (replaced.size > 0) {
    const reason = "a device came back with another value, and which of the two is later is not known any more";
    journal.add("overwritten-by-return", unsent, reason, replaced);
  }
  return columns.size === 0
    ? null
    : { unsent, inPlace: false, state: { births: [], death: UNSTAMPED, columns }, values };
}

/**
 * Under which number a column's stamp is kept. How a model is owned that is not known here only stamps can tell; null where
 * there are none: nobody would take a stamp of a single column of a record that has an owner.
 */
function grouping({ model, state }: Unsent, here: Present): ((column: number) => number) | null {
  if (model !== null) return (column) => stampGroup(model, column);
  const stamped = [...state.columns.keys(), ...here.state.columns.keys()];
  if (stamped.length === 0) return null;
  return stamped.includes(0) ? () => 0 : (column) => column;
}

/** The record as the library has it; null if it has never heard of it. */
function presentOf({ deps }: LocalLibrary, { db }: LogTransaction, { model, number, record }: Unsent): Present | null {
  const logged = loadLogged(db, number, [record]).get(record);
  const parked = loadParked(db, number, [record]).get(record);
  const row = model === null ? undefined : deps.reader.readByIdentity(db, model, [record]).get(record);
  if (logged === undefined && parked === undefined && row === undefined) return null;
  const values = new Map<number, WireValue>();
  for (const [index, column] of model?.columns.entries() ?? []) {
    if (row !== undefined) values.set(column.number, row[index]!);
  }
  for (const { column, target } of waitingOf(db, number, [record])) values.set(column, target);
  for (const [column, value] of parked?.values ?? []) values.set(column, value);
  for (const [column, value] of loadExtra(db, number, [record]).get(record) ?? []) values.set(column, value);
  const present = row !== undefined || (parked !== undefined && parked.kind !== "dead");
  return { state: stateOf(logged, present), values };
}

function issue(library: LocalLibrary, tx: LogTransaction, again: readonly Again[]): void {
  const { applier, reader, members, clock } = library.deps;
  const lookup = new PlainLookup(reader);
  const inPlace = again.filter((item) => item.inPlace && item.unsent.model !== null);
  if (inPlace.length > 0) {
    for (const { unsent, values } of inPlace) keepUnknown(tx, unsent, values);
    const records = inPlace.map(({ unsent, state }) => ({ model: unsent.model!, record: unsent.record, state }));
    applier.reconsider({ tx, records, lookup });
  }
  const rest = again.filter((item) => !inPlace.includes(item));
  const records = rest.flatMap(({ unsent: { model, record, values: all }, state, values: differing }) => {
    if (model === null) return [];
    // A stamp of the whole row speaks for every column: one that is not told reads its default everywhere.
    const values = state.columns.has(0) ? all : differing;
    const extra = new Map([...values].filter(([column]) => !model.columnByNumber.has(column)));
    const known = model.columns.map(({ number }) => values.get(number));
    return [{ model, record, state, values: known, extra: extra.size === 0 ? null : extra }];
  });
  if (records.length > 0)
    applier.apply({ tx, records, lookup, backfill: false, ties: "none", forgotten: 0, settledTo: 0, shortWay: false });
  const foreign = rest.flatMap(({ unsent: { model, number, record, values: all }, state, values }) =>
    model === null ? [{ model: number, record, state, values: state.columns.has(0) ? all : values }] : [],
  );
  if (foreign.length > 0) applyForeign({ tx, records: foreign, members, now: clock.now(), backfill: false });
}

/** The row has stayed, but what was kept beside it of columns that are not known here was forgotten with the stamps. */
function keepUnknown({ db }: LogTransaction, { model, number, record }: Unsent, values: Unsent["values"]): void {
  // Made anew by the application while the library was on its way: another life, which has none of it.
  if (newestBirth(stateOf(loadLogged(db, number, [record]).get(record), true)).hlc > 0) return;
  const unknown = new Map([...values].filter(([column]) => !model!.columnByNumber.has(column)));
  saveExtra({ db, model: number, record, values: unknown, keep: null });
}

/** Writes entries, and remembers what is to be told once they are committed. */
class Journal {
  readonly news: JournalNews[] = [];
  readonly #library: LocalLibrary;
  readonly #tx: LogTransaction;

  constructor(library: LocalLibrary, tx: LogTransaction) {
    this.#library = library;
    this.#tx = tx;
  }

  add(
    kind: JournalKind,
    { number, record }: Unsent,
    reason: string,
    values: ReadonlyMap<number, WireValue> | null,
  ): void {
    const { db } = this.#tx;
    const model = modelName(db, number)!;
    const names = columnNames(db, number);
    const named =
      values === null ? null : Object.fromEntries([...values].map(([column, value]) => [names.get(column)!, value]));
    addToJournal(db, { at: this.#library.deps.clock.now(), kind, model, record, reason, values: named });
    this.news.push({ kind, model, record });
  }
}
