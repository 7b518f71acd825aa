import { isIdentity } from "../registry/identity-form.js";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { foldName, quoteName } from "../storage/identifiers.js";
import { counted, type Examination, Tally } from "./examination.js";

/**
 * References that lead nowhere, of all tables, by foreign key or by registration; and identities that can't travel. It
 * does the work of SQLite's `foreign_key_check`, which would hold the loop for as long as a whole table takes.
 */
const PAGE = 2_000;

interface Table {
  readonly name: string;
  readonly withoutRowid: boolean;
}

interface Reference {
  readonly from: readonly string[];
  readonly table: string;
  readonly to: readonly string[];
}

export async function examineReferences(examination: Examination): Promise<void> {
  const { registry } = examination.patient.library.deps;
  await examination.read("references", async (db, slices) => {
    for (const table of tablesOf(db)) {
      const model = registry.models.find((it) => foldName(it.table) === foldName(table.name));
      const references = referencesOf(db, table.name, model);
      if (references.length === 0 && model === undefined) continue;
      examination.examined.tables += 1;
      const dangling = references.map(() => new Tally());
      const unfit = new Tally();
      const scan = new TableScan(db, table);
      for (let page = scan.next(); page !== null; page = scan.next()) {
        examination.examined.rows += page.rows;
        references.forEach((reference, index) => {
          for (const name of scan.names(missing(reference), nameOf(model) ?? scan.keyText)) dangling[index]!.add(name);
        });
        if (model?.identity.kind === "column") {
          const identity = `c.${quoteName(model.identity.column)}`;
          const strange = `typeof(${identity}) <> 'text' OR length(${identity}) NOT BETWEEN 1 AND 512 OR ${identity} GLOB '*[^!-~]*'`;
          // What is not text is led by a blank, so that it is not taken for what it reads like.
          const name = `CASE typeof(${identity}) WHEN 'text' THEN ${identity} ELSE ' ' || ${identity} END`;
          for (const found of scan.names(strange, name)) if (!isIdentity(found)) unfit.add(found.trim());
        }
        await slices.pause();
      }
      report(examination, table.name, model, references, dangling, unfit);
    }
  });
}

function report(
  examination: Examination,
  table: string,
  model: SyncModel | undefined,
  references: readonly Reference[],
  dangling: readonly Tally[],
  unfit: Tally,
): void {
  const name = model?.name ?? null;
  references.forEach(({ from, table: target }, index) => {
    const { count, examples } = dangling[index]!;
    if (count === 0) return;
    examination.find({
      severity: "error",
      code: "dangling-references",
      model: name,
      what: `${counted(count, "row")} of "${table}" ${count === 1 ? "refers" : "refer"} by ${from.join(", ")} to a row of "${target}" that is not there`,
      why: "somebody has written or deleted rows with foreign keys turned off",
      advice:
        model === undefined
          ? "Delete these rows, or give them a target that exists"
          : "Give them a target that exists, or delete them; to other devices such a reference reads NULL",
      count,
      examples,
    });
  });
  if (unfit.count > 0) {
    examination.find({
      severity: "warning",
      code: "unfit-identities",
      model: name,
      what: `${counted(unfit.count, "row")} of "${table}" ${unfit.count === 1 ? "has an identity that can't travel, and stays" : "have an identity that can't travel, and stay"} on this device`,
      why: "an identity is text of 1 to 512 characters without white space",
      advice: "Give each of them a uuid; it is sent from then on",
      count: unfit.count,
      examples: unfit.examples.map((identity) => JSON.stringify(identity)),
    });
  }
}

