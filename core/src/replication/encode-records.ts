import type { WireValue } from "@tidemark/plugin-api";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { loadExtra } from "../storage/extra.js";
import type { Members } from "../storage/members.js";
import { columnNames, modelName } from "../storage/names.js";
import { loadParked, type ParkedRecord } from "../storage/parked.js";
import type { RecordReader } from "../storage/record-reader.js";
import { anyWaiting, waitingOf } from "../storage/waiting.js";
import { ANY_ORIGIN, isLiving, type RecordState, type Stamp } from "./record-state.js";
import {
  WIRE_ANY_ORIGIN,
  WIRE_WHOLE_ROW,
  type WireGroup,
  type WireOrigin,
  type WireRecord,
  type WireRecords,
} from "./wire-records.js";

/**
 * Turns record states and the values that go with them into wire records. Values come from the live row, or from the
 * parked store where the record is not in its table; the caller guarantees that the outbox is empty in the transaction in
 * which this reads, or a value would travel under the stamp of an older one.
 */
export interface Outgoing {
  /** Stored model number; of a model that may be unknown to this version. */
  readonly model: number;
  readonly record: string;
  /** What the receiver is to be told: the whole state, or the part that is new to it. */
  readonly state: RecordState;
  /** Whether all values go along: for creations and for backfill. Otherwise those of the columns in `state`. */
  readonly full: boolean;
}

export interface EncodeDeps {
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly members: Members;
}

/** `read` holds the values of rows that the caller has read already, if all records are of one model. */
export function encodeRecords(
  db: Sqlite,
  outgoing: readonly Outgoing[],
  deps: EncodeDeps,
  read?: ReadonlyMap<string, readonly WireValue[]>,
): WireRecords {
  const origins = new OriginList(deps.members);
  const byModel = new Map<number, Outgoing[]>();
  for (const item of outgoing) {
    const group = byModel.get(item.model);
    if (group === undefined) byModel.set(item.model, [item]);
    else group.push(item);
  }
  const groups: WireGroup[] = [];
  for (const [number, items] of byModel) groups.push(encodeGroup(db, number, items, origins, deps, read));
  return { origins: origins.list, groups };
}

function encodeGroup(
  db: Sqlite,
  number: number,
  items: readonly Outgoing[],
  origins: OriginList,
  { registry, reader }: EncodeDeps,
  read: ReadonlyMap<string, readonly WireValue[]> | undefined,
): WireGroup {
  const model = registry.byNumber.get(number);
  const records = items.map((item) => item.record);
  const rows: ReadonlyMap<string, readonly WireValue[]> =
    read ?? (model === undefined ? new Map() : reader.readByIdentity(db, model, records));
  const parked = loadParked(db, number, records);
  const extra = loadExtra(db, number, records);
  const kept = model !== undefined && anyWaiting(db) ? keptReferences(db, model, records) : null;

  // Known columns first, in the model's order, then what only newer versions know.
  const names = model?.columns.map((column) => column.name) ?? [];
  const position = new Map<number, number>(model?.columns.map((column, index) => [column.number, index]) ?? []);
  const strange = new Set<number>();
  for (const values of extra.values()) for (const column of values.keys()) strange.add(column);
  if (model === undefined)
    for (const record of parked.values()) for (const column of record.values.keys()) strange.add(column);
  if (strange.size > 0) {
    const known = columnNames(db, number);
    for (const column of strange) {
      if (position.has(column)) continue;
      position.set(column, names.length);
      names.push(known.get(column)!);
    }
  }
  const plain = names.length === (model?.columns.length ?? -1);

  const encoded: WireRecord[] = [];
  for (const { record, state, full } of items) {
    const row = rows.get(record);
    const aside = parked.get(record);
    const values: (WireValue | undefined)[] = row === undefined ? [] : row.slice();
    kept?.get(record)?.forEach((target, column) => {
      values[position.get(column)!] = target;
    });
    overlay(values, position, aside, extra.get(record));
    const settled = state.births.length === 1 && state.births[0]!.hlc === 0 && state.columns.size === 0;
    if (settled && full && plain && row !== undefined) {
      encoded.push([record, values as WireValue[]]);
      continue;
    }
    const births = state.births.flatMap((birth) => [birth.hlc, birth.hlc === 0 ? 0 : origins.indexOf(birth)]);
    const death = state.death.hlc === 0 ? [] : [state.death.hlc, origins.indexOf(state.death)];
    const stamps: number[] = [];
    const wanted = new Set<number>();
    for (const [column, stamp] of state.columns) {
      const at = column === 0 ? WIRE_WHOLE_ROW : position.get(column);
      if (at === undefined) continue;
      stamps.push(at, stamp.hlc, origins.indexOf(stamp));
      if (at === WIRE_WHOLE_ROW) for (const place of position.values()) wanted.add(place);
      else wanted.add(at);
    }
    if (full && isLiving(state)) for (const place of position.values()) wanted.add(place);
    const present = [...wanted].filter((place) => values[place] !== undefined).sort((a, b) => a - b);
    const all = present.length === names.length;
    const sent = all ? (values as WireValue[]) : present.map((place) => values[place]!);
    const stamped = [record, births, death, stamps, all ? 0 : present, sent] as const;
    const aged = state.births.some(({ age }) => age !== undefined);
    encoded.push(aged ? [...stamped, state.births.map(({ age }) => age ?? null)] : stamped);
  }
  return { m: model?.name ?? modelName(db, number)!, c: names, r: encoded };
}

function overlay(
  values: (WireValue | undefined)[],
  position: ReadonlyMap<number, number>,
  aside: ParkedRecord | undefined,
  extra: ReadonlyMap<number, WireValue> | undefined,
): void {
  for (const source of [aside?.values, extra]) {
    if (source === undefined) continue;
    for (const [column, value] of source) {
      const place = position.get(column);
      if (place !== undefined) values[place] = value;
    }
  }
}

function keptReferences(db: Sqlite, model: SyncModel, records: readonly string[]): Map<string, Map<number, string>> {
  const kept = new Map<string, Map<number, string>>();
  for (const { record, column, target } of waitingOf(db, model.number, records)) {
    const columns = kept.get(record) ?? new Map<number, string>();
    columns.set(column, target);
    kept.set(record, columns);
  }
  return kept;
}

class OriginList {
  readonly list: WireOrigin[] = [];
  readonly #members: Members;
  readonly #positions = new Map<number, number>();

  constructor(members: Members) {
    this.#members = members;
  }

  indexOf(stamp: Stamp): number {
    if (stamp.origin === ANY_ORIGIN) return WIRE_ANY_ORIGIN;
    let index = this.#positions.get(stamp.origin);
    if (index === undefined) {
      const { origin, deviceId, name } = this.#members.byNumber(stamp.origin);
      index = this.list.push([origin, deviceId, name]) - 1;
      this.#positions.set(stamp.origin, index);
    }
    return index;
  }
}
