import { statSync } from "node:fs";
import Database from "better-sqlite3";
import { makeDataset, rowCount } from "../library/dataset.js";
import { gzippedJsonBytes } from "../library/gzipped-json.js";
import { configure, insertRows } from "../library/insert-rows.js";
import { createSchema } from "../library/schema.js";
import { systemClock } from "../system-clock.js";
import { cpuMsSince } from "./cpu-time.js";
import type { BareOutput, RowsCommands, RowsInput } from "./rows-commands.js";
import { serve } from "./serve.js";

/** The main file of the process without Tidemark. */
async function insertAll({ file, dataset: options }: RowsInput): Promise<BareOutput> {
  const dataset = makeDataset(options);
  await createSchema(file);
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

serve<RowsCommands>({
  seed: async (input) => {
    await insertAll(input);
    return null;
  },
  bare: insertAll,
  gzippedJson: (options) => {
    const dataset = makeDataset(options);
    return { rows: rowCount(dataset), bytes: gzippedJsonBytes(dataset) };
  },
});
