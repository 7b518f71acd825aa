import { Column, Entity, JoinColumn, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, query, shared, TestLibrary } from "./library.test-support.js";

/** Rows whose target goes or becomes another record, while the row itself is not written. */
@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "" }) name!: string;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "SET NULL" }) shortcut!: Folder | null;
}

/** Without a foreign key in the schema. */
@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Folder, { nullable: false, createForeignKeyConstraints: false })
  @JoinColumn()
  folder!: Folder;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Machine, Folder, Item, Note],
    declarations: [
      ...shared(Folder, Note, { entity: Machine, isDevice: true }),
      { entity: Item, ownership: { kind: "device", owner: "machine" } },
    ],
  });
});
afterEach(() => library.dispose());

/** Items of b in folders that everybody may change. */
async function itemsOfB(): Promise<{ a: TestKernel; b: TestKernel }> {
  const { a, b } = await library.pair();
  const machine = await b.dataSource.getRepository(Machine).save({ uuid: "b" });
  const [here, there] = await b.dataSource.getRepository(Folder).save([{ uuid: "here" }, { uuid: "there" }]);
  await b.dataSource.getRepository(Item).save([
    { uuid: "in", machine, folder: here!, shortcut: null },
    { uuid: "linked", machine, folder: there!, shortcut: here! },
  ]);
  await library.settle(a, b);
  return { a, b };
}

const ITEMS = "SELECT uuid, shortcutId FROM item ORDER BY uuid";

it.each([
  ["takes another identity", "UPDATE folder SET uuid = 'elsewhere' WHERE uuid = 'here'"],
  [
    "is replaced under its key",
    "REPLACE INTO folder (id, uuid) SELECT id, 'elsewhere' FROM folder WHERE uuid = 'here'",
  ],
])("hides what others own when its target %s", async (_, change) => {
  const { a, b } = await itemsOfB();
  const connection = "PRAGMA foreign_keys = OFF";
  await a.dataSource.query(connection);
  await a.dataSource.query(change);
  await library.settle(a, b);
  // The old folder has gone, and only b could say that its items are to be in the new one.
  for (const { database } of [a, b]) {
    expect(query(database, ITEMS)).toEqual([{ uuid: "linked", shortcutId: null }]);
    expect(query(database, "SELECT record, vals FROM tidemark_parked")).toEqual([
      { record: "in", vals: expect.stringContaining('"here"') as string },
    ]);
  }
  expectNoViolations(a, b);
});

it("hides a record whose target is deleted where no foreign key stands between them", async () => {
  const { a, b } = await library.pair();
  const folder = await a.dataSource.getRepository(Folder).save({ uuid: "f" });
  await a.dataSource.getRepository(Note).save({ uuid: "n", folder });
  await library.settle(a, b);
  await a.dataSource.query("DELETE FROM folder");
  await library.settle(a, b);
  for (const { database } of [a, b]) expect(query(database, "SELECT * FROM note")).toEqual([]);
});
