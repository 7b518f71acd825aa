import type { WireValue } from "@tidemark/plugin-api";
import { compareIdentities, isIdentity } from "../registry/identity-form.js";
import { DERIVED_IDENTITY_SEPARATOR, type SyncModel, type SyncRegistry } from "../registry/model.js";
import { targetsOf } from "../storage/row-writer.js";
import { replicationErrors } from "./errors.js";
import type { ForeignRecord, IncomingRecord } from "./incoming.js";
import { ANY_ORIGIN, type Birth, type RecordState, SETTLED, type Stamp, UNSTAMPED } from "./record-state.js";
import type { SettledBlock } from "./settled-block.js";
import { dictionaryOf, isDictionary, valueAt, WireBlock } from "./wire-block.js";
import {
  WIRE_ANY_ORIGIN,
  WIRE_WHOLE_ROW,
  type WireGroup,
  type WireOrigin,
  type WireRecords,
  type WireSettledRecord,
} from "./wire-records.js";
import { decodeWireValue } from "./wire-value.js";

/**
 * Validates records that came from a peer and translates names to local numbers. Nothing that a peer sends is used before
 * it has passed here. Throws `TIDEMARK_WIRE_MALFORMED` (or `TIDEMARK_WIRE_BAD_VALUE`) and then nothing of the page is used.
 */

/** Bounds on what one page may hold; a peer of this version stays far below. */
const MAX_RECORDS = 100_000;
const MAX_ORIGINS = 10_000;
const MAX_COLUMNS = 2_000;
const MAX_NAME = 512;
const MAX_BIRTHS = 1_000;

export interface DecodedRecords {
  readonly records: readonly IncomingRecord[];
  /** Further records, column by column. */
  readonly blocks: readonly SettledBlock[];
  readonly foreign: readonly ForeignRecord[];
}

/** What has to be known before the records can be decoded: it is written first, in a transaction of its own. */
export interface WireNames {
  readonly origins: readonly WireOrigin[];
  readonly models: readonly { readonly name: string; readonly columns: readonly string[] }[];
}

/** Checks the outer shape, and tells the names that occur. */
export function checkWireRecords(input: unknown): WireRecords {
  const page = object(input, "records");
  const origins = array(page.origins, MAX_ORIGINS, "origins");
  for (const origin of origins) {
    const parts = array(origin, 3, "origin");
    if (parts.length !== 3) throw malformed("an origin is not a triple");
    identity(parts[0]);
    identity(parts[1]);
    name(parts[2]);
  }
  let records = 0;
  for (const item of array(page.groups, MAX_COLUMNS, "groups")) {
    const group = object(item, "group");
    name(group.m);
    const columns = array(group.c, MAX_COLUMNS, "columns");
    for (const column of columns) name(column);
    if (new Set(columns).size !== columns.length) throw malformed("a column is named twice");
    records += array(group.r, MAX_RECORDS, "records of a group").length;
    if (group.k === undefined) continue;
    // It has been unpacked by whoever read the message; in other messages it is nothing of the kind.
    if (!(group.k instanceof WireBlock)) throw malformed("a block of records where none can be");
    if (group.k.columns.length !== columns.length)
      throw malformed("a block of records has other columns than its group");
    const { identities } = group.k;
    for (let row = 1; row < identities.length; row++) {
      if (compareIdentities(identities[row - 1]!, identities[row]!) >= 0) {
        throw malformed("the identities of a block are not in order");
      }
    }
    records += identities.length;
  }
  if (records > MAX_RECORDS) throw malformed("it holds too many records");
  return input as WireRecords;
}

export function recordCountOf(page: WireRecords): number {
  return page.groups.reduce((sum, group) => sum + group.r.length + (group.k?.identities.length ?? 0), 0);
}

export function namesIn(page: WireRecords): WireNames {
  return { origins: page.origins, models: page.groups.map((group) => ({ name: group.m, columns: group.c })) };
}

export interface DecodeDeps {
  readonly registry: SyncRegistry;
  readonly members: { byOrigin(origin: string): { readonly num: number } | undefined };
  /** Stored numbers of names that this version does not know; all names of the page have been stored. */
  readonly numbers: {
    model(name: string): number;
    column(model: number, name: string): number;
  };
  /** Stamps above it are refused: further in the future than any clock may be off. */
  readonly maxHlc: number;
}

/** Decodes records whose shape was checked and whose names are known. */
export function decodeRecords(page: WireRecords, deps: DecodeDeps): DecodedRecords {
  const origins = page.origins.map(([origin]) => deps.members.byOrigin(origin)!.num);
  const records: IncomingRecord[] = [];
  const blocks: SettledBlock[] = [];
  const foreign: ForeignRecord[] = [];
  for (const group of page.groups) {
    const model = deps.registry.byName.get(group.m);
    const block = model === undefined || group.k === undefined ? null : decodeBlock(model, group.c, group.k);
    if (block !== null) blocks.push(block);
    const single =
      group.k === undefined || block !== null ? group : { ...group, r: [...group.r, ...recordsOf(group.k)] };
    if (model !== undefined) decodeGroup(model, single, origins, deps, records);
    else decodeForeign(single, origins, deps, foreign);
  }
  return { records, blocks, foreign };
}

