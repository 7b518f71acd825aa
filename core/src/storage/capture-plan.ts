import type { Affinity, SyncModel, SyncRegistry } from "../registry/model.js";
import { foldName } from "./identifiers.js";

/**
 * What capture needs to know of a model: plain data, stored as JSON in `tidemark_capture.plan`, so that the triggers of
 * a table can be put back without the application's code. It may not hold anything that JSON does not.
 */
export interface CapturePlan {
  /** The model's number. */
  readonly model: number;
  readonly table: string;
  readonly identity: CaptureIdentity;
  /** The local integer key, or null. Logged with deaths, because references held it. */
  readonly key: string | null;
  /**
   * The next reference on the way to the record's owner, or through it to another's, or null. Logged with everything:
   * its new value for a birth, else the old one.
   */
  readonly hop: string | null;
  readonly columns: readonly CapturedColumn[];
  /** Sets of columns on which `INSERT OR REPLACE` can remove a row of another identity. */
  readonly uniqueKeys: readonly (readonly string[])[];
}

export type CaptureIdentity =
  | { readonly kind: "column"; readonly column: string }
  /** The outbox gets the local key values as a JSON array in this order; the fold translates them. */
  | {
      readonly kind: "derived";
      readonly columns: readonly { readonly column: string; readonly kind: "integer" | "text" }[];
    };

export interface CapturedColumn {
  readonly number: number;
  readonly column: string;
  readonly affinity: Affinity;
}

/** The columns that make up the identity in the table. */
export function identityColumns(identity: CaptureIdentity): readonly string[] {
  return identity.kind === "column" ? [identity.column] : identity.columns.map(({ column }) => column);
}

/** What capture has to do for a registered model. */
export function planCapture(model: SyncModel, registry: SyncRegistry): CapturePlan {
  const identity: CaptureIdentity =
    model.identity.kind === "column"
      ? { kind: "column", column: model.identity.column }
      : {
          kind: "derived",
          columns: model.identity.columns.map(({ column, affinity, reference }) => ({
            column,
            kind: reference?.byIdentity || affinity === "text" ? "text" : "integer",
          })),
        };
  const own = identityColumns(identity);
  return {
    model: model.number,
    table: model.table,
    identity,
    key: model.localKey?.kind === "integer" ? model.localKey.column : null,
    hop: hopOf(model, registry),
    columns: model.columns.map(({ number, column, affinity }) => ({ number, column, affinity })),
    // Rows that agree on a key that contains the identity are the same record, and replacing it is no death.
    uniqueKeys: model.uniqueKeys.filter((key) => !own.every((column) => key.includes(column))),
  };
}

/** The first column in which an owner path, of this model or of one that owns itself through it, leaves this model. */
function hopOf(model: SyncModel, registry: SyncRegistry): string | null {
  for (const start of registry.models) {
    if (start.ownership.kind !== "device") continue;
    let reached: SyncModel | undefined = start;
    for (const step of start.ownership.path) {
      if (reached === model) return step.column;
      reached = step.reference?.target;
    }
  }
  return null;
}

/** The plan as far as a table with `columns` can carry it, or null if it lacks the identity. */
export function adaptPlan(plan: CapturePlan, columns: readonly string[]): CapturePlan | null {
  const names = new Set(columns.map(foldName));
  const has = (column: string) => names.has(foldName(column));
  if (!identityColumns(plan.identity).every(has)) return null;
  return {
    ...plan,
    key: plan.key !== null && has(plan.key) ? plan.key : null,
    hop: plan.hop !== null && has(plan.hop) ? plan.hop : null,
    columns: plan.columns.filter(({ column }) => has(column)),
    uniqueKeys: plan.uniqueKeys.filter((key) => key.every(has)),
  };
}
