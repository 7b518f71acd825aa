import type { WireValue } from "@tidemark/plugin-api";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import type { LogTransaction } from "../storage/log-transaction.js";
import { park } from "../storage/parked.js";
import { presentRows } from "../storage/present-rows.js";
import type { RecordReader } from "../storage/record-reader.js";
import { prepared } from "../storage/statements.js";
import type { Applier } from "./apply.js";
import { PlainLookup } from "./target-lookup.js";

/**
 * What a newer version of the application brings with it: columns and models that were unknown here before, and whose
 * values were kept aside, enter their tables at the first start that knows them.
 */
export function adoptSchema({
  tx,
  registry,
  reader,
  applier,
  now,
}: {
  readonly tx: LogTransaction;
  readonly registry: SyncRegistry;
  readonly reader: RecordReader;
  readonly applier: Applier;
  readonly now: number;
}): void {
  for (const model of registry.models) {
    const records = new Set([...adoptColumns(tx.db, model, reader, now), ...adoptRecords(tx.db, model)]);
    if (records.size === 0) continue;
    applier.reconsider({
      tx,
      records: [...records].map((record) => ({ model, record })),
      lookup: new PlainLookup(reader),
    });
  }
}

/** Records of a model that was unknown: nothing but the reason why they are parked has changed. */
function adoptRecords(db: Sqlite, model: SyncModel): string[] {
  return prepared(db, "SELECT record FROM tidemark_parked WHERE model = ? AND kind = 'foreign'")
    .pluck()
    .all(model.number) as string[];
}

/** Values of columns that were unknown are laid over their records, which are then written like any other. */
function adoptColumns(db: Sqlite, model: SyncModel, reader: RecordReader, now: number): string[] {
  const rows = (
    prepared(db, "SELECT record, col, val FROM tidemark_extra WHERE model = ?").all(model.number) as {
      record: string;
      col: number;
      val: string;
    }[]
  ).filter(({ col }) => model.columnByNumber.has(col));
  const byRecord = new Map<string, Map<number, WireValue>>();
  for (const { record, col, val } of rows) {
    const values = byRecord.get(record) ?? new Map<number, WireValue>();
    values.set(col, JSON.parse(val) as WireValue);
    byRecord.set(record, values);
    prepared(db, "DELETE FROM tidemark_extra WHERE model = ? AND record = ? AND col = ?").run(
      model.number,
      record,
      col,
    );
  }
  const records = [...byRecord.keys()];
  const present = presentRows({ db, model, records, reader });
  const current = reader.readByIdentity(db, model, records);
  for (const [record, adopted] of byRecord) {
    const parked = prepared(db, "SELECT vals FROM tidemark_parked WHERE model = ? AND record = ?")
      .pluck()
      .get(model.number, record) as string | undefined;
    const values = new Map<number, WireValue>();
    if (parked !== undefined) {
      for (const [column, value] of Object.entries(JSON.parse(parked) as Record<string, WireValue>))
        values.set(Number(column), value);
    } else if (present.has(record)) {
      model.columns.forEach((column, index) => {
        values.set(column.number, current.get(record)![index]!);
      });
    }
    for (const [column, value] of adopted) values.set(column, value);
    park({
      db,
      model: model.number,
      record,
      parked: { kind: "deferred", reason: "columns of a newer version", values },
      now,
    });
  }
  return records;
}