/** The records of a block one by one, where the columns here are others than those of the sender. */
function recordsOf({ identities, columns }: WireBlock): WireSettledRecord[] {
  return identities.map((identity, row) => [identity, columns.map((column) => valueAt(column, row))]);
}

/** Checks each value once; null when the block does not have the columns of the model, in their order. */
function decodeBlock(model: SyncModel, names: readonly string[], block: WireBlock): SettledBlock | null {
  const straight =
    names.length === model.columns.length && model.columns.every(({ name }, index) => name === names[index]);
  if (!straight || model.identity.kind !== "column") return null;
  const { identities } = block;
  for (const it of identities) identity(it);
  const columns = model.columns.map((column, index) => {
    const values = block.columns[index]!;
    if (column.reference === null) {
      for (const value of isDictionary(values) ? values.values : values) decodeWireValue(value, column.affinity);
      return values;
    }
    const targets = isDictionary(values) ? values : dictionaryOf(values, 1);
    if (targets === null) throw malformed("an identity is not one");
    for (const target of targets.values) identity(target);
    return targets;
  });
  return { model, identities, columns };
}

function decodeGroup(
  model: SyncModel,
  group: WireGroup,
  origins: readonly number[],
  deps: DecodeDeps,
  out: IncomingRecord[],
): void {
  // Where each sent column goes: a position in the model's columns, or the number of a column unknown here.
  const places = group.c.map((column) => {
    const known = model.columnByName.get(column);
    return known === undefined
      ? { position: -1, number: deps.numbers.column(model.number, column) }
      : { position: model.columns.indexOf(known), number: known.number };
  });
  const straight = places.length === model.columns.length && places.every(({ position }, index) => position === index);
  for (const wire of group.r) {
    const { record, state, present, values } = readRecord(wire, origins, places, deps.maxHlc);
    const fits =
      model.identity.kind === "derived" ? targetsOf(model.identity.columns, record) !== null : isIdentity(record);
    if (!fits) throw malformed("an identity does not fit its model");
    if (model.ownership.kind === "device" ? hasColumnStamps(state) : state.columns.has(0)) {
      throw malformed(`${model.name} is owned in another way here`);
    }
    let extra: Map<number, WireValue> | null = null;
    let positional: (WireValue | undefined)[];
    if (straight && present === 0) positional = values as WireValue[];
    else {
      positional = new Array(model.columns.length).fill(undefined);
      for (let index = 0; index < values.length; index++) {
        const place = places[present === 0 ? index : present[index]!]!;
        if (place.position >= 0) positional[place.position] = values[index] as WireValue;
        else {
          extra ??= new Map();
          extra.set(place.number, checkedForeign(values[index]));
        }
      }
    }
    for (let index = 0; index < model.columns.length; index++) {
      const value = positional[index];
      if (value === undefined || value === null) continue;
      const column = model.columns[index]!;
      if (column.reference !== null) identity(value);
      // Plain text is by far the most frequent, and the writer decodes it again when it binds it.
      else decodeWireValue(value, column.affinity);
    }
    if (model.identity.kind === "derived" && state.births.length > 0) checkDerived(model, record, positional);
    out.push({ model, record, state, values: positional, extra });
  }
}

function decodeForeign(group: WireGroup, origins: readonly number[], deps: DecodeDeps, out: ForeignRecord[]): void {
  const number = deps.numbers.model(group.m);
  const places = group.c.map((column) => ({ position: -1, number: deps.numbers.column(number, column) }));
  for (const wire of group.r) {
    const { record, state, present, values } = readRecord(wire, origins, places, deps.maxHlc);
    const named = new Map<number, WireValue>();
    values.forEach((value, index) => {
      named.set(places[present === 0 ? index : present[index]!]!.number, checkedForeign(value));
    });
    out.push({ model: number, record, state, values: named });
  }
}

