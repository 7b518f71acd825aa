import type { WireValue } from "@tidemark/plugin-api";
import type { SyncColumn } from "../registry/model.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { RecordReader } from "../storage/record-reader.js";
import type { LocalKey, RowWriter } from "../storage/row-writer.js";
import { knownHere } from "./known-here.js";
import { LifeReader } from "./life-reader.js";
import { orRefused } from "./newcomers-refused.js";
import type { SettledBlock } from "./settled-block.js";
import type { TargetLookup } from "./target-lookup.js";
import { targetsFirst } from "./targets-first.js";
import { isDictionary, valueAt, type WireDictionary } from "./wire-block.js";
import { bindWireValue, isRawTextTag } from "./wire-value.js";

/**
 * The short way for a stretch of a block, as `newcomers.ts` is for single records: what nothing is known of, and whose
 * references hold, is inserted as it came. A target is looked up once, however many records refer to it, and no record
 * becomes an object of its own.
 */
export interface InsertBlockOptions {
  readonly tx: LogTransaction;
  readonly block: SettledBlock;
  readonly from: number;
  readonly to: number;
  readonly lookup: TargetLookup;
  readonly reader: RecordReader;
  readonly writer: RowWriter;
}

/** The targets of one reference column, by their place in its dictionary. */
interface Targets {
  readonly column: SyncColumn;
  readonly at: readonly number[];
  /** What to bind; undefined: it is not here, or in a life that these references do not mean. */
  readonly keys: readonly (LocalKey | undefined)[];
  /** The record of the stretch that is the target; only where records of a model refer to their own kind. */
  readonly rows: readonly (number | undefined)[];
}

/** Inserts what can be inserted as it came; returns the rows that can't. Throws {@link NewcomersRefused}. */
export function insertBlock({ tx, block, from, to, lookup, reader, writer }: InsertBlockOptions): readonly number[] {
  const { model, columns } = block;
  const { db } = tx;
  const identities = block.identities.slice(from, to);
  const known = knownHere({ db, model, identities, ascending: true, reader });
  const targets = targetsOf({ tx, block, from, to, lookup });
  const short = rowsOfShortWay({ block, from, to, known, targets });
  const fit: number[] = [];
  const rest: number[] = [];
  for (let row = from; row < to; row++) (short[row - from] === 1 ? fit : rest).push(row);
  if (fit.length === 0) return rest;

  const ownTargets = targets.filter(({ column }) => column.reference!.target === model);
  const rows = ownTargets.length === 0 ? fit : targetsFirst(fit, (row) => targetsWithin(ownTargets, row));
  const inserted = rows.map((row) => block.identities[row]!);
  const integerKeys = model.localKey!.kind === "integer";
  const keys: readonly LocalKey[] = integerKeys ? keysAfter(writer.highestKey(), rows.length) : inserted;
  // Before anything is written, so that records may refer to each other.
  const own = new Map<number, LocalKey>();
  if (ownTargets.length > 0) {
    for (let place = 0; place < rows.length; place++) own.set(rows[place]!, keys[place]!);
  }
  const bound = model.columns.map((column, index) =>
    column.reference === null
      ? boundValues(column, columns[index]!, rows)
      : boundTargets(
          targets.find((it) => it.column === column)!,
          column.reference.byIdentity ? (row) => block.identities[row]! : (row) => own.get(row)!,
          rows,
        ),
  );
  orRefused(() => writer.insertColumns([...(integerKeys ? [keys] : []), inserted, ...bound]));
  for (const [row, key] of own) lookup.changed(model, block.identities[row]!, key);
  return rest;
}

