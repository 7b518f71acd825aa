import { createHash } from "node:crypto";
import type { DataSource, EntityMetadata } from "typeorm";

/**
 * A digest of a table that owes nothing to Tidemark: plain SQL over the application's tables, references written as the
 * identities of their targets, rows in the order of those. Two devices whose digests are equal hold the same records.
 */
export interface TableDigest {
  readonly rows: number;
  readonly digest: string;
}

const PAGE_ROWS = 5_000;

export async function independentDigest(
  dataSource: DataSource,
  metadata: EntityMetadata,
  signal?: AbortSignal,
): Promise<TableDigest> {
  const hash = createHash("sha256");
  let rows = 0;
  const query = tableQuery(metadata);
  // A keyset page over the whole identity: one column for most tables, two for a junction.
  for (let after: readonly string[] | null = null; ; ) {
    signal?.throwIfAborted();
    const page: Record<string, unknown>[] = await dataSource.query(
      after === null ? query.first : query.next,
      after === null ? [] : [...after],
    );
    for (const row of page) hash.update(`${JSON.stringify(Object.values(row).map(plain))}\n`);
    rows += page.length;
    if (page.length < PAGE_ROWS) return { rows, digest: hash.digest("hex") };
    const last = Object.values(page[page.length - 1]!);
    after = last.slice(0, query.keyLength).map(String);
  }
}

function tableQuery(metadata: EntityMetadata): { first: string; next: string; keyLength: number } {
  const keys: string[] = [];
  const values: string[] = [];
  let joins = "";
  for (const column of metadata.columns) {
    const name = `t."${column.databaseName}"`;
    const target = column.referencedColumn;
    if (target) {
      const alias = `r${values.length + keys.length}`;
      joins += ` LEFT JOIN "${target.entityMetadata.tableName}" ${alias} ON ${alias}."${target.databaseName}" = ${name}`;
      (metadata.isJunction ? keys : values).push(`${alias}.uuid`);
    } else if (column.databaseName === "uuid") {
      keys.push(name);
    } else if (!column.isPrimary) {
      values.push(name);
    }
  }
  // Numbered, because columns of different tables share their names.
  const columns = [...keys, ...values].map((expression, index) => `${expression} AS c${index}`).join(", ");
  const order = `ORDER BY ${keys.join(", ")} LIMIT ${PAGE_ROWS}`;
  const from = `SELECT ${columns} FROM "${metadata.tableName}" t${joins}`;
  const past = `(${keys.join(", ")}) > (${keys.map(() => "?").join(", ")})`;
  return { first: `${from} ${order}`, next: `${from} WHERE ${past} ${order}`, keyLength: keys.length };
}

function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return { hex: value.toString("hex") };
  return typeof value === "bigint" ? { integer: String(value) } : value;
}