function readRecord(
  wire: unknown,
  origins: readonly number[],
  places: readonly { readonly number: number }[],
  maxHlc: number,
): {
  readonly record: string;
  readonly state: RecordState;
  readonly present: 0 | readonly number[];
  readonly values: readonly unknown[];
} {
  const parts = array(wire, 7, "record");
  const record = recordIdentity(parts[0]);
  if (parts.length === 2) {
    const values = array(parts[1], MAX_COLUMNS, "values");
    if (values.length !== places.length) throw malformed("a record has another number of values than columns");
    return { record, state: SETTLED, present: 0, values };
  }
  if (parts.length !== 6 && parts.length !== 7) throw malformed("a record has an unknown form");
  const births = withAges(pairs(parts[1], MAX_BIRTHS, origins, maxHlc, false), parts[6]);
  const deaths = pairs(parts[2], 1, origins, maxHlc, true);
  const columns = new Map<number, Stamp>();
  const stamps = array(parts[3], MAX_COLUMNS * 3, "stamps");
  if (stamps.length % 3 !== 0) throw malformed("stamps are not triples");
  for (let index = 0; index < stamps.length; index += 3) {
    const at = stamps[index];
    const number = at === WIRE_WHOLE_ROW ? 0 : places[integer(at, 0, places.length - 1)]!.number;
    columns.set(number, stamp(stamps[index + 1], stamps[index + 2], origins, maxHlc, false));
  }
  for (let index = 1; index < births.length; index++) {
    if (births[index]!.hlc < births[index - 1]!.hlc) throw malformed("births are not in order");
  }
  const present =
    parts[4] === 0
      ? 0
      : array(parts[4], places.length, "present columns").map((at) => integer(at, 0, places.length - 1));
  const values = array(parts[5], MAX_COLUMNS, "values");
  if (values.length !== (present === 0 ? places.length : present.length)) {
    throw malformed("a record has another number of values than columns");
  }
  return { record, state: { births, death: deaths[0] ?? UNSTAMPED, columns }, present, values };
}

function withAges(births: readonly Stamp[], input: unknown): readonly Birth[] {
  if (input === undefined) return births;
  const ages = array(input, MAX_BIRTHS, "ages");
  if (ages.length !== births.length) throw malformed("not every birth has an age");
  return births.map((birth, index) =>
    ages[index] === null ? birth : { ...birth, age: integer(ages[index], 0, birth.hlc) },
  );
}

function pairs(
  input: unknown,
  most: number,
  origins: readonly number[],
  maxHlc: number,
  anyOrigin: boolean,
): readonly Stamp[] {
  const flat = array(input, most * 2, "stamps");
  if (flat.length % 2 !== 0) throw malformed("stamps are not pairs");
  const result: Stamp[] = [];
  for (let index = 0; index < flat.length; index += 2) {
    result.push(
      flat[index] === 0 && !anyOrigin ? UNSTAMPED : stamp(flat[index], flat[index + 1], origins, maxHlc, anyOrigin),
    );
  }
  return result;
}

function stamp(hlc: unknown, origin: unknown, origins: readonly number[], maxHlc: number, anyOrigin: boolean): Stamp {
  const time = integer(hlc, 1, Number.MAX_SAFE_INTEGER);
  if (time > maxHlc) throw replicationErrors.fromTheFuture({ hlc: time, limit: maxHlc });
  if (anyOrigin && origin === WIRE_ANY_ORIGIN) return { hlc: time, origin: ANY_ORIGIN };
  return { hlc: time, origin: origins[integer(origin, 0, origins.length - 1)]! };
}

function hasColumnStamps(state: RecordState): boolean {
  for (const column of state.columns.keys()) if (column !== 0) return true;
  return false;
}

/** The references of a junction say what its identity says. */
function checkDerived(model: SyncModel, record: string, values: readonly (WireValue | undefined)[]): void {
  if (model.identity.kind !== "derived") return;
  const targets = targetsOf(model.identity.columns, record)!;
  model.identity.columns.forEach((column, index) => {
    if (values[model.columns.indexOf(column)] !== targets[index]) {
      throw malformed(`a record of ${model.name} refers to others than its identity says`);
    }
  });
}

/** A value whose column is unknown here: checked as strictly as can be without its affinity. */
function checkedForeign(value: unknown): WireValue {
  decodeWireValue(value, "none");
  return value as WireValue;
}

function object(input: unknown, what: string): Record<string, unknown> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) throw malformed(`${what}: not an object`);
  return input as Record<string, unknown>;
}

function array(input: unknown, most: number, what: string): readonly unknown[] {
  if (!Array.isArray(input)) throw malformed(`${what}: not a list`);
  if (input.length > most) throw malformed(`${what}: more than ${most}`);
  return input;
}

function integer(input: unknown, least: number, most: number): number {
  if (!Number.isSafeInteger(input) || (input as number) < least || (input as number) > most) {
    throw malformed("a number is out of its range");
  }
  return input as number;
}

function name(input: unknown): string {
  if (typeof input !== "string" || input.length === 0 || input.length > MAX_NAME)
    throw malformed("a name is missing or too long");
  return input;
}

function identity(input: unknown): string {
  if (typeof input !== "string" || !isIdentity(input)) throw malformed("an identity is not one");
  return input;
}

/** The identity of a record: one, or those of its targets. Whether that fits the model is looked at later. */
function recordIdentity(input: unknown): string {
  if (typeof input !== "string") throw malformed("an identity is not one");
  if (!input.includes(DERIVED_IDENTITY_SEPARATOR)) return identity(input);
  for (const part of input.split(DERIVED_IDENTITY_SEPARATOR)) identity(part);
  return input;
}

function malformed(reason: string): Error {
  return replicationErrors.malformed({ reason });
}
