import type { SyncModel, SyncTree } from "../registry/model.js";
import type { Sqlite, Statement } from "./database.js";
import { quoteName } from "./identifiers.js";
import { prepared } from "./statements.js";

/**
 * Writes again what TypeORM derives from the parents of a tree: closure tables, materialized paths, nested sets. They are
 * made of local keys and therefore never sent. It runs inside a write transaction, after the rows themselves, and what
 * it leaves is what TypeORM would have written, as far as TypeORM defines it: the siblings of a nested set are in the
 * order of their local keys, which is the order of insertion.
 *
 * Parents that run in a circle (two moves at once can do that) break nothing: a node's line of ancestors ends before the
 * first repetition, and the circle stands at the end of a nested set.
 */
export function rebuildTrees({
  db,
  model,
  changed,
}: {
  readonly db: Sqlite;
  readonly model: SyncModel;
  /** Identities of records that came, went or changed in any way; "all" also mends what was wrong before. */
  readonly changed: readonly string[] | "all";
}): void {
  const { tree } = model;
  if (tree === null || changed.length === 0) return;
  if (tree.kind === "nested-set") renumber(db, model, tree);
  else rebuildLines(db, model, tree, changed);
}

type Key = bigint | string;
type LineTree = Exclude<SyncTree, { readonly kind: "nested-set" }>;
type NestedSet = Extract<SyncTree, { readonly kind: "nested-set" }>;
type Closure = Extract<SyncTree, { readonly kind: "closure" }>;

/** A row of the tree: its local key, the value that children refer to (nearly always the same), the parent's such value. */
type NodeRow = readonly [identity: string, key: Key, name: Key, parent: Key | null, ...derived: (Key | null)[]];

function rebuildLines(db: Sqlite, model: SyncModel, tree: LineTree, changed: readonly string[] | "all"): void {
  const nodes = nodesSql(model, tree, tree.kind === "materialized-path" ? [tree.pathColumn] : []);
  const all = changed === "all";
  const rows = all
    ? (rawExact(db, `${nodes.select} ${nodes.from}`).all() as NodeRow[])
    : (rawExact(
        db,
        `${nodes.select} FROM json_each(?) AS wanted CROSS JOIN ${nodes.own} ON n.${nodes.identity} = wanted.value ${nodes.parent}`,
      ).all(JSON.stringify(changed)) as NodeRow[]);
  const ancestry = new Ancestry(rawExact(db, `${nodes.select} ${nodes.from} WHERE n.${nodes.name} = ?`), rows);
  const derived = tree.kind === "closure" ? new ClosureTable(db, tree) : new MaterializedPath(db, model, tree);

  const moved: string[] = [];
  for (const row of rows) {
    if (derived.write(row, ancestry.lineOf(row)) === "moved") moved.push(row[0]);
  }
  if (!all && moved.length > 0) {
    // Only now, because it may have to scan the table: TypeORM puts no index on the parent.
    const below = rawExact(
      db,
      `WITH RECURSIVE below (name) AS (
         SELECT m.${nodes.name} FROM json_each(?) AS wanted CROSS JOIN ${nodes.table} AS m ON m.${nodes.identity} = wanted.value
         UNION
         SELECT c.${nodes.name} FROM below CROSS JOIN ${nodes.table} AS c ON c.${nodes.parentColumn} = below.name
       )
       ${nodes.select} FROM below CROSS JOIN ${nodes.own} ON n.${nodes.name} = below.name ${nodes.parent}`,
    ).all(JSON.stringify(moved)) as NodeRow[];
    for (const row of below) derived.write(row, ancestry.lineOf(row));
  }
  if (tree.kind === "closure" && (all || rows.length < new Set(changed).size)) sweepClosure(db, model, tree);
}

/** Knows the parents of nodes, and asks the table for those that it has not met. */
class Ancestry {
  readonly #one: Statement;
  readonly #known = new Map<Key, NodeRow>();

  constructor(one: Statement, rows: readonly NodeRow[]) {
    this.#one = one;
    for (const row of rows) this.#known.set(row[2], row);
  }

  /** The node itself, its parent, and so on up to the root. */
  lineOf(node: NodeRow): readonly NodeRow[] {
    const line: NodeRow[] = [];
    const seen = new Set<Key>();
    for (let it: NodeRow | undefined = node; it !== undefined && !seen.has(it[2]); ) {
      line.push(it);
      seen.add(it[2]);
      it = it[3] === null ? undefined : this.#nodeOf(it[3]);
    }
    return line;
  }

  #nodeOf(name: Key): NodeRow | undefined {
    let node = this.#known.get(name);
    if (node === undefined) {
      node = this.#one.get(name) as NodeRow | undefined;
      if (node !== undefined) this.#known.set(name, node);
    }
    return node;
  }
}

/** `moved`: something else stood there before, so the node's descendants are wrong as well. */
type Written = "right" | "new" | "moved";

class ClosureTable {
  readonly #read: Statement;
  readonly #remove: Statement;
  readonly #insert: Statement;
  readonly #withLevel: boolean;

