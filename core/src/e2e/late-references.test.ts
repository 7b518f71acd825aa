import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, onFile, query, shared, TestLibrary } from "./library.test-support.js";

// A child may be written before its parent. However far apart the two are, both arrive, and so does the reference.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: true, deferrable: "INITIALLY DEFERRED" }) parent!: Folder | null;
  @ManyToMany(() => Folder) @JoinTable() links!: Folder[];
}

@Entity()
class Page {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: false, deferrable: "INITIALLY DEFERRED" }) folder!: Folder;
}

/** Refers to others by plain columns, which SQLite does not watch. */
@Entity()
class Remark {
  @PrimaryColumn("varchar") uuid!: string;
  @Column({ type: "varchar" }) about!: string;
  @Column({ type: "varchar", nullable: true }) answers!: string | null;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Folder, Page, Remark],
    declarations: shared(Folder, Page, {
      entity: Remark,
      references: { about: { to: Remark }, answers: { to: Remark } },
    }),
  });
});
afterEach(() => library.dispose());

/** More than one slice folds, so that the rest of the transaction is in another one. */
const filling = (last: number) => `WITH RECURSIVE s(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM s WHERE n < ${last})
  INSERT INTO folder (id, uuid) SELECT n, 'f' || n FROM s`;
/** More births behind the first page of the outbox than are looked through, or fewer. */
const LASTS = [4_500, 2_800];

async function inOneTransaction(kernel: TestKernel, ...statements: readonly string[]): Promise<void> {
  await kernel.dataSource.transaction(async (manager) => {
    for (const statement of statements) await manager.query(statement);
  });
}

const remarks = ({ database }: TestKernel) => query(database, "SELECT * FROM remark ORDER BY uuid");

/** What is remembered of late references. */
const late = ({ database }: TestKernel) => query(database, "SELECT * FROM tidemark_late");

/** Everything is known to everybody and forgotten: what leads nowhere has been erased. */
async function forget(...kernels: readonly TestKernel[]): Promise<void> {
  await library.clock.advance(120_000);
  for (const kernel of kernels) await kernel.tidemark.services.get(logMaintenance).acknowledge();
  await library.clock.advance(3_000);
  for (const kernel of kernels) await kernel.tidemark.services.get(logMaintenance).prune();
}

it.each(LASTS)("brings a child that was written long before its parent in one transaction (%i)", async (last) => {
  const { a, b } = await library.pair();
  await inOneTransaction(
    a,
    "INSERT INTO page (uuid, folderId) VALUES ('page', 5000)",
    "INSERT INTO folder (id, uuid, parentId) VALUES (1, 'child', 5000)",
    filling(last),
    "INSERT INTO folder (id, uuid) VALUES (5000, 'parent')",
  );
  await library.settle(a, b);
  const read = `SELECT c.uuid, p.uuid AS parent FROM folder c JOIN folder p ON p.id = c.parentId
    UNION ALL SELECT c.uuid, p.uuid FROM page c JOIN folder p ON p.id = c.folderId`;
  const expected = [
    { uuid: "child", parent: "parent" },
    { uuid: "page", parent: "parent" },
  ];
  expect(query(b.database, read)).toEqual(expected);
  expect(query(a.database, read)).toEqual(expected);
  expect(late(a)).toEqual([]);
  expectNoViolations(a, b);
});

it.each(LASTS)("brings links that were written long before what they link (%i)", async (last) => {
  const { a, b } = await library.pair();
  await inOneTransaction(
    a,
    "PRAGMA defer_foreign_keys = ON",
    "INSERT INTO folder_links_folder VALUES (5000, 5001)",
    filling(last),
    "INSERT INTO folder (id, uuid) VALUES (5000, 'one'), (5001, 'other')",
  );
  await library.settle(a, b);
  const read = `SELECT o.uuid AS one, t.uuid AS other FROM folder_links_folder
    JOIN folder o ON o.id = folderId_1 JOIN folder t ON t.id = folderId_2`;
  expect(query(b.database, read)).toEqual([{ one: "one", other: "other" }]);
  expect(late(a)).toEqual([]);
});

it("remembers a late reference across the death of the process", async () => {
  const { a, b } = await library.pair();
  await a.tidemark.stop();
  onFile(
    a.database,
    `BEGIN; PRAGMA defer_foreign_keys = ON;
     INSERT INTO page (uuid, folderId) VALUES ('page', 5000); ${filling(4_500)};
     INSERT INTO folder (id, uuid) VALUES (5000, 'parent'); COMMIT`,
  );
  const again = await library.restart("a", a);
  await library.settle(again, b);
  expect(query(b.database, "SELECT uuid FROM page")).toEqual([{ uuid: "page" }]);
});

