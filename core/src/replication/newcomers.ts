import type { SyncColumn, SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { RecordReader } from "../storage/record-reader.js";
import type { Bindable, LocalKey, RawText, RowWriter } from "../storage/row-writer.js";
import { StateWriter } from "../storage/stamp-store.js";
import { byModel } from "./by-model.js";
import type { IncomingRecord } from "./incoming.js";
import { knownHere } from "./known-here.js";
import { LifeReader } from "./life-reader.js";
import { orRefused } from "./newcomers-refused.js";
import {
  columnStamp,
  isLiving,
  joinStates,
  lifeOf,
  type RecordState,
  referenceHolds,
  SETTLED,
  type StampOrder,
  stampsOf,
  UNKNOWN,
} from "./record-state.js";
import { stampGroup } from "./stamp-group.js";
import type { TargetLookup } from "./target-lookup.js";
import { targetsFirst } from "./targets-first.js";
import { bindWireValue, isRawTextTag } from "./wire-value.js";

/**
 * The short way for records of which nothing is here yet: no row, no stamp, nothing kept aside, nobody waiting for them,
 * and every reference holds. There is nothing to merge with, so they are written as they came. A first backfill consists
 * of little else, which is why this way exists; what it leaves goes the long way through {@link Applier}, which would
 * end in the same rows and stamps.
 */
export interface NewcomersOptions {
  readonly tx: LogTransaction;
  readonly records: readonly IncomingRecord[];
  readonly lookup: TargetLookup;
  readonly order: StampOrder;
  readonly reader: RecordReader;
  readonly writer: (model: SyncModel) => RowWriter;
  /** Whether the record can't be written as it came: a transform keeps it out of its table, or it has to be stamped anew. */
  readonly withheld: (record: IncomingRecord) => boolean;
  /** Is given the rows that came. */
  readonly touched: Map<SyncModel, Set<string>>;
}

/** What is bound: whole values, no text by way of its bytes. */
type Bound = Exclude<Bindable, RawText>;

interface Newcomer {
  readonly incoming: IncomingRecord;
  readonly state: RecordState;
  key: LocalKey;
  /** Keys of targets that were here before, in the order of the model's references; each is looked up once. */
  readonly targetKeys: (LocalKey | undefined)[];
}

/** Below so many records of a model the long way costs no more than finding out. */
const WORTH_LOOKING = 8;

/**
 * Inserts what can be inserted as it came; returns the rest, and how many were inserted by model. Throws
 * {@link NewcomersRefused}.
 */
export function insertNewcomers(options: NewcomersOptions): {
  readonly rest: readonly IncomingRecord[];
  readonly inserted: ReadonlyMap<SyncModel, number>;
} {
  const { tx, records, writer, touched, lookup } = options;
  const newcomers = new Newcomers(options);
  orRefused(() => {
    for (const [model, group] of newcomers.byModel) {
      const ordered = newcomers.targetsFirst(model, group);
      writer(model).insertAll(ordered.map((newcomer) => newcomers.row(model, newcomer)));
    }
  });
  const inserted = new Map<SyncModel, number>();
  const states = new StateWriter(tx);
  for (const [model, group] of newcomers.byModel) {
    if (group.size === 0) continue;
    inserted.set(model, group.size);
    touched.set(model, new Set(group.keys()));
    for (const [record, { state, key }] of group) {
      if (model.referencedBy.length > 0) lookup.changed(model, record, key);
      if (state === SETTLED) continue;
      states.save({ model: model.number, record, logged: undefined, state });
      for (const stamp of stampsOf(state)) tx.receive(stamp.hlc);
    }
  }
  states.flush();
  return { rest: records.filter((record) => !newcomers.has(record)), inserted };
}

/** Which of the records are new here, and what their references mean. */
class Newcomers {
  readonly byModel = new Map<SyncModel, Map<string, Newcomer>>();
  readonly #options: NewcomersOptions;
  readonly #lives: LifeReader;

  constructor(options: NewcomersOptions) {
    this.#options = options;
    this.#lives = new LifeReader(options.tx.db);
    // What is referred to comes first, as the triggers of an application expect.
    const byLevel = [...byModel(options.records)].sort(([one], [other]) => one.level - other.level);
    for (const [model, group] of byLevel) {
      if (model.identity.kind !== "column") continue;
      // Edits and deletions can be told apart without a look into the database.
      const fit = group.filter((incoming) => isComplete(incoming) && !options.withheld(incoming));
      if (fit.length < WORTH_LOOKING) continue;
      this.byModel.set(model, this.#candidates(model, fit));
    }
    this.#withdrawUnsupported();
    for (const [model, group] of this.byModel) this.#assignKeys(model, group);
  }

  has(record: IncomingRecord): boolean {
    return this.byModel.get(record.model)?.get(record.record)?.incoming === record;
  }

  /** Those of one model, in the order in which they are best inserted. */
  targetsFirst(model: SyncModel, group: ReadonlyMap<string, Newcomer>): readonly Newcomer[] {
    const own = model.references.filter(({ reference }) => reference!.target === model);
    const all = [...group.values()];
    if (own.length === 0) return all;
    const places = own.map((column) => positionOf(model, column));
    return targetsFirst(all, ({ incoming }) =>
      places.flatMap((place) => group.get(incoming.values[place] as string) ?? []),
    );
  }

  /** The row as the table takes it: the integer key if there is one, the identity, the columns in their order. */
  row(model: SyncModel, { incoming, key, targetKeys }: Newcomer): readonly Bound[] {
    const { columns, localKey } = model;
    const row: Bound[] = localKey!.kind === "integer" ? [key as bigint, incoming.record] : [incoming.record];
    for (let index = 0, reference = 0; index < columns.length; index++) {
      const column = columns[index]!;
      const value = incoming.values[index]!;
      if (column.reference === null) row.push(bindWireValue(value, column.affinity));
      else {
        const found = targetKeys[reference];
        reference += 1;
        if (value === null || column.reference.byIdentity) row.push(value as string | null);
        else {
          const local = found ?? this.#newcomer(column.reference.target, value as string)!.key;
          row.push((typeof local === "number" ? BigInt(local) : local) as Bound);
        }
      }
    }
    return row;
  }

  #newcomer(model: SyncModel, identity: string): Newcomer | undefined {
    return this.byModel.get(model)?.get(identity);
  }

  get #db(): Sqlite {
    return this.#options.tx.db;
  }

  /** The records of one model of which nothing is here, out of complete ones. */
  #candidates(model: SyncModel, group: readonly IncomingRecord[]): Map<string, Newcomer> {
    const { order, reader } = this.#options;
    const identities = group.map(({ record }) => record);
    const known = knownHere({ db: this.#db, model, identities, reader });
    const candidates = new Map<string, Newcomer>();
    for (const incoming of group) {
      const { record, state } = incoming;
      if (known.has(record) || candidates.has(record)) continue;
      const joined = state === SETTLED ? SETTLED : joinStates({ local: UNKNOWN, incoming: state, order }).state;
      if (isLiving(joined)) candidates.set(record, { incoming, state: joined, key: record, targetKeys: [] });
    }
    return candidates;
  }

  /** Whoever refers to what is neither here nor among the newcomers is no newcomer, nor is who refers to that one. */
  #withdrawUnsupported(): void {
    for (const group of this.byModel.values()) {
      for (const { incoming } of group.values()) {
        for (const column of incoming.model.references) {
          const identity = incoming.values[positionOf(incoming.model, column)];
          const { target } = column.reference!;
          if (typeof identity === "string" && this.#newcomer(target, identity) === undefined) {
            this.#lives.want(target, identity);
          }
        }
      }
    }
    for (let withdrawn = true; withdrawn; ) {
      withdrawn = false;
      for (const group of this.byModel.values()) {
        for (const [record, newcomer] of group) {
          if (this.#holds(newcomer)) continue;
          group.delete(record);
          withdrawn = true;
        }
      }
    }
  }

  #holds({ incoming, state, targetKeys }: Newcomer): boolean {
    const { order, lookup } = this.#options;
    const { references } = incoming.model;
    for (let index = 0; index < references.length; index++) {
      const column = references[index]!;
      const identity = incoming.values[positionOf(incoming.model, column)];
      if (typeof identity !== "string") continue;
      const { target } = column.reference!;
      const newcomer = this.#newcomer(target, identity);
      if (newcomer?.incoming === incoming) continue;
      if (newcomer === undefined) {
        targetKeys[index] ??= lookup.find(this.#db, target, identity) ?? undefined;
        if (targetKeys[index] === undefined) return false;
      }
      const life = newcomer === undefined ? this.#lives.of(target, identity) : lifeOf(newcomer.state);
      const reference = columnStamp(state, stampGroup(incoming.model, column.number));
      if (!referenceHolds({ reference, life, order })) return false;
    }
    return true;
  }

  /** Before anything is written, so that newcomers may refer to each other. */
  #assignKeys(model: SyncModel, group: ReadonlyMap<string, Newcomer>): void {
    if (model.localKey!.kind !== "integer" || group.size === 0) return;
    let key = this.#options.writer(model).highestKey();
    for (const newcomer of group.values()) {
      key += 1n;
      newcomer.key = key;
    }
  }
}

function positionOf({ columns }: SyncModel, column: SyncColumn): number {
  return columns.indexOf(column);
}

/** Whether all of a living record came, in a form that can be bound as it is. */
function isComplete({ state, values, extra }: IncomingRecord): boolean {
  return isLiving(state) && extra === null && !values.some(isLongWay);
}

/** A value that did not come, or one that only the long way knows how to bind. */
function isLongWay(value: IncomingRecord["values"][number]): boolean {
  return value === undefined || isRawTextTag(value);
}