function tablesOf(db: Sqlite): readonly Table[] {
  const rows = db
    .prepare("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
    .all() as { readonly name: string; readonly wr: number }[];
  return rows
    .filter(({ name }) => !/^(sqlite|tidemark)_/i.test(name))
    .map(({ name, wr }) => ({ name, withoutRowid: wr === 1 }));
}

/** By foreign key, and by registration where there is none. */
function referencesOf(db: Sqlite, table: string, model: SyncModel | undefined): readonly Reference[] {
  const parts = db
    .prepare('SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq')
    .all(table) as { readonly id: number; readonly table: string; readonly from: string; readonly to: string | null }[];
  const keys = new Map<number, { from: string[]; table: string; to: string[] }>();
  for (const { id, table: target, from, to } of parts) {
    const key = keys.get(id) ?? { from: [], table: target, to: [] };
    key.to.push(to ?? primaryKey(db, target)[key.from.length] ?? from);
    key.from.push(from);
    keys.set(id, key);
  }
  const references: Reference[] = [...keys.values()];
  for (const { column, reference } of model?.references ?? []) {
    const known = references.some(({ from }) => from.length === 1 && foldName(from[0]!) === foldName(column));
    if (!known) references.push({ from: [column], table: reference!.target.table, to: [reference!.targetColumn] });
  }
  return references;
}

function primaryKey(db: Sqlite, table: string): readonly string[] {
  return db.prepare("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk").pluck().all(table) as string[];
}

function missing({ from, table, to }: Reference): string {
  const set = from.map((column) => `c.${quoteName(column)} IS NOT NULL`).join(" AND ");
  // The target's column stands first: its affinity and collation are those that count.
  const match = from.map((column, index) => `p.${quoteName(to[index]!)} = c.${quoteName(column)}`).join(" AND ");
  return `${set} AND NOT EXISTS (SELECT 1 FROM main.${quoteName(table)} p WHERE ${match})`;
}

/** What a record is called in a finding; a row of a table that is not synced goes by its key. */
function nameOf(model: SyncModel | undefined): string | null {
  if (model === undefined) return null;
  if (model.identity.kind === "column") return `c.${quoteName(model.identity.column)}`;
  return model.identity.columns.map(({ column }) => `c.${quoteName(column)}`).join(" || ' ' || ");
}

/** Walks a table in the order of its key, a page at a time. */
class TableScan {
  readonly #db: Sqlite;
  readonly #table: string;
  readonly #key: readonly string[];
  #after: readonly unknown[] | null = null;
  #upTo: readonly unknown[] | null = null;
  #ended = false;

  constructor(db: Sqlite, { name, withoutRowid }: Table) {
    this.#db = db;
    this.#table = `main.${quoteName(name)}`;
    this.#key = withoutRowid ? primaryKey(db, name).map(quoteName) : ["rowid"];
  }

  /** The key as one text, in SQL. */
  get keyText(): string {
    return this.#key.map((column) => `c.${column}`).join(" || ' ' || ");
  }

  /** Goes on to the next page; null behind the last one. */
  next(): { readonly rows: number } | null {
    if (this.#ended) return null;
    this.#after = this.#upTo;
    const keys = this.#key.map((column) => `c.${column}`).join(", ");
    const rows = this.#db
      .prepare(`SELECT ${keys} FROM ${this.#table} c ${this.#where([])} ORDER BY ${keys} LIMIT ${PAGE}`)
      .raw()
      .safeIntegers()
      .all(...(this.#after ?? [])) as unknown[][];
    this.#ended = rows.length < PAGE;
    this.#upTo = rows.at(-1) ?? null;
    return rows.length === 0 ? null : { rows: rows.length };
  }

  /** The names of those rows of this page that fit. */
  names(condition: string, name: string): readonly string[] {
    const bounds = [...(this.#after ?? []), ...(this.#upTo ?? [])];
    const found = this.#db
      .prepare(`SELECT ${name} FROM ${this.#table} c ${this.#where([`(${condition})`], true)}`)
      .pluck()
      .safeIntegers()
      .all(...bounds) as unknown[];
    return found.map(String);
  }

  #where(conditions: readonly string[], upTo = false): string {
    const keys = `(${this.#key.map((column) => `c.${column}`).join(", ")})`;
    const marks = `(${this.#key.map(() => "?").join(", ")})`;
    const bounds = [
      ...(this.#after === null ? [] : [`${keys} > ${marks}`]),
      ...(upTo ? [`${keys} <= ${marks}`] : []),
      ...conditions,
    ];
    return bounds.length === 0 ? "" : `WHERE ${bounds.join(" AND ")}`;
  }
}