/** What the references of a stretch go to: one question for each target. */
function targetsOf({
  tx,
  block,
  from,
  to,
  lookup,
}: Pick<InsertBlockOptions, "tx" | "block" | "from" | "to" | "lookup">): readonly Targets[] {
  const { db } = tx;
  const { model } = block;
  const lives = new LifeReader(db);
  const referring = model.columns.flatMap((column, index) =>
    column.reference === null ? [] : [{ column, dictionary: block.columns[index] as WireDictionary }],
  );
  const own = referring.some(({ column }) => column.reference!.target === model)
    ? new Map(block.identities.slice(from, to).map((identity, index) => [identity, from + index]))
    : null;
  const used = referring.map(({ column, dictionary }) => {
    const wanted = new Uint8Array(dictionary.values.length);
    for (let row = from; row < to; row++) {
      const at = dictionary.at[row]!;
      if (at > 0) wanted[at - 1] = 1;
    }
    if (lives.allUnstamped(column.reference!.target)) return wanted;
    for (let place = 0; place < wanted.length; place++) {
      const identity = dictionary.values[place] as string;
      if (wanted[place] === 1 && !(column.reference!.target === model && own!.has(identity))) {
        lives.want(column.reference!.target, identity);
      }
    }
    return wanted;
  });
  return referring.map(({ column, dictionary }, index) => {
    const { target, byIdentity } = column.reference!;
    const keys: (LocalKey | undefined)[] = [];
    const rows: (number | undefined)[] = [];
    dictionary.values.forEach((value, place) => {
      if (used[index]![place] === 0) return;
      const identity = value as string;
      const row = target === model ? own!.get(identity) : undefined;
      if (row !== undefined) {
        rows[place] = row;
        return;
      }
      const key = lookup.find(db, target, identity);
      // What is settled refers to nothing but lives that are settled too.
      if (key === null || lives.of(target, identity).hlc !== 0) return;
      keys[place] = bindable(byIdentity ? identity : key, column);
    });
    return { column, at: dictionary.at, keys, rows };
  });
}

/** The rows of the stretch that a row refers to. */
function targetsWithin(targets: readonly Targets[], row: number): readonly number[] {
  return targets.flatMap(({ at, rows }) => rows[at[row]! - 1] ?? []);
}

/** 1 for each row of the stretch that can be inserted as it came: whoever refers to one that can't, can't either. */
function rowsOfShortWay({
  block,
  from,
  to,
  known,
  targets,
}: {
  readonly block: SettledBlock;
  readonly from: number;
  readonly to: number;
  readonly known: ReadonlySet<string>;
  readonly targets: readonly Targets[];
}): Uint8Array {
  const short = new Uint8Array(to - from).fill(1);
  if (known.size > 0) {
    for (let row = from; row < to; row++) if (known.has(block.identities[row]!)) short[row - from] = 0;
  }
  for (const column of block.columns) {
    if (isDictionary(column) && !column.values.some(isRawTextTag)) continue;
    for (let row = from; row < to; row++) if (isRawTextTag(valueAt(column, row))) short[row - from] = 0;
  }
  for (let again = true; again; ) {
    again = false;
    for (const { at, keys, rows } of targets) {
      for (let row = from; row < to; row++) {
        const place = at[row]! - 1;
        if (place < 0 || short[row - from] === 0 || keys[place] !== undefined) continue;
        const target = rows[place];
        if (target !== undefined && short[target - from] === 1) continue;
        short[row - from] = 0;
        again = true;
      }
    }
  }
  return short;
}

function boundValues(
  { affinity }: SyncColumn,
  values: SettledBlock["columns"][number],
  rows: readonly number[],
): readonly unknown[] {
  if (!isDictionary(values)) return rows.map((row) => bindWireValue(values[row]!, affinity));
  const { at } = values;
  const distinct = values.values.map((value: WireValue) => bindWireValue(value, affinity));
  return rows.map((row) => (at[row] === 0 ? null : distinct[at[row]! - 1]));
}

function boundTargets(
  targets: Targets,
  /** What refers to a record of this stretch. */
  own: (row: number) => LocalKey,
  rows: readonly number[],
): readonly unknown[] {
  const { column, at, keys } = targets;
  return rows.map((row) => {
    const place = at[row]! - 1;
    return place < 0 ? null : (keys[place] ?? bindable(own(targets.rows[place]!), column));
  });
}

/** SQLite turns a number into an integer where the column's affinity says so; elsewhere it has to be one already. */
function bindable(key: LocalKey, { affinity }: SyncColumn): LocalKey {
  return typeof key === "number" && affinity !== "integer" && affinity !== "numeric" ? BigInt(key) : key;
}

function keysAfter(highest: bigint, count: number): readonly LocalKey[] {
  const first = Number(highest) + 1;
  // Far from the end of what a number keeps exactly.
  if (first < 2 ** 52) return Array.from({ length: count }, (_, place) => first + place);
  return Array.from({ length: count }, (_, place) => highest + BigInt(place + 1));
}
