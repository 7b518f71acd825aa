import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { TestLibrary } from "../../e2e/library.test-support.js";
import { declarationsOf, emptyDatabase, entitiesOf } from "../simulator/library-model.js";
import { checkFile, unlogged } from "./file-checks.js";

// Files that were whole and in step, after something has been done to them that must not happen.

let folder: string;
let ours: InstanceType<typeof Database>;
let theirs: InstanceType<typeof Database>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tidemark-checks-"));
  const library = new TestLibrary({ entities: [...entitiesOf(1)], declarations: declarationsOf(1) });
  const device = async (name: string, dial: readonly string[]) => {
    const database = join(folder, `${name}.sqlite`);
    writeFileSync(database, await emptyDatabase(1));
    return await library.device(name, { database, synchronize: false, dial });
  };
  const a = await device("a", []);
  const b = await device("b", ["a"]);
  await b.dataSource.query("INSERT INTO folder (uuid, name) VALUES ('f0', 'in step'), ('f1', 'in step')");
  await library.settle(a, b);
  for (const { tidemark, dataSource } of [a, b]) {
    await tidemark.stop();
    if (dataSource.isInitialized) await dataSource.destroy();
  }
  await library.dispose();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeEach(() => {
  [ours, theirs] = ["b", "a"].map((name) => {
    const copy = join(folder, `${name}-copy.sqlite`);
    copyFileSync(join(folder, `${name}.sqlite`), copy);
    return new Database(copy);
  }) as [typeof ours, typeof theirs];
});
afterEach(() => {
  for (const db of [ours, theirs]) db.close();
});

/** As a write that capture does not see. */
function unseen(db: typeof ours, sql: string): void {
  db.exec(`INSERT INTO tidemark_applying VALUES (0); ${sql}; DELETE FROM tidemark_applying`);
}

it("finds nothing in files that are whole and in step", () => {
  expect(checkFile(ours)).toEqual([]);
  expect(unlogged(ours, theirs)).toEqual([]);
});

it("finds a record that is here alone and that nothing will ever bring to the peer", () => {
  unseen(ours, "INSERT INTO folder (uuid, name) VALUES ('f2', 'unseen')");
  expect(unlogged(ours, theirs)).toEqual(["Folder: here alone, and not in the log: f2"]);
});

it("takes no record for lost that waits in the outbox, or of which the peer's log holds the death", () => {
  ours.exec("INSERT INTO folder (uuid, name) VALUES ('f2', 'captured')");
  expect(unlogged(ours, theirs)).toEqual([]);
  ours.exec("DELETE FROM tidemark_outbox; DELETE FROM folder WHERE uuid = 'f2'");
  ours.exec("DELETE FROM tidemark_outbox; DELETE FROM tidemark_stamp");
  unseen(theirs, "DELETE FROM folder WHERE uuid = 'f0'");
  theirs.exec("UPDATE tidemark_stamp SET col = -2 WHERE record = 'f0' AND col = -1");
  expect(unlogged(ours, theirs)).toEqual([]);
});

it("finds a record that is in the log and nowhere else, and one that is dead in the log and alive in its table", () => {
  unseen(ours, "DELETE FROM folder WHERE uuid = 'f0'");
  ours.exec("UPDATE tidemark_stamp SET col = -2 WHERE record = 'f1' AND col = -1");
  expect(checkFile(ours)).toEqual([
    "Folder: in the log and nowhere else: f0",
    "Folder: dead in the log and alive in the table: f1",
  ]);
});

it("finds capture that is not complete or was left silent, and references that lead nowhere", () => {
  ours.exec("INSERT INTO tidemark_applying VALUES (0)");
  const trigger = ours
    .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'tidemark_*' AND tbl_name = 'folder'")
    .pluck()
    .all() as string[];
  ours.pragma("foreign_keys = OFF");
  ours.exec("UPDATE folder SET parentId = 4711 WHERE uuid = 'f0'");
  for (const name of trigger) ours.exec(`DROP TRIGGER "${name}"`);
  const problems = checkFile(ours);
  expect(problems).toContain("capture was left silent");
  expect(problems.some((problem) => problem.startsWith("references lead nowhere"))).toBe(true);
});
