// Looks at the database of a device whose process has ended, with plain SQL: whatever the moment, the file must be whole,
// and records and what the log says of them must be there together or not at all.

import type Database from "better-sqlite3";
import { type LibraryModel, modelsOf } from "../simulator/library-model.js";

type Connection = InstanceType<typeof Database>;

/** What is wrong with a file; nothing, if all is well. */
export function checkFile(db: Connection): readonly string[] {
  const problems: string[] = [];
  const integrity = db.pragma("integrity_check", { simple: true });
  if (integrity !== "ok") problems.push(`the file is damaged: ${String(integrity)}`);
  const dangling = db.pragma("foreign_key_check") as unknown[];
  if (dangling.length > 0) problems.push(`references lead nowhere: ${JSON.stringify(dangling.slice(0, 5))}`);
  const tables = db
    .prepare("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name GLOB 'tidemark_*'")
    .pluck();
  const triggers = db
    .prepare("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'tidemark_*'")
    .pluck();
  if (tables.get() === 0) {
    if (triggers.get() !== 0) problems.push("there are triggers without the tables that they write to");
    return problems;
  }
  const captured = db.prepare("SELECT count(*) FROM tidemark_capture").pluck().get() as number;
  if ((triggers.get() as number) < 3 * captured || captured === 0) problems.push("capture is not complete");
  if (db.prepare("SELECT count(*) FROM tidemark_applying").pluck().get() !== 0)
    problems.push("capture was left silent");
  for (const model of modelsOf(1)) problems.push(...checkModel(db, model));
  return problems;
}

/** Births have a record in the table or one that is kept aside; the dead are not in their table. */
function checkModel(db: Connection, { name, table, identity }: LibraryModel): readonly string[] {
  const number = db.prepare("SELECT num FROM tidemark_model WHERE name = ?").pluck().get(name);
  if (number === undefined) return [];
  const problems: string[] = [];
  if (isUnfolded(db, name, number)) return [];
  const row = `(SELECT 1 FROM "${table}" t WHERE ${identity} = s.record)`;
  const kept = "(SELECT 1 FROM tidemark_parked p WHERE p.model = s.model AND p.record = s.record)";
  // A change that was refused has damaged the row, which a peer has yet to tell anew.
  const damaged = "(SELECT 1 FROM tidemark_restore r WHERE r.model = s.model AND r.record = s.record)";
  const stamps = `SELECT record FROM tidemark_stamp s WHERE model = ? AND NOT EXISTS ${damaged}`;
  const lost = db.prepare(`${stamps} AND col = -1 AND NOT EXISTS ${row} AND NOT EXISTS ${kept}`).pluck().all(number);
  if (lost.length > 0) problems.push(`${name}: in the log and nowhere else: ${lost.slice(0, 5).join(", ")}`);
  // At or below the floor a death is forgotten, whether its row has been swept away yet or not.
  const remembered = "s.hlc > (SELECT floor FROM tidemark_state)";
  const undead = db.prepare(`${stamps} AND col = -2 AND ${remembered} AND EXISTS ${row}`).pluck().all(number);
  if (undead.length > 0)
    problems.push(`${name}: dead in the log and alive in the table: ${undead.slice(0, 5).join(", ")}`);
  return problems;
}

/**
 * Whether the outbox alone tells what has become of records of a model: what was captured and has no stamp yet. Records of
 * a junction come, go and change their names with those that they join.
 */
function isUnfolded(db: Connection, model: string, number: unknown): boolean {
  const isJunction = model.includes(".");
  const entries = db.prepare("SELECT 1 FROM tidemark_outbox WHERE model = ? OR ?").get(number, isJunction ? 1 : 0);
  return entries !== undefined;
}

/** Records that are here and not at the peer, of which nothing is known that would ever bring the two into step. */
export function unlogged(db: Connection, peer: Connection): readonly string[] {
  const problems: string[] = [];
  for (const { name, table, identity } of modelsOf(1)) {
    const [here, there] = [db, peer].map((connection) => new Known(connection, name));
    if (here!.unfolded || there!.unfolded) continue;
    const identities = (connection: Connection) =>
      connection.prepare(`SELECT ${identity} FROM "${table}" t`).pluck().all() as string[];
    const atPeer = new Set(identities(peer));
    // Either this device still has to tell of it, or the peer of its death.
    const silent = identities(db).filter(
      (record) => !atPeer.has(record) && !here!.isStamped(record) && !there!.isStamped(record),
    );
    if (silent.length > 0) problems.push(`${name}: here alone, and not in the log: ${silent.slice(0, 5).join(", ")}`);
  }
  return problems;
}

/** What the log of a device holds of one model. */
class Known {
  readonly unfolded: boolean;
  readonly #number: unknown;
  readonly #stamp: Database.Statement;

  constructor(db: Connection, model: string) {
    this.#number = db.prepare("SELECT num FROM tidemark_model WHERE name = ?").pluck().get(model);
    this.unfolded = isUnfolded(db, model, this.#number);
    this.#stamp = db.prepare("SELECT 1 FROM tidemark_stamp WHERE model = ? AND record = ?");
  }

  isStamped(record: string): boolean {
    return this.#stamp.get(this.#number, record) !== undefined;
  }
}

/** The tables of the application in words, for comparison. */
export function tablesOf(db: Connection): ReadonlyMap<string, readonly string[]> {
  return new Map(
    modelsOf(1).map(({ name, table, identity, columns }) => [
      name,
      db
        .prepare(`SELECT ${[identity, ...columns.map(({ sql }) => sql)].join(", ")} FROM "${table}" t ORDER BY 1`)
        .raw()
        .all()
        .map((row) => JSON.stringify(row)),
    ]),
  );
}

/** The first table in which two devices differ, with what only one of them has; null when they are equal. */
export function differenceOf(
  ours: ReadonlyMap<string, readonly string[]>,
  theirs: ReadonlyMap<string, readonly string[]>,
): string | null {
  for (const [model, rows] of ours) {
    const others = theirs.get(model) ?? [];
    const only = (left: readonly string[], right: readonly string[]) => left.filter((row) => !right.includes(row));
    const [here, there] = [only(rows, others), only(others, rows)];
    if (here.length > 0 || there.length > 0) {
      return `${model}: ${here.slice(0, 3).join(" ")} against ${there.slice(0, 3).join(" ")}`;
    }
  }
  return null;
}
