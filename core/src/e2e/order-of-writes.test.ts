import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, query, shared, TestLibrary } from "./library.test-support.js";

// Within a transaction SQLite lets an application write in any order, and change what others refer to. A reference counts
// only while it is younger than its target's life, so the order must not matter to anybody else.

@Entity()
class Label {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar", nullable: true }) name!: string | null;
}

@Entity()
class Bag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", nullable: true }) name!: string | null;
}

@Entity()
class Thing {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Bag, { nullable: false, onDelete: "CASCADE" }) bag!: Bag;
  @ManyToOne(() => Bag, { nullable: true, onDelete: "SET NULL" }) spare!: Bag | null;
  @ManyToOne(() => Label, { nullable: true, onDelete: "CASCADE", onUpdate: "CASCADE" }) label!: Label | null;
  @ManyToMany(() => Label, { onUpdate: "CASCADE" }) @JoinTable() labels!: Label[];
  @ManyToMany(() => Bag) @JoinTable() bags!: Bag[];
}

let library: TestLibrary;
afterEach(() => library.dispose());

async function newPair(): Promise<{ a: TestKernel; b: TestKernel }> {
  library = new TestLibrary({ entities: [Label, Bag, Thing], declarations: shared(Label, Bag, Thing) });
  return await library.pair();
}

function contents({ database }: TestKernel): unknown {
  return {
    things: query(
      database,
      `SELECT t.uuid, b.uuid AS bag, s.uuid AS spare, t."labelUuid" AS label FROM thing t
       LEFT JOIN bag b ON b.id = t."bagId" LEFT JOIN bag s ON s.id = t."spareId" ORDER BY 1`,
    ),
    bags: query(database, "SELECT uuid, name FROM bag ORDER BY 1"),
    labels: query(database, "SELECT uuid, name FROM label ORDER BY 1"),
    thingLabels: query(
      database,
      `SELECT t.uuid AS thing, l."labelUuid" AS label FROM thing_labels_label l JOIN thing t ON t.id = l."thingId" ORDER BY 1, 2`,
    ),
    thingBags: query(
      database,
      `SELECT t.uuid AS thing, b.uuid AS bag FROM thing_bags_bag l JOIN thing t ON t.id = l."thingId"
       JOIN bag b ON b.id = l."bagId" ORDER BY 1, 2`,
    ),
  };
}

/** One transaction with foreign keys checked at its end, on a; then both must hold what a holds. */
async function write({ a, b }: { a: TestKernel; b: TestKernel }, ...statements: readonly string[]): Promise<unknown> {
  await a.dataSource.transaction(async (manager) => {
    await manager.query("PRAGMA defer_foreign_keys = ON");
    for (const statement of statements) await manager.query(statement);
  });
  const expected = contents(a);
  await library.settle(a, b);
  expect(contents(b)).toEqual(expected);
  expect(contents(a)).toEqual(expected);
  expectNoViolations(a, b);
  for (const kernel of [a, b]) {
    expect((await kernel.tidemark.status()).parked).toMatchObject({ hidden: 0, quarantined: 0 });
  }
  return expected;
}

const THING = `INSERT INTO thing (id, uuid, "bagId", "spareId", "labelUuid") VALUES (7, 'thing', 3, 4, 'label')`;
const TARGETS = [
  "INSERT INTO bag (id, uuid) VALUES (3, 'bag'), (4, 'spare')",
  "INSERT INTO label (uuid) VALUES ('label')",
];
const LINKS = [
  `INSERT INTO thing_labels_label ("thingId", "labelUuid") VALUES (7, 'label')`,
  `INSERT INTO thing_bags_bag ("thingId", "bagId") VALUES (7, 3)`,
];

describe("in one transaction", () => {
  it("links and children may come before what they refer to", async () => {
    const pair = await newPair();
    const { things, thingLabels, thingBags } = (await write(pair, ...LINKS, THING, ...TARGETS)) as Record<
      string,
      unknown[]
    >;
    expect(things).toEqual([{ uuid: "thing", bag: "bag", spare: "spare", label: "label" }]);
    expect([thingLabels, thingBags]).toEqual([[{ thing: "thing", label: "label" }], [{ thing: "thing", bag: "bag" }]]);
  });

  it("references may be set to what comes only then", async () => {
    const pair = await newPair();
    await write(pair, ...TARGETS, THING, ...LINKS);
    await write(
      pair,
      `UPDATE thing SET "bagId" = 30, "spareId" = 40, "labelUuid" = 'label2'`,
      "INSERT INTO bag (id, uuid) VALUES (30, 'bag2'), (40, 'spare2')",
      "INSERT INTO label (uuid) VALUES ('label2')",
    );
  });

  it("a target may be deleted and created anew while its children stay", async () => {
    const pair = await newPair();
    await write(pair, ...TARGETS, THING, ...LINKS);
    // With foreign keys off a delete takes nothing along.
    await pair.a.dataSource.query("PRAGMA foreign_keys = OFF");
    await write(
      pair,
      "DELETE FROM bag WHERE id = 3",
      "INSERT INTO bag (id, uuid, name) VALUES (3, 'bag', 'new life')",
      "DELETE FROM label",
      "INSERT INTO label (uuid, name) VALUES ('label', 'new life')",
    );
  });

  it("a target may get another identity; what refers to it refers to it still", async () => {
    const pair = await newPair();
    await write(pair, ...TARGETS, THING, ...LINKS);
    await write(pair, "UPDATE bag SET uuid = uuid || '-renamed'");
    await write(pair, "UPDATE label SET uuid = 'label-renamed'");
    await write(pair, "UPDATE thing SET uuid = 'thing-renamed'");
  });

  it("a target may be replaced by its like", async () => {
    const pair = await newPair();
    await write(pair, ...TARGETS, THING, ...LINKS);
    await pair.a.dataSource.query("PRAGMA foreign_keys = OFF");
    await write(pair, "INSERT OR REPLACE INTO bag (id, uuid, name) VALUES (3, 'bag', 'replaced')");
    await write(pair, "INSERT OR REPLACE INTO label (uuid, name) VALUES ('label', 'replaced')");
  });
});
