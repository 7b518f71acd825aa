import {
  WIRE_ANY_ORIGIN,
  WIRE_WHOLE_ROW,
  type WireGroup,
  type WireOrigin,
  type WireRecord,
  type WireRecords,
  type WireStampedRecord,
} from "./wire-records.js";

/**
 * Records that are stamped further in the future than clocks may be off. They are kept as they came until their time is
 * within the limit; a stamp that was merged before would drag the own clock, and with it everything written here.
 */
export interface Split {
  /** The page without them; the very same page when there are none. */
  readonly present: WireRecords;
  readonly future: readonly FutureRecord[];
}

export interface FutureRecord {
  readonly due: number;
  readonly page: WireRecords;
  /** What of it is not from the future: a record that was made before, without what is. */
  readonly present: Present | null;
}

export interface Present {
  readonly page: WireRecords;
  /** Names of the columns that are from the future. */
  readonly late: readonly string[];
}

/** Takes out the records with a stamp above `limit`. The page has been validated. */
export function splitFuture(page: WireRecords, limit: number): Split {
  const future: FutureRecord[] = [];
  const groups: WireGroup[] = [];
  for (const group of page.groups) {
    const late = group.r.filter((record) => newestIn(record) > limit);
    if (late.length === 0) {
      groups.push(group);
      continue;
    }
    groups.push({ ...group, r: group.r.filter((record) => !late.includes(record)) });
    for (const record of late) {
      future.push({
        due: newestIn(record),
        page: pageOf(page.origins, group, record),
        present: presentPart(page.origins, group, record, limit),
      });
    }
  }
  return future.length === 0 ? { present: page, future } : { present: { origins: page.origins, groups }, future };
}

/** The record without the columns that have a stamp above `limit`; null where nothing is left. */
function presentPart(
  origins: readonly WireOrigin[],
  group: WireGroup,
  record: WireRecord,
  limit: number,
): Present | null {
  if (record.length === 2) return { page: pageOf(origins, group, record), late: [] };
  const [identity, births, death, stamps, present, values, ages] = record;
  const isLate = (hlc: number, index: number) => index % 2 === 0 && hlc > limit;
  if (births.length === 0 || births.some(isLate) || death.some(isLate)) return null;
  const late = new Set<number>();
  const kept: number[] = [];
  for (let index = 0; index < stamps.length; index += 3) {
    const stamp = stamps.slice(index, index + 3);
    if (stamp[1]! > limit) late.add(stamp[0]!);
    else kept.push(...stamp);
  }
  if (late.has(WIRE_WHOLE_ROW)) return null;
  const all = present === 0 ? group.c.map((_, at) => at) : present;
  const left = all.flatMap((column, at) => (late.has(column) ? [] : [{ column, value: values[at]! }]));
  if (left.length === 0) return null;
  const columns = left.map(({ column }) => column);
  const rest = left.map(({ value }) => value);
  const part: WireStampedRecord =
    ages === undefined
      ? [identity, births, death, kept, columns, rest]
      : [identity, births, death, kept, columns, rest, ages];
  return { page: pageOf(origins, group, part), late: [...late].map((column) => group.c[column]!) };
}

/** One record of a page as a page of its own, and the highest stamp in it; the record is in the page. */
export function recordOf(page: WireRecords, model: string, identity: string): { due: number; page: WireRecords } {
  for (const group of page.groups) {
    const record = group.m === model ? group.r.find(([it]) => it === identity) : undefined;
    if (record !== undefined) return { due: newestIn(record), page: pageOf(page.origins, group, record) };
  }
  throw new Error(`the page has no ${model} ${identity}`);
}

/** Whether anything in a page is news to somebody who has everything of an origin up to `entryOf` it. */
export function isNews(page: WireRecords, entryOf: (origin: string) => number): boolean {
  return page.groups.some(({ r }) =>
    r.some((record) =>
      stampsIn(record).some(({ hlc, at }) => at !== WIRE_ANY_ORIGIN && hlc > entryOf(page.origins[at]![0])),
    ),
  );
}

/** A page of one record, with the origins that it names and no others: it is kept, and sent on as it is. */
function pageOf(origins: readonly WireOrigin[], group: WireGroup, record: WireRecord): WireRecords {
  const used = [...new Set(stampsIn(record).map(({ at }) => at))].filter((at) => at !== WIRE_ANY_ORIGIN);
  return {
    origins: used.map((at) => origins[at]!),
    groups: [{ m: group.m, c: group.c, r: [withOrigins(record, (at) => used.indexOf(at))] }],
  };
}

/** Asked of every record that comes, so it makes no list of its stamps. */
function newestIn(record: WireRecord): number {
  if (record.length === 2) return 0;
  const [, births, death, stamps] = record;
  let newest = 0;
  for (let index = 0; index < births.length; index += 2) newest = Math.max(newest, births[index]!);
  for (let index = 0; index < death.length; index += 2) newest = Math.max(newest, death[index]!);
  for (let index = 1; index < stamps.length; index += 3) newest = Math.max(newest, stamps[index]!);
  return newest;
}

/** The stamps of a record; `at` is the place of the origin in the page's list. */
function stampsIn(record: WireRecord): { readonly hlc: number; readonly at: number }[] {
  if (record.length === 2) return [];
  const [, births, death, stamps] = record;
  const found: { hlc: number; at: number }[] = [];
  for (let index = 0; index < births.length; index += 2) {
    if (births[index] !== 0) found.push({ hlc: births[index]!, at: births[index + 1]! });
  }
  for (let index = 0; index < death.length; index += 2) found.push({ hlc: death[index]!, at: death[index + 1]! });
  for (let index = 1; index < stamps.length; index += 3) found.push({ hlc: stamps[index]!, at: stamps[index + 1]! });
  return found;
}

/** The record with other places of origins; an unstamped birth and a floor name none. */
function withOrigins(record: WireRecord, placeOf: (at: number) => number): WireRecord {
  if (record.length === 2) return record;
  const [identity, births, death, stamps, ...rest] = record;
  const place = (at: number) => (at === WIRE_ANY_ORIGIN ? at : placeOf(at));
  return [
    identity,
    births.map((value, index) => (index % 2 === 1 && births[index - 1] !== 0 ? place(value) : value)),
    death.map((value, index) => (index % 2 === 1 ? place(value) : value)),
    stamps.map((value, index) => (index % 3 === 2 ? place(value) : value)),
    ...rest,
  ] satisfies WireStampedRecord;
}

/** Appends a page to another one; its origins take new places. */
export function appendPage(page: WireRecords, addition: WireRecords): WireRecords {
  const shift = page.origins.length;
  return {
    origins: [...page.origins, ...addition.origins],
    groups: [
      ...page.groups,
      ...addition.groups.map((group) => ({ ...group, r: group.r.map((it) => withOrigins(it, (at) => at + shift)) })),
    ],
  };
}
