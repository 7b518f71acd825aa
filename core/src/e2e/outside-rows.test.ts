import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, onFile, query, shared, TestLibrary } from "./library.test-support.js";

// Rows that no peer ever hears of, of other tables or without an identity that can travel, stand in nobody's way: neither
// where they refer to synced rows, nor where synced rows refer to them.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "" }) name!: string;
}

@Entity()
class Box {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToMany(() => Folder) @JoinTable() folders!: Folder[];
}

@Entity()
class Cascading {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
}

@Entity()
class Plain {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: true }) folder!: Folder | null;
}

let library: TestLibrary;
beforeEach(() => {
  const entities = [Folder, Box, Cascading, Plain];
  library = new TestLibrary({ entities, declarations: shared(...entities) });
});
afterEach(() => library.dispose());

/** Both devices have the folders f and g. */
async function withFolders(): Promise<{ a: TestKernel; b: TestKernel }> {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO folder (uuid) VALUES ('f'), ('g')");
  await library.settle(a, b);
  return { a, b };
}

const folders = ({ database }: TestKernel) => query<{ uuid: string }>(database, "SELECT uuid FROM folder ORDER BY 1");

function expectNoFailures(...kernels: readonly TestKernel[]): void {
  for (const kernel of kernels) expect(kernel.recordedOf("catchUpFailed")).toEqual([]);
  expectNoViolations(...kernels);
}

it.each([
  ["of another table", "INSERT INTO bookmark SELECT id, 1 FROM folder WHERE uuid = 'f'", "DELETE FROM bookmark"],
  [
    "of another table, by a key of two columns",
    "INSERT INTO pair SELECT id, uuid FROM folder WHERE uuid = 'f'",
    "DELETE FROM pair",
  ],
  [
    "without a fit identity",
    "INSERT INTO plain (uuid, folderId) SELECT 'not fit', id FROM folder WHERE uuid = 'f'",
    "DELETE FROM plain",
  ],
])("keeps a row from being deleted by a peer while a row refers to it: one %s", async (_, keep, letGo) => {
  const { a, b } = await withFolders();
  onFile(
    b.database,
    "CREATE TABLE bookmark (folder INTEGER NOT NULL REFERENCES folder, n INTEGER)",
    "CREATE UNIQUE INDEX folder_pair ON folder (id, uuid)",
    "CREATE TABLE pair (id INTEGER, uuid TEXT, FOREIGN KEY (id, uuid) REFERENCES folder (id, uuid))",
    keep,
  );
  await a.dataSource.query("DELETE FROM folder");
  await library.clock.advance(3_000);
  expect(folders(b)).toEqual([{ uuid: "f" }]);
  expect(query(b.database, "SELECT record, kind, reason FROM tidemark_parked")).toEqual([
    { record: "f", kind: "quarantined", reason: expect.stringContaining("that is not synced refers to it") as string },
  ]);
  // It is in nobody's way, and goes when nothing refers to it any more.
  await a.dataSource.query("INSERT INTO folder (uuid) VALUES ('h')");
  await library.clock.advance(1_000);
  expect(folders(b)).toEqual([{ uuid: "f" }, { uuid: "h" }]);
  await b.dataSource.query(letGo);
  await b.dataSource.query("INSERT INTO folder (uuid) VALUES ('i')");
  await library.settle(a, b);
  expect(folders(b)).toEqual([{ uuid: "h" }, { uuid: "i" }]);
  expectNoFailures(a, b);
});

it("lets the schema take along what is not synced, where it says so", async () => {
  const { a, b } = await withFolders();
  await b.dataSource.query("INSERT INTO cascading (uuid, folderId) SELECT 'not fit', id FROM folder WHERE uuid = 'f'");
  await library.clock.advance(1_000);
  await a.dataSource.query("DELETE FROM folder WHERE uuid = 'f'");
  await library.settle(a, b);
  expect(query(b.database, "SELECT * FROM cascading")).toEqual([]);
  expectNoFailures(a, b);
});

it("deletes a row together with the synced rows that refer to it", async () => {
  const { a, b } = await withFolders();
  await a.dataSource.query("INSERT INTO plain (uuid, folderId) SELECT uuid || 1, id FROM folder");
  await library.settle(a, b);
  await a.dataSource.transaction(async (manager) => {
    await manager.query("DELETE FROM plain");
    await manager.query("DELETE FROM folder");
  });
  await library.settle(a, b);
  expect(folders(b)).toEqual([]);
  expectNoFailures(a, b);
});

it("sends records that refer to one that can't travel, without the reference, and with it once it can", async () => {
  const { a, b } = await withFolders();
  await b.dataSource.query("INSERT INTO folder (uuid, name) VALUES ('not fit', 'n')");
  await b.dataSource.query("INSERT INTO plain (uuid, folderId) SELECT 'p', id FROM folder WHERE uuid = 'not fit'");
  await b.dataSource.query("INSERT INTO box (uuid) VALUES ('b')");
  await b.dataSource.query(
    "INSERT INTO box_folders_folder (boxId, folderId) SELECT 1, id FROM folder WHERE uuid <> 'g'",
  );
  await library.clock.advance(3_000);
  const links = (kernel: TestKernel) =>
    query(
      kernel.database,
      `SELECT b.uuid AS box, f.uuid AS folder FROM box_folders_folder l JOIN box b ON b.id = l.boxId
       JOIN folder f ON f.id = l.folderId ORDER BY 1, 2`,
    );
  const plain = (kernel: TestKernel) =>
    query(kernel.database, "SELECT p.uuid, f.uuid AS folder FROM plain p LEFT JOIN folder f ON f.id = p.folderId");
  expect(links(a)).toEqual([{ box: "b", folder: "f" }]);
  expect(plain(a)).toEqual([{ uuid: "p", folder: null }]);
  expect(folders(a)).toEqual([{ uuid: "f" }, { uuid: "g" }]);
  expect((await b.tidemark.journal({ kind: "not-synced" })).map(({ model }) => model).sort()).toEqual([
    "Box.folders",
    "Folder",
  ]);

  await b.dataSource.query("UPDATE folder SET uuid = 'fit' WHERE uuid = 'not fit'");
  await library.settle(a, b);
  expect(links(a)).toEqual([
    { box: "b", folder: "f" },
    { box: "b", folder: "fit" },
  ]);
  expect(plain(a)).toEqual([{ uuid: "p", folder: "fit" }]);
  expectNoFailures(a, b);
});

it("takes a blob for no identity, though it may read like one", async () => {
  const { a, b } = await withFolders();
  await b.dataSource.query("INSERT INTO folder (uuid) VALUES (x'61')");
  await b.dataSource.query("UPDATE folder SET name = 'changed'");
  await b.dataSource.query("DELETE FROM folder WHERE uuid = x'61'");
  await library.settle(a, b);
  expect(await b.tidemark.journal()).toMatchObject([{ kind: "not-synced", record: "a" }]);
  expect(query(b.database, "SELECT record FROM tidemark_stamp WHERE typeof(record) <> 'text'")).toEqual([]);
  expectNoFailures(a, b);
});
