import type { WireValue } from "@tidemark/plugin-api";
import type { SyncModel } from "../registry/model.js";
import type { RecordState } from "./record-state.js";

/**
 * One record as it came from a peer: decoded, validated and bounded, names translated to local numbers, nothing merged.
 */
export interface IncomingRecord {
  readonly model: SyncModel;
  readonly record: string;
  /** Births, death and stamps that came. Partial for an edit: no births, and only the columns that came. */
  readonly state: RecordState;
  /** In the order of `model.columns`; `undefined` where no value came. References are the targets' identities. */
  readonly values: readonly (WireValue | undefined)[];
  /** Values of columns that this version does not have, by column number. */
  readonly extra: ReadonlyMap<number, WireValue> | null;
  /** Names of columns whose values are kept for later, so that nothing is said of them now. */
  readonly late?: readonly string[];
}

/** A record of a model that this version does not have; kept, relayed and served, never in a table. */
export interface ForeignRecord {
  /** The stored number of the unknown model. */
  readonly model: number;
  readonly record: string;
  readonly state: RecordState;
  readonly values: ReadonlyMap<number, WireValue>;
}
