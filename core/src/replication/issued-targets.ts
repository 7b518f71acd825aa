import type { SyncModel } from "../registry/model.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import type { Members } from "../storage/members.js";
import { referencesTo } from "../storage/present-rows.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import type { Reconsidered } from "./apply.js";
import { holds, WHOLE } from "./backfill-ranges.js";
import { type BackfillRecord, cursorOf } from "./backfill-store.js";
import { LifeReader } from "./life-reader.js";
import { columnStamp, lifeOf, type RecordState, referenceHolds } from "./record-state.js";
import { stampGroup } from "./stamp-group.js";

/**
 * What a joining device issues as its own begins a life then, and the library may have had the record in a life before:
 * what was taken in so far may refer to that one. Its reference was let hold because the row stood here without a stamp;
 * on no other device it does. So it is judged anew. What is still to come is judged when it comes, and what is issued
 * itself has a younger reference.
 */
export function referencesToLivesBefore({
  tx,
  members,
  model,
  issued,
  backfill,
}: {
  readonly tx: LogTransaction;
  readonly members: Members;
  readonly model: SyncModel;
  /** Records of the model, in the states under which they have been issued, which are in the log. */
  readonly issued: ReadonlyMap<string, RecordState>;
  /** What is still to come. */
  readonly backfill: BackfillRecord;
}): readonly Reconsidered[] {
  const again: Reconsidered[] = [];
  if (issued.size === 0) return again;
  const lives = new LifeReader(tx.db);
  for (const { model: referring, column } of model.referencedBy) {
    const { open } = cursorOf(backfill, referring.name);
    // Nearly always, because what is referred to comes first: then nothing of it is the library's yet.
    if (open === WHOLE && lives.allUnstamped(referring)) continue;
    const all = referencesTo({ db: tx.db, model: referring, column, targets: [...issued.keys()] });
    const references = referring === model ? all.filter(({ record }) => !issued.has(record)) : all;
    const logged = loadLogged(
      tx.db,
      referring.number,
      references.map(({ record }) => record),
    );
    for (const { record, target } of references) {
      if (!logged.has(record) && open.some((stretch) => holds(stretch, record))) continue; // Is still to come.
      const reference = columnStamp(stateOf(logged.get(record), true), stampGroup(referring, column.number));
      const life = lifeOf(issued.get(target)!);
      if (referenceHolds({ reference, life, order: members.order })) continue;
      again.push({ model: referring, record, lost: { column, target } });
    }
  }
  return again;
}
