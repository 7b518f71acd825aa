import { gzipSync } from "node:zlib";
import { type Dataset, type Row, TABLES, type TableName } from "./dataset.js";

/** Rows in one page: as many as Tidemark's own pages hold. */
const PAGE_ROWS = 2_000;

/** Which tables the columns refer to. */
const REFERENCES: Readonly<Record<string, TableName>> = {
  deviceId: "device",
  locationId: "location",
  contentId: "content_identity",
  metadataId: "user_metadata",
};

/** What the library takes on the wire where one sends what JSON.stringify makes of its rows, gzipped page by page. */
export function gzippedJsonBytes(dataset: Dataset): number {
  let bytes = 0;
  for (const [table, rows] of Object.entries(dataset) as [TableName, readonly Row[]][]) {
    for (let from = 0; from < rows.length; from += PAGE_ROWS) {
      const page = rows.slice(from, from + PAGE_ROWS).map((row) => asObject(dataset, table, row));
      bytes += gzipSync(JSON.stringify(page)).length;
    }
  }
  return bytes;
}

function asObject(dataset: Dataset, table: TableName, row: Row): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  TABLES[table].forEach((column, index) => {
    const value = row[index];
    const target = REFERENCES[column];
    if (column === "id") return;
    if (target !== undefined && typeof value === "bigint") object[column] = dataset[target][Number(value) - 1]![1];
    else object[column] = typeof value === "bigint" ? Number(value) : value;
  });
  return object;
}
