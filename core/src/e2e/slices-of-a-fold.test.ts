import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import { query, TestLibrary } from "./library.test-support.js";

// Large transactions are folded in several slices. Where one ends is nobody's business.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: true, deferrable: "INITIALLY DEFERRED" }) parent!: Folder | null;
  @ManyToMany(() => Folder) @JoinTable() links!: Folder[];
}

@Entity()
class Note {
  @Column({ type: "varchar", primary: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: false, deferrable: "INITIALLY DEFERRED" }) folder!: Folder;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Folder, Note],
    declarations: [
      { entity: Folder, ownership: { kind: "shared" } },
      { entity: Note, ownership: { kind: "shared" } },
    ],
  });
});
afterEach(() => library.dispose());

const BEFORE_THE_END = [1_997, 1_998, 1_999, 2_000];

it.each(
  BEFORE_THE_END.flatMap((count) => [
    {
      count,
      change: "UPDATE folder SET uuid = 'after' WHERE uuid = 'before'",
      links: [{ one: "after", other: "other" }],
    },
    { count, change: "INSERT OR REPLACE INTO folder (id, uuid) VALUES (9000, 'after')", links: [] },
  ]),
)(
  "lets a row inherit what refers to the one whose place it takes, behind $count changes: $change",
  async ({ count, change, links }) => {
    const { a, b } = await library.pair();
    await a.dataSource.query(
      "INSERT INTO folder (id, uuid, parentId) VALUES (9000, 'before', NULL), (9001, 'other', 9000)",
    );
    await a.dataSource.query("INSERT INTO folder_links_folder VALUES (9000, 9001)");
    await library.settle(a, b);
    await a.dataSource.transaction(async (manager) => {
      await manager.query(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ${count})
      INSERT INTO folder (id, uuid) SELECT n, 'f' || n FROM s`);
      await manager.query(change);
    });
    await library.settle(a, b);
    for (const { database } of [a, b]) {
      expect(
        query(
          database,
          `SELECT o.uuid AS one, t.uuid AS other FROM folder_links_folder
         JOIN folder o ON o.id = folderId_1 JOIN folder t ON t.id = folderId_2`,
        ),
      ).toEqual(links);
      expect(query(database, "SELECT p.uuid FROM folder c JOIN folder p ON p.id = c.parentId")).toEqual([
        { uuid: "after" },
      ]);
    }
  },
);

it("keeps on all devices what refers to a table that is emptied and filled again in one transaction", async () => {
  const { a, b } = await library.pair();
  const fill = `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1500)
    INSERT INTO folder (id, uuid) SELECT n, 'f' || n FROM s`;
  await a.dataSource.query(fill);
  await a.dataSource.query("INSERT INTO note (uuid, folderId) SELECT 'n' || id, id FROM folder WHERE id % 10 = 0");
  await library.settle(a, b);
  await a.dataSource.transaction(async (manager) => {
    await manager.query("DELETE FROM folder");
    await manager.query(fill);
  });
  await library.settle(a, b);
  for (const { database } of [a, b]) {
    const shown = "SELECT count(*) AS notes FROM note n JOIN folder f ON f.id = n.folderId WHERE f.uuid = 'f' || f.id";
    expect(query(database, shown)).toEqual([{ notes: 150 }]);
  }
});

it("keeps them where the row that takes the place of another one comes much later in the transaction", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO folder (id, uuid) VALUES (9000, 'before')");
  await a.dataSource.query("INSERT INTO note (uuid, folderId) VALUES ('note', 9000)");
  await library.settle(a, b);
  await a.dataSource.transaction(async (manager) => {
    await manager.query("DELETE FROM folder WHERE id = 9000");
    await manager.query(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2500)
      INSERT INTO folder (id, uuid) SELECT n, 'f' || n FROM s`);
    await manager.query("INSERT INTO folder (id, uuid) VALUES (9000, 'after')");
  });
  await library.settle(a, b);
  for (const { database } of [a, b]) {
    const shown = "SELECT f.uuid FROM note n JOIN folder f ON f.id = n.folderId";
    expect(query(database, shown)).toEqual([{ uuid: "after" }]);
  }
});
