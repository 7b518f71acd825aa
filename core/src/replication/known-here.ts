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
  ascending = false,
  reader,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  /** At least one. */
  readonly identities: readonly string[];
  /** Whether they are in order; default false: in any. */
  readonly ascending?: boolean;
  readonly reader: RecordReader;
}): ReadonlySet<string> {
  const [first, last] = ascending ? [identities[0]!, identities.at(-1)!] : endsOf(identities);
  const stretch = { model: model.number, first, last };
  if (prepared(db, anythingWithin(model)).pluck().get(stretch) === 0) return NOTHING;
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

function endsOf(identities: readonly string[]): readonly [first: string, last: string] {
  let first = identities[0]!;
  let last = first;
  for (const identity of identities) {
    if (compareIdentities(identity, first) < 0) first = identity;
    if (compareIdentities(identity, last) > 0) last = identity;
  }
  return [first, last];
}

const questions = new WeakMap<SyncModel, string>();

function anythingWithin(model: SyncModel): string {
  let sql = questions.get(model);
  if (sql === undefined) {
    const column = quoteName((model.identity as { readonly column: string }).column);
    sql = `SELECT EXISTS (SELECT 1 FROM ${quoteName(model.table)} WHERE ${column} BETWEEN :first AND :last)
         OR EXISTS (SELECT 1 FROM tidemark_stamp WHERE model = :model AND record BETWEEN :first AND :last)
         OR EXISTS (SELECT 1 FROM tidemark_parked WHERE model = :model AND record BETWEEN :first AND :last)
         OR EXISTS (SELECT 1 FROM tidemark_waiting WHERE target_model = :model AND target BETWEEN :first AND :last)`;
    questions.set(model, sql);
  }
  return sql;
}
