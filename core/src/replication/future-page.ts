import {
  WIRE_ANY_ORIGIN,
  type WireGroup,
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
  readonly future: readonly { readonly due: number; readonly page: WireRecords }[];
}

/** Takes out the records with a stamp above `limit`. The page has been validated. */
export function splitFuture(page: WireRecords, limit: number): Split {
  const future: { due: number; page: WireRecords }[] = [];
  const groups: WireGroup[] = [];
  for (const group of page.groups) {
    const late = group.r.filter((record) => newestIn(record) > limit);
    if (late.length === 0) {
      groups.push(group);
      continue;
    }
    groups.push({ ...group, r: group.r.filter((record) => !late.includes(record)) });
    for (const record of late) {
      future.push({ due: newestIn(record), page: { origins: page.origins, groups: [{ ...group, r: [record] }] } });
    }
  }
  return future.length === 0 ? { present: page, future } : { present: { origins: page.origins, groups }, future };
}

function newestIn(record: WireRecord): number {
  if (record.length === 2) return 0;
  const [, births, death, stamps] = record;
  let newest = 0;
  for (let index = 0; index < births.length; index += 2) newest = Math.max(newest, births[index]!);
  for (let index = 0; index < death.length; index += 2) newest = Math.max(newest, death[index]!);
  for (let index = 1; index < stamps.length; index += 3) newest = Math.max(newest, stamps[index]!);
  return newest;
}

/** Appends a page to another one; its origins take new places. */
export function appendPage(page: WireRecords, addition: WireRecords): WireRecords {
  const shift = page.origins.length;
  const origin = (at: number) => (at === WIRE_ANY_ORIGIN ? at : at + shift);
  const shifted = (record: WireRecord): WireRecord => {
    if (record.length === 2) return record;
    const [identity, births, death, stamps, ...rest] = record;
    return [
      identity,
      births.map((value, index) => (index % 2 === 1 && births[index - 1] !== 0 ? origin(value) : value)),
      death.map((value, index) => (index % 2 === 1 ? origin(value) : value)),
      stamps.map((value, index) => (index % 3 === 2 ? origin(value) : value)),
      ...rest,
    ] satisfies WireStampedRecord;
  };
  return {
    origins: [...page.origins, ...addition.origins],
    groups: [...page.groups, ...addition.groups.map((group) => ({ ...group, r: group.r.map(shifted) }))],
  };
}