it("brings a child that refers to what the application makes later", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO remark VALUES ('child', 'parent', NULL)");
  await library.clock.advance(3_000);
  expect(remarks(a)).toHaveLength(1);
  expect(remarks(b)).toEqual([]);
  await a.dataSource.query("INSERT INTO remark VALUES ('parent', 'parent', NULL)");
  await library.settle(a, b);
  expect(remarks(b)).toHaveLength(2);
  expect(late(a)).toEqual([]);
});

it("brings it, and what requires it, also when others have erased it meanwhile", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO remark VALUES ('child', 'parent', NULL), ('grandchild', 'child', 'child')");
  await forget(a, b);
  expect((await b.tidemark.status()).parked.hidden).toBe(0);
  expect(remarks(b)).toEqual([]);
  await a.dataSource.query("INSERT INTO remark VALUES ('parent', 'parent', NULL)");
  await library.settle(a, b);
  expect(remarks(b)).toEqual(remarks(a));
  expect(remarks(b)).toHaveLength(3);
});

it("keeps a reference that may be absent, and edits of others beside it", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query(
    "INSERT INTO remark VALUES ('root', 'root', NULL), ('other', 'other', NULL), ('child', 'root', 'later')",
  );
  await library.clock.advance(3_000);
  expect(query(b.database, "SELECT * FROM remark WHERE uuid = 'child'")).toEqual([
    { uuid: "child", about: "root", answers: null },
  ]);
  await forget(a, b);
  library.network.cut("a", "b");
  await b.dataSource.query("UPDATE remark SET about = 'other' WHERE uuid = 'child'");
  await a.dataSource.query("INSERT INTO remark VALUES ('later', 'root', NULL)");
  library.network.heal("a", "b");
  await library.settle(a, b);
  expect(query(b.database, "SELECT * FROM remark WHERE uuid = 'child'")).toEqual([
    { uuid: "child", about: "other", answers: "later" },
  ]);
});

it.each([1, 20])("brings a child that refers to what another device makes later, among %i records", async (count) => {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO remark VALUES ('child', 'parent', NULL)");
  await library.clock.advance(3_000);
  await inOneTransaction(
    b,
    ...Array.from({ length: count }, (_, index) => `INSERT INTO remark VALUES ('r${index}', 'r${index}', NULL)`),
    "INSERT INTO remark VALUES ('parent', 'parent', NULL)",
  );
  await library.settle(a, b);
  expect(remarks(b)).toHaveLength(count + 2);
  expect(late(a)).toEqual([]);
});

it("brings a child that was written while the device was the only one", async () => {
  const a = await library.device("a");
  await a.dataSource.query("INSERT INTO remark VALUES ('child', 'parent', NULL)");
  await library.clock.advance(1_000);
  const b = await library.device("b", { dial: ["a"] });
  await library.clock.advance(3_000);
  expect(remarks(b)).toEqual([]);
  await a.dataSource.query("INSERT INTO remark VALUES ('parent', 'parent', NULL)");
  await library.settle(a, b);
  expect(remarks(b)).toHaveLength(2);
});

it("lets a deletion win over a record that got such a reference at the same time, and over what requires that", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query(
    "INSERT INTO remark VALUES ('root', 'root', NULL), ('child', 'root', NULL), ('grandchild', 'child', NULL)",
  );
  await library.settle(a, b);
  library.network.cut("a", "b");
  await a.dataSource.query("UPDATE remark SET about = 'later' WHERE uuid = 'child'");
  await a.tidemark.digest("Remark");
  await b.dataSource.query("DELETE FROM remark WHERE uuid IN ('child', 'grandchild')");
  await b.tidemark.digest("Remark");
  await a.dataSource.query("INSERT INTO remark VALUES ('later', 'root', NULL)");
  library.network.heal("a", "b");
  await library.settle(a, b);
  expect(remarks(a).map((row) => (row as Remark).uuid)).toEqual(["later", "root"]);
  expect(remarks(b)).toEqual(remarks(a));
});

it("forgets references that are gone, or lead elsewhere", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query(
    "INSERT INTO remark VALUES ('root', 'root', NULL), ('one', 'never', NULL), ('two', 'never', NULL)",
  );
  await library.clock.advance(1_000);
  expect(late(a)).toHaveLength(2);
  await a.dataSource.query("DELETE FROM remark WHERE uuid = 'one'");
  await a.dataSource.query("UPDATE remark SET about = 'root' WHERE uuid = 'two'");
  await library.settle(a, b);
  expect(late(a)).toEqual([]);
  expect(remarks(b)).toHaveLength(2);
});
