import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import { query, TestLibrary } from "./library.test-support.js";

// A junction is named by what it joins, and its row stays the same when that takes another identity.

@Entity()
class Label {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToMany(() => Label) @JoinTable() labels!: Label[];
}

@Entity()
class Machine {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
  @ManyToMany(() => Label) @JoinTable() labels!: Label[];
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Folder, Label, Machine, Item],
    declarations: [
      { entity: Machine, isDevice: true, ownership: { kind: "device", owner: "" } },
      { entity: Item, ownership: { kind: "device", owner: "machine" } },
      { entity: Folder, ownership: { kind: "shared" } },
      { entity: Label, ownership: { kind: "shared" } },
    ],
  });
});
afterEach(() => library.dispose());

const RENAME = "UPDATE folder SET uuid = 'after' WHERE uuid = 'before'";
const MANY = `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2500)
  INSERT INTO label (id, uuid) SELECT 100 + n, 'l' || n FROM s`;

/** Two devices with a folder that has a label. */
async function joined() {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO label (id, uuid) VALUES (8, 'label')");
  await a.dataSource.query("INSERT INTO folder (id, uuid) VALUES (9, 'before')");
  await a.dataSource.query("INSERT INTO folder_labels_label (folderId, labelId) VALUES (9, 8)");
  await library.settle(a, b);
  return { a, b };
}

it.each([
  ["one end is renamed, and the other deleted", [RENAME, "DELETE FROM label WHERE uuid = 'label'"], []],
  [
    "one end is renamed, and the other deleted much later",
    [RENAME, MANY, "DELETE FROM label WHERE uuid = 'label'"],
    [],
  ],
  ["one end is renamed, and they are parted", [RENAME, "DELETE FROM folder_labels_label"], []],
  ["one end is renamed twice", [RENAME, "UPDATE folder SET uuid = 'last' WHERE id = 9"], ["last label"]],
  ["both ends are renamed", [RENAME, "UPDATE label SET uuid = 'other' WHERE id = 8"], ["after other"]],
  [
    "one end is renamed, and both are deleted",
    [RENAME, "DELETE FROM label WHERE uuid = 'label'", "DELETE FROM folder WHERE id = 9"],
    [],
  ],
  [
    "one end is replaced by another row with its key",
    ["INSERT OR REPLACE INTO folder (id, uuid) VALUES (9, 'after')"],
    [],
  ],
  [
    "the old name goes to another row that is joined alike",
    [
      RENAME,
      "INSERT INTO folder (id, uuid) VALUES (10, 'before')",
      "INSERT INTO folder_labels_label (folderId, labelId) VALUES (10, 8)",
    ],
    ["after label", "before label"],
  ],
  [
    "what is joined after the renaming is parted again",
    [
      RENAME,
      "INSERT INTO label (id, uuid) VALUES (7, 'another')",
      "INSERT INTO folder_labels_label (folderId, labelId) VALUES (9, 7)",
      "DELETE FROM folder_labels_label WHERE labelId = 7",
    ],
    ["after label"],
  ],
] as const)("ends what a junction was called when %s", async (_, changes, left) => {
  const { a, b } = await joined();

  await a.dataSource.transaction(async (manager) => {
    for (const change of changes) await manager.query(change);
  });
  await library.settle(a, b);

  for (const { database, tidemark } of [a, b]) {
    expect(
      query<{ joined: string }>(
        database,
        `SELECT f.uuid || ' ' || l.uuid AS joined FROM folder_labels_label j
         JOIN folder f ON f.id = j.folderId JOIN label l ON l.id = j.labelId ORDER BY 1`,
      ).map((row) => row.joined),
    ).toEqual(left);
    expect((await tidemark.doctor()).findings).toEqual([]);
    // Of what is living in the log, every junction has its row: nothing else is told to whoever joins.
    const living = `SELECT record FROM tidemark_stamp s JOIN tidemark_model m ON m.num = s.model
      WHERE m.name = 'Folder.labels' AND s.col = -1 ORDER BY record`;
    expect(query<{ record: string }>(database, living).map((row) => row.record)).toEqual(left);
  }
});

it("does not end what joins a record of somebody else that may not be renamed", async () => {
  const { a, b } = await library.pair();
  await b.dataSource.query("INSERT INTO machine (uuid) VALUES ('b')");
  await b.dataSource.query("INSERT INTO item (id, uuid, machineUuid) VALUES (9, 'item', 'b')");
  await b.dataSource.query("INSERT INTO label (id, uuid) VALUES (8, 'label')");
  await b.dataSource.query("INSERT INTO item_labels_label (itemId, labelId) VALUES (9, 8)");
  await library.settle(a, b);
  await a.dataSource.query("UPDATE item SET uuid = 'mine' WHERE uuid = 'item'");
  await library.settle(a, b);
  const joined = `SELECT i.uuid AS item, l.uuid AS label FROM item_labels_label j
    JOIN item i ON i.id = j.itemId JOIN label l ON l.id = j.labelId`;
  for (const { database } of [a, b]) expect(query(database, joined)).toEqual([{ item: "item", label: "label" }]);
});

it("says nothing of a name that a junction has only had in passing", async () => {
  const { a, b } = await joined();
  await a.dataSource.transaction(async (manager) => {
    await manager.query(RENAME);
    await manager.query("UPDATE folder SET uuid = 'last' WHERE uuid = 'after'");
  });
  await library.settle(a, b);
  const told = `SELECT DISTINCT record FROM tidemark_stamp s JOIN tidemark_model m ON m.num = s.model
    WHERE m.name = 'Folder.labels' ORDER BY record`;
  expect(query(b.database, told)).toEqual([{ record: "before label" }, { record: "last label" }]);
});
