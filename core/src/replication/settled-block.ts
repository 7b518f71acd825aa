import type { SyncModel } from "../registry/model.js";
import type { IncomingRecord } from "./incoming.js";
import { SETTLED } from "./record-state.js";
import { valueAt, type WireColumn } from "./wire-block.js";

/**
 * Records of one model of which everything came and nothing is stamped, decoded and validated, column by column. Most of a
 * backfill is this; taken so it costs a fraction of what the same records cost one by one.
 */
export interface SettledBlock {
  /** Its identity is a column of its own. */
  readonly model: SyncModel;
  /** Ascending. */
  readonly identities: readonly string[];
  /** In the order of `model.columns`; those of references are dictionaries of their targets' identities. */
  readonly columns: readonly WireColumn[];
}

/** One record of a block, for all who look at records one by one. */
export function recordOf({ model, identities, columns }: SettledBlock, row: number): IncomingRecord {
  return {
    model,
    record: identities[row]!,
    state: SETTLED,
    values: columns.map((column) => valueAt(column, row)),
    extra: null,
  };
}

export function recordsOf(block: SettledBlock, from = 0, to = block.identities.length): IncomingRecord[] {
  return Array.from({ length: to - from }, (_, index) => recordOf(block, from + index));
}
