import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { onTestFinished } from "vitest";
import type { Affinity, OwnerPath, SyncColumn, SyncModel, SyncRegistry } from "../registry/model.js";
import { installCapture } from "./capture.js";
import { planCapture } from "./capture-plan.js";
import type { Sqlite } from "./database.js";
import { quoteName } from "./identifiers.js";
import { migrateSyncTables } from "./schema.js";

/** Small models made by hand, real files, and a readable outbox, for the tests of capture. */

export interface ColumnDraft {
  readonly column: string;
  readonly affinity?: Affinity;
  readonly number?: number;
  readonly target?: SyncModel;
  readonly byIdentity?: boolean;
}

export function column({
  column: name,
  affinity = "text",
  number = 1,
  target,
  byIdentity = false,
}: ColumnDraft): SyncColumn {
  return {
    number,
    name,
    column: name,
    affinity,
    nullable: true,
    defaultSql: "NULL",
    reference: target ? { target, targetColumn: byIdentity ? "uuid" : "id", byIdentity, required: false } : null,
  };
}

export interface ModelDraft {
  readonly number?: number;
  readonly table: string;
  readonly identity?: string;
  /** The local integer key, or null when the identity is the primary key. Default: `id`. */
  readonly key?: string | null;
  /** Names (of text columns) or drafts; numbered in their order. */
  readonly columns?: readonly (string | ColumnDraft)[];
  /** Columns that form a derived identity. */
  readonly derived?: readonly string[];
  readonly uniqueKeys?: readonly (readonly string[])[];
  /** Columns of the owner path, the first of which belongs to this model. */
  readonly owner?: (columns: readonly SyncColumn[]) => OwnerPath;
}

export function model(draft: ModelDraft): SyncModel {
  const columns = (draft.columns ?? []).map((entry, index) =>
    column({ number: index + 1, ...(typeof entry === "string" ? { column: entry } : entry) }),
  );
  const identity = draft.identity ?? "uuid";
  const key = draft.key === undefined ? "id" : draft.key;
  return {
    number: draft.number ?? 1,
    name: draft.table,
    table: draft.table,
    identity: draft.derived
      ? { kind: "derived", columns: draft.derived.map((name) => columns.find((found) => found.column === name)!) }
      : { kind: "column", column: identity },
    localKey: draft.derived
      ? null
      : key === null
        ? { column: identity, kind: "identity" }
        : { column: key, kind: "integer" },
    ownership: draft.owner ? { kind: "device", path: draft.owner(columns) } : { kind: "shared" },
    isDevice: false,
    columns,
    columnByName: new Map(columns.map((found) => [found.name, found])),
    columnByNumber: new Map(columns.map((found) => [found.number, found])),
    references: columns.filter(({ reference }) => reference !== null),
    referencedBy: [],
    uniqueKeys: [...(draft.derived || key === null ? [] : [[key]]), ...(draft.uniqueKeys ?? [])],
    level: 0,
    tree: null,
    afterBackfill: null,
  };
}

export function registry(models: readonly SyncModel[]): SyncRegistry {
  return {
    models,
    byName: new Map(models.map((found) => [found.name, found])),
    byNumber: new Map(models.map((found) => [found.number, found])),
    levels: [models],
    deviceModel: null,
  };
}

/** The path of a database file that does not exist yet, in a folder of its own that goes with the test. */
export function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-capture-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "library.db");
}

/** A plain connection, without any of our code on it. */
export function connect(path: string): Sqlite {
  const db = new Database(path);
  onTestFinished(() => void db.close());
  return db;
}

/** A new file with these tables. */
export function databaseWith(schema: string): Sqlite {
  const db = connect(temporaryFile());
  db.exec(schema);
  return db;
}

/** Makes the sync tables if they are missing, and installs capture for these models. */
export function capture(db: Sqlite, ...models: readonly SyncModel[]) {
  const all = registry(models);
  return db
    .transaction(() => {
      migrateSyncTables({ db, logId: "log" });
      return installCapture({ db, plans: models.map((each) => planCapture(each, all)) });
    })
    .immediate();
}

/** Runs a script in a process of its own that knows nothing but better-sqlite3; `db` is the open file. */
export function inOtherProcess(path: string, script: string): void {
  const driver = createRequire(import.meta.url).resolve("better-sqlite3");
  const program = `const db = new (require(${JSON.stringify(driver)}))(${JSON.stringify(path)}); ${script}; db.close();`;
  execFileSync(process.execPath, ["-e", program], { stdio: ["ignore", "ignore", "inherit"] });
}

/** What was captured since the last call, in order, as short lines: `birth a hop=2`, `edit a 1,3 hop=2`,
 * `death a key=1 hop=2`. */
export function taken(db: Sqlite): readonly string[] {
  const rows = db
    .prepare("SELECT model, record, mask, part, key, hop FROM tidemark_outbox ORDER BY seq")
    .all() as OutboxRow[];
  db.exec("DELETE FROM tidemark_outbox");
  return rows.map(line);
}

interface OutboxRow {
  readonly model: number;
  readonly record: string | null;
  readonly mask: number;
  readonly part: number;
  readonly key: number | null;
  readonly hop: unknown;
}

function line({ model: number, record, mask, part, key, hop }: OutboxRow): string {
  const kinds = new Map([
    [-1, "birth"],
    [-2, "death"],
    [-3, "suspect"],
  ]);
  return [
    kinds.get(mask) ?? "edit",
    number === 1 ? `${record}` : `${number}:${record}`,
    ...(mask < 0 ? [] : [columnsOf(mask, part).join(",")]),
    // A birth's own key says nothing in nearly all tests; the one that cares reads it itself.
    ...(key === null || mask === -1 ? [] : [`key=${key}`]),
    ...(hop === null ? [] : [`hop=${hop}`]),
  ].join(" ");
}

function columnsOf(mask: number, part: number): readonly number[] {
  const columns: number[] = [];
  for (let bit = 0; bit < 48; bit++) if (Math.floor(mask / 2 ** bit) % 2 === 1) columns.push(part * 48 + bit + 1);
  return columns;
}

/** The names of the capture triggers on a table. */
export function triggersOf(db: Sqlite, table: string): readonly string[] {
  return db
    .prepare(
      "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? AND name GLOB 'tidemark*' ORDER BY name",
    )
    .pluck()
    .all(table) as string[];
}

export function rows(db: Sqlite, table: string): number {
  return db
    .prepare(`SELECT count(*) FROM ${quoteName(table)}`)
    .pluck()
    .get() as number;
}
