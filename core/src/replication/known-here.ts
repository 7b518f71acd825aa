import { compareIdentities } from "../registry/identity-form.js";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { quoteName } from "../storage/identifiers.js";
import { loadParked } from "../storage/parked.js";
import type { RecordReader } from "../storage/record-reader.js";
import { loadLogged } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";

/**
 * Those of the identities of which something is here: a row, stamps, something kept aside, or somebody who waits for them.
 * Of a model whose identity is a column. Looks at the whole stretch of the identities first, which nearly always says no
 * for all of them.
 */
export function knownHere({
  db,
  model,
  identities,
  reader,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  /** At least one, in any order. */
  readonly identities: readonly string[];
  readonly reader: RecordReader;
}): ReadonlySet<string> {
  let first = identities[0]!;
  let last = first;
  for (const identity of identities) {
    if (compareIdentities(identity, first) < 0) first = identity;
    if (compareIdentities(identity, last) > 0) last = identity;
  }
  const stretch = { model: model.number, first, last };
  const column = quoteName((model.identity as { readonly column: string }).column);
  const anything = prepared(
    db,
    `SELECT EXISTS (SELECT 1 FROM ${quoteName(model.table)} WHERE ${column} BETWEEN :first AND :last)
         OR EXISTS (SELECT 1 FROM tidemark_stamp WHERE model = :model AND record BETWEEN :first AND :last)
         OR EXISTS (SELECT 1 FROM tidemark_parked WHERE model = :model AND record BETWEEN :first AND :last)
         OR EXISTS (SELECT 1 FROM tidemark_waiting WHERE target_model = :model AND target BETWEEN :first AND :last)`,
  );
  if (anything.pluck().get(stretch) === 0) return NOTHING;
  const waiting = prepared(
    db,
    "SELECT target FROM tidemark_waiting WHERE target_model = :model AND target BETWEEN :first AND :last",
  );
  return new Set([
    ...reader.localKeys(db, model, identities).keys(),
    ...loadLogged(db, model.number, identities).keys(),
    ...loadParked(db, model.number, identities).keys(),
    ...(waiting.pluck().all(stretch) as string[]),
  ]);
}

const NOTHING: ReadonlySet<string> = new Set();
