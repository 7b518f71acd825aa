import type { WireValue } from "@tidemark/plugin-api";
import type { WireBlock } from "./wire-block.js";

/**
 * Records as they travel: positional arrays in JSON, names and origin ids once per page. Nothing here knows of local
 * numbers; `change-page.ts` and `backfill-page.ts` write these, `decode-page.ts` validates and reads them.
 */

/** `[origin id, device id, device name]`; stamps name an origin by its position in the page's list. */
export type WireOrigin = readonly [origin: string, deviceId: string, name: string];

/** Stands for {@link ANY_ORIGIN} in a death. */
export const WIRE_ANY_ORIGIN = -1;
/** Stands for the whole row in a column stamp. */
export const WIRE_WHOLE_ROW = -1;

/** `[identity, values]`: living, nothing of it younger than the server's floor, all values in the order of `columns`. */
export type WireSettledRecord = readonly [record: string, values: readonly WireValue[]];

/**
 * `[identity, births, death, stamps, present, values]`
 * - births: `hlc, origin, hlc, origin, …`; an unstamped birth is `0, 0`
 * - death: empty, or `hlc, origin`
 * - stamps: `column, hlc, origin, …`
 * - present: positions of the columns whose values follow, or 0 for all
 * - ages: only if a birth has one: per birth its age, or null
 */
export type WireStampedRecord = readonly [
  record: string,
  births: readonly number[],
  death: readonly number[],
  stamps: readonly number[],
  present: 0 | readonly number[],
  values: readonly WireValue[],
  ages?: readonly (number | null)[],
];

export type WireRecord = WireSettledRecord | WireStampedRecord;

export interface WireGroup {
  /** Model. */
  readonly m: string;
  /** Columns. */
  readonly c: readonly string[];
  /** Records. */
  readonly r: readonly WireRecord[];
  /** Settled records, column by column: most of a page of a backfill. In no other message. */
  readonly k?: WireBlock;
}

/** What pages of changes and pages of a backfill have in common. */
export interface WireRecords {
  readonly origins: readonly WireOrigin[];
  readonly groups: readonly WireGroup[];
}
