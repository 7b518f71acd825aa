import { logMaintenance } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import { Column, Entity, Index, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it, vi } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { TestLibrary } from "./library.test-support.js";

// Whatever the kernel does while records are captured, folded, streamed, backfilled, applied and forgotten, it finds them
// by an index. The statements are those that it really prepares in such a run, so that none can be forgotten here.

@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
class Label {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Index() @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
  @Index() @ManyToOne(() => Item, { nullable: true, onDelete: "CASCADE" }) parent!: Item | null;
  @Index() @ManyToOne(() => Label, { nullable: true, onDelete: "SET NULL" }) main!: Label | null;
  @ManyToMany(() => Label) @JoinTable({ name: "item_label" }) labels!: Label[];
}

const models = {
  entities: [Machine, Label, Item],
  declarations: [
    { entity: Machine, ownership: { kind: "shared" as const }, isDevice: true },
    { entity: Label, ownership: { kind: "shared" as const } },
    { entity: Item, ownership: { kind: "device" as const, owner: "machine" } },
  ],
};

/** Tables that have one row, or one for each model, member or trigger. */
const SMALL = /^SCAN (?:main\.)?(tidemark_(state|backfill|capture|member|peer|unseen)|sqlite_master|sqlite_sequence)\b/;

/** Scans that are meant. */
const MEANT: readonly { readonly sql: RegExp; readonly because: string }[] = [
  { sql: /^SELECT EXISTS \(SELECT 1 FROM \w+\)( AS found)?$/, because: "it ends at the first row" },
  { sql: /^SELECT count\(\*\) FROM \(SELECT .* WHERE 0 UNION /, because: "it asks for a collation and reads no row" },
  {
    sql: /^SELECT count\(\*\) FROM "\w+"( AS \w+)?$/,
    because: "totals for progress, once a backfill; and what a stretch holds, where it is a whole model",
  },
  { sql: /^SELECT m\.name AS name, count\(\*\) AS n FROM tidemark_parked/, because: "the same, of parked records" },
  { sql: /^DELETE FROM tidemark_silence WHERE ended <=/, because: "once a run, of spans that are as many as runs" },
  { sql: /^SELECT kind, count\(\*\) AS n FROM tidemark_parked GROUP BY kind$/, because: "status" },
  { sql: /^SELECT count\(\*\) FROM tidemark_(outbox|stamp|journal)$/, because: "status" },
  { sql: /FROM dbstat WHERE aggregate = TRUE AND name IN/, because: "size of the sync tables, by their names" },
  { sql: /^SELECT count\(\*\) FROM tidemark_stamp WHERE hlc <= \?$/, because: "a dry run of pruning, on demand" },
  {
    sql: /FROM tidemark_outbox\s+WHERE mask = -2 AND model = \?/,
    because: "once a slice of a fold that misses a target",
  },
  {
    sql: /^SELECT target_model .* FROM tidemark_waiting$/,
    because: "what waits for a target is little and short-lived",
  },
  {
    sql: /^SELECT EXISTS \(SELECT 1 FROM tidemark_(stamp|parked) WHERE model = \?\)$/,
    because: "it ends at the first row",
  },
  {
    sql: /FROM \(SELECT \* FROM tidemark_stamp WHERE seq > \? ORDER BY seq LIMIT \?\) WHERE origin IS NOT \?/,
    because: "of the log in its order, no more than some pages' worth",
  },
  {
    sql: /^SELECT (\w+\."uuid"(, )?)+ FROM (?!.*WHERE).* ORDER BY (\w+\."uuid"(, )?)+$/,
    because: "the identities of a stretch, where the stretch is a whole model that came in one page",
  },
  { sql: /FROM tidemark_column WHERE model = \?$/, because: "a new column of a model gets a number" },
  { sql: /FROM tidemark_extra WHERE model = \?$/, because: "at the start, when the application knows more columns" },
  {
    sql: /FROM tidemark_restore WHERE model = \?/,
    because: "what a refused change has damaged is little and short-lived",
  },
];

/** What is bound to the statement itself. */
const NO_TABLE = /^SCAN (json_each|wanted|j|CONSTANT ROW|\d+-ROW VALUES CLAUSE|pragma_\w+)\b/;

let library: TestLibrary;
afterEach(async () => {
  vi.restoreAllMocks();
  await library.dispose();
});

/** All statements that connections of the kernel prepare from now on. */
function collectStatements(applications: () => readonly unknown[]): () => readonly string[] {
  const seen: { readonly sql: string; readonly connection: unknown }[] = [];
  const prepare = Database.prototype.prepare;
  vi.spyOn(Database.prototype, "prepare").mockImplementation(function (this: Database.Database, sql: string) {
    seen.push({ sql, connection: this });
    return prepare.call(this, sql);
  });
  return () => [
    ...new Set(seen.filter(({ connection }) => !applications().includes(connection)).map(({ sql }) => sql)),
  ];
}

async function everyday(a: TestKernel, b: TestKernel): Promise<void> {
  const labels = a.dataSource.getRepository(Label);
  const items = a.dataSource.getRepository(Item);
  await labels.update({ uuid: "label-1" }, { text: "changed" });
  const machine = await a.dataSource.getRepository(Machine).findOneByOrFail({ uuid: "a" });
  await items.save({ uuid: "item-new", name: "new", machine, parent: null, main: null });
  await items.update({ uuid: "item-2" }, { name: "changed" });
  await library.settle(a, b);

  // Both change the same, and one deletes what the other refers to.
  library.network.cut("a", "b");
  await labels.update({ uuid: "label-2" }, { text: "on a" });
  await labels.delete({ uuid: "label-3" });
  await items.delete({ uuid: "item-4" });
  const other = b.dataSource.getRepository(Label);
  await other.update({ uuid: "label-2" }, { text: "on b" });
  const three = await other.findOneByOrFail({ uuid: "label-3" });
  const owned = await b.dataSource.getRepository(Machine).save({ uuid: "b", name: "b" });
  await b.dataSource.getRepository(Item).save({ uuid: "item-b", name: "b", machine: owned, parent: null, main: three });
  // Not b's to change.
  await b.dataSource.getRepository(Item).update({ uuid: "item-5" }, { name: "taken back" });
  await library.clock.advance(2_000);
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  await library.settle(a, b);

  for (let turn = 0; turn < 3; turn++) {
    for (const { tidemark } of [a, b]) await tidemark.services.get(logMaintenance).acknowledge();
    await library.clock.advance(1_000);
  }
  for (const { tidemark } of [a, b]) {
    await tidemark.services.get(logMaintenance).dryRun();
    await tidemark.services.get(logMaintenance).prune();
  }
}

async function fill({ dataSource }: TestKernel): Promise<void> {
  const machine = await dataSource.getRepository(Machine).save({ uuid: "a", name: "a" });
  const labels = await dataSource
    .getRepository(Label)
    .save([1, 2, 3].map((number) => ({ uuid: `label-${number}`, text: "text" })));
  let parent: Item | null = null;
  for (let number = 1; number <= 5; number++) {
    const item: Item = dataSource.getRepository(Item).create({ uuid: `item-${number}`, name: "item", machine, parent });
    parent = await dataSource.getRepository(Item).save({ ...item, main: labels[0]!, labels });
  }
}

/** The steps of a statement's plan that read a whole table or index, or a whole model's part of it. */
function scansOf(db: Database.Database, sql: string): readonly string[] {
  const named = Object.fromEntries([...sql.matchAll(/:(\w+)/g)].map(([, name]) => [name, null]));
  const positional = [...sql.replace(/'[^']*'/g, "").matchAll(/\?/g)].map(() => null);
  const explain = db.prepare(`EXPLAIN QUERY PLAN ${sql}`);
  const parameters = Object.keys(named).length > 0 ? [named] : positional;
  const steps = (explain.all(...parameters) as { detail: string }[]).map(({ detail }) => detail);
  // To go through all that a model has is a scan too.
  const reads = steps.filter((step) => step.startsWith("SCAN") || step.endsWith("(model=?)"));
  const scans = reads.filter((step) => !NO_TABLE.test(step) && !SMALL.test(step));
  // In the order of the rows or of an index, and no further than the limit.
  const bounded =
    /\bLIMIT\b/.test(sql) && !/\bWHERE\b/.test(sql) && !steps.some((step) => step.includes("TEMP B-TREE FOR ORDER BY"));
  return bounded ? [] : scans;
}

it("finds by an index whatever it reads on its way from one device to the other", async () => {
  library = new TestLibrary(models);
  const kernels: TestKernel[] = [];
  const statements = collectStatements(() =>
    kernels.map(
      ({ dataSource }) => (dataSource.driver as unknown as { databaseConnection: unknown }).databaseConnection,
    ),
  );
  const a = await library.device("a", { before: fill });
  const b = await library.device("b", { dial: ["a"] });
  kernels.push(a, b);
  await library.settle(a, b);
  await everyday(a, b);

  const db = new Database(a.database, { readonly: true });
  const plans = statements()
    .filter((sql) => /^\s*(SELECT|UPDATE|DELETE|INSERT|WITH)\b/i.test(sql))
    .map((sql) => ({ sql: sql.trim(), scans: scansOf(db, sql) }));
  db.close();
  const scanning = plans.filter(({ scans }) => scans.length > 0);
  const faults = scanning.filter(({ sql }) => !MEANT.some((meant) => meant.sql.test(sql)));
  expect(faults.map(({ scans, sql }) => `${scans.join("; ")} in ${sql}`)).toEqual([]);
  // The run has met what it is for, and no exception is there for nothing.
  expect(plans.length).toBeGreaterThan(80);
  const unused = MEANT.filter((meant) => !scanning.some(({ sql }) => meant.sql.test(sql)));
  expect(unused.map(({ because }) => because)).toEqual([]);
});
