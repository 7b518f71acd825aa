import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bench } from "../bench.js";
import type { DatasetOptions } from "../library/dataset.js";

/** A new database that holds the library already; made once per size, then copied. */
export async function seededDatabase(bench: Bench, dataset: DatasetOptions): Promise<string> {
  const template = await bench.once(`database ${JSON.stringify(dataset)}`, async () => {
    bench.say(`making a library of ${dataset.entries.toLocaleString("en")} entries with ${dataset.ids} ids`);
    const file = await emptyPlace(bench);
    const rows = bench.rows("seed");
    await rows.ask("seed", { file, dataset });
    await rows.end();
    return file;
  });
  const file = await emptyPlace(bench);
  await copyFile(template, file);
  return file;
}

/** Where a new database can be created. */
export async function emptyPlace(bench: Bench): Promise<string> {
  return join(await bench.place(), "library.db");
}
