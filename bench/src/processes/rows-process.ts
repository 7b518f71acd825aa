import { statSync } from "node:fs";
import Database from "better-sqlite3";
import { makeDataset, rowCount } from "../library/dataset.js";
import { gzippedJsonBytes } from "../library/gzipped-json.js";
import { configure, insertRows, ROWS_PER_TRANSACTION } from "../library/insert-rows.js";
import { createSchema, giveSpaceBack } from "../library/schema.js";
import { systemClock } from "../system-clock.js";
import { cpuMsSince } from "./cpu-time.js";
import { saveByOrm } from "./orm-rows.js";
import { timeOwnWrites } from "./own-writes.js";
import type { BareOutput, RowsCommands, RowsInput } from "./rows-commands.js";
import { serve } from "./serve.js";

/** The main file of the process without Tidemark. */
async function insertAll({ file, dataset: options }: RowsInput, prepare?: typeof giveSpaceBack): Promise<BareOutput> {
  const dataset = makeDataset(options);
  await createSchema(file, prepare);
  const db = new Database(file);
  configure(db);
  const cpu = process.cpuUsage();
  const startedMs = systemClock.monotonicMs();
  insertRows(db, dataset);
  const durationMs = systemClock.monotonicMs() - startedMs;
  const cpuMs = cpuMsSince(cpu);
  db.pragma("wal_checkpoint(TRUNCATE)");
  db.close();
  return { rows: rowCount(dataset), durationMs, cpuMs, fileBytes: statSync(file).size };
}

function updateContents(file: string, rows: number): number {
  const db = new Database(file);
  configure(db);
  const identities = db.prepare('SELECT "uuid" FROM "content_identity" ORDER BY "id" LIMIT ?').pluck().all(rows);
  const update = db.prepare('UPDATE "content_identity" SET "kind" = ? WHERE "uuid" = ?');
  const slice = db.transaction((some: readonly unknown[]) => {
    for (const uuid of some) update.run("burst", uuid);
  });
  const startedMs = systemClock.monotonicMs();
  for (let from = 0; from < identities.length; from += ROWS_PER_TRANSACTION) {
    slice(identities.slice(from, from + ROWS_PER_TRANSACTION));
  }
  const durationMs = systemClock.monotonicMs() - startedMs;
  db.close();
  return durationMs;
}

serve<RowsCommands>({
  seed: async (input) => {
    await insertAll(input, giveSpaceBack);
    return null;
  },
  bare: (input) => insertAll(input),
  updates: ({ file, rows }) => ({ durationMs: updateContents(file, rows) }),
  ownWrites: timeOwnWrites,
  orm: saveByOrm,
  gzippedJson: (options) => {
    const dataset = makeDataset(options);
    return { rows: rowCount(dataset), bytes: gzippedJsonBytes(dataset) };
  },
});