  constructor(db: Sqlite, { closureTable, ancestorColumn, descendantColumn, levelColumn }: Closure) {
    const table = quoteName(closureTable);
    const ofNode = `FROM ${table} WHERE ${quoteName(descendantColumn)} = ?`;
    const columns = [descendantColumn, ancestorColumn, ...(levelColumn === null ? [] : [levelColumn])].map(quoteName);
    this.#withLevel = levelColumn !== null;
    this.#read = rawExact(db, `SELECT ${columns.slice(1).join(", ")} ${ofNode}`);
    this.#remove = prepared(db, `DELETE ${ofNode}`);
    this.#insert = prepared(
      db,
      `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
    );
  }

  write([, key]: NodeRow, line: readonly NodeRow[]): Written {
    const stored = this.#read.all(key) as [Key, bigint?][];
    // A node's own row is at level 1, its parent's at 2.
    const levels = new Map(line.map((ancestor, index) => [ancestor[1], BigInt(index + 1)]));
    const right =
      stored.length === line.length &&
      stored.every(([ancestor, level]) => levels.has(ancestor) && (!this.#withLevel || levels.get(ancestor) === level));
    if (right) return "right";
    this.#remove.run(key);
    for (const [ancestor, level] of levels) this.#insert.run(key, ancestor, ...(this.#withLevel ? [level] : []));
    return stored.length === 0 ? "new" : "moved";
  }
}

class MaterializedPath {
  readonly #update: Statement;

  constructor(db: Sqlite, model: SyncModel, { pathColumn }: { readonly pathColumn: string }) {
    this.#update = prepared(
      db,
      `UPDATE ${quoteName(model.table)} SET ${quoteName(pathColumn)} = ? WHERE ${quoteName(keyColumn(model))} = ?`,
    );
  }

  write([, key, , , stored]: NodeRow, line: readonly NodeRow[]): Written {
    let path = "";
    for (const ancestor of line) path = `${ancestor[2]}.${path}`;
    if (path === stored) return "right";
    this.#update.run(path, key);
    return stored === null || stored === "" ? "new" : "moved";
  }
}

/** Removes what is left of nodes that are gone, unless SQLite has done so. */
function sweepClosure(db: Sqlite, model: SyncModel, { closureTable, ancestorColumn, descendantColumn }: Closure): void {
  const columns = [ancestorColumn, descendantColumn];
  const keys = db.prepare('SELECT "from", on_delete FROM pragma_foreign_key_list(?)').raw().all(closureTable);
  const cascades = (column: string) =>
    (keys as [string, string][]).some(([from, onDelete]) => from === column && onDelete === "CASCADE");
  if (db.pragma("foreign_keys", { simple: true }) === 1 && columns.every(cascades)) return;
  const gone = columns.map(
    (column) =>
      `NOT EXISTS (SELECT 1 FROM ${quoteName(model.table)} AS n WHERE n.${quoteName(keyColumn(model))} = c.${quoteName(column)})`,
  );
  prepared(db, `DELETE FROM ${quoteName(closureTable)} AS c WHERE ${gone.join(" OR ")}`).run();
}

/** Numbers all nodes in depth-first order. Whatever changed, nearly every number after it does. */
function renumber(db: Sqlite, model: SyncModel, tree: NestedSet): void {
  const { select, from } = nodesSql(model, tree, [tree.leftColumn, tree.rightColumn]);
  const rows = rawExact(db, `${select} ${from} ORDER BY n.${quoteName(keyColumn(model))}`).all() as NodeRow[];
  const children = new Map<Key | null, NodeRow[]>();
  for (const row of rows) {
    const siblings = children.get(row[3]);
    if (siblings === undefined) children.set(row[3], [row]);
    else siblings.push(row);
  }
  const update = prepared(
    db,
    `UPDATE ${quoteName(model.table)} SET ${quoteName(tree.leftColumn)} = ?, ${quoteName(tree.rightColumn)} = ?
     WHERE ${quoteName(keyColumn(model))} = ?`,
  );
  let number = 0n;
  const entered = new Set<Key>();
  const walk = (root: NodeRow) => {
    const open: { readonly node: NodeRow; readonly left: bigint; next: number }[] = [];
    const enter = (node: NodeRow) => {
      if (entered.has(node[1])) return;
      entered.add(node[1]);
      number += 1n;
      open.push({ node, left: number, next: 0 });
    };
    enter(root);
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const child = children.get(top.node[2])?.[top.next];
      if (child !== undefined) {
        top.next += 1;
        enter(child);
        continue;
      }
      open.pop();
      number += 1n;
      const [, key, , , left, right] = top.node;
      if (left !== top.left || right !== number) update.run(top.left, number, key);
    }
  };
  for (const root of children.get(null) ?? []) walk(root);
  // What no root leads to hangs in a circle.
  for (const row of rows) walk(row);
}

function nodesSql(model: SyncModel, tree: SyncTree, derived: readonly string[]) {
  if (model.identity.kind !== "column") throw new Error(`the model "${model.name}" is a tree without keys of its own`);
  const identity = quoteName(model.identity.column);
  const table = quoteName(model.table);
  const name = quoteName(tree.parent.reference!.targetColumn);
  const parentColumn = quoteName(tree.parent.column);
  const columns = [identity, quoteName(keyColumn(model)), name].map((column) => `n.${column}`);
  // The parent's value as it stands in its own row: a column of another affinity may hold it in another form.
  columns.push(`p.${name}`, ...derived.map((column) => `n.${quoteName(column)}`));
  const own = `${table} AS n`;
  const parent = `LEFT JOIN ${table} AS p ON p.${name} = n.${parentColumn}`;
  const select = `SELECT ${columns.join(", ")}`;
  return { identity, table, name, parentColumn, own, parent, select, from: `FROM ${own} ${parent}` };
}

function keyColumn(model: SyncModel): string {
  return model.localKey!.column;
}

function rawExact(db: Sqlite, sql: string): Statement {
  return prepared(db, sql).raw().safeIntegers(true);
}
