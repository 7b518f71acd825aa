import { Column, Entity, EntitySchema, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectSameTable, query, shared, TestLibrary } from "./library.test-support.js";

let library: TestLibrary;
afterEach(() => library.dispose());

/** Two devices with a table for {@link Plain} of their own making. */
async function pairWith(table: string): Promise<{ a: TestKernel; b: TestKernel }> {
  library = new TestLibrary({ entities: [Plain], declarations: shared(Plain) });
  const options = {
    synchronize: false,
    before: async ({ dataSource }: TestKernel) => {
      await dataSource.query(`CREATE TABLE plain (${table}`);
    },
  };
  const a = await library.device("a", options);
  const b = await library.device("b", { dial: ["a"], ...options });
  await library.settle(a, b);
  return { a, b };
}

const WIDE_COLUMNS = Array.from({ length: 130 }, (_, index) => `c${index}`);

const Wide = new EntitySchema<Record<string, unknown>>({
  name: "Wide",
  columns: {
    id: { type: "integer", primary: true, generated: true },
    uuid: { type: "varchar", unique: true },
    ...Object.fromEntries(WIDE_COLUMNS.map((name) => [name, { type: "integer" as const, nullable: true }])),
  },
});

it("carries edits of any column of a very wide table, each by itself", async () => {
  library = new TestLibrary({ entities: [Wide], declarations: shared(Wide) });
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO wide (uuid) VALUES ('w')");
  await library.settle(a, b);
  library.network.cut("a", "b");
  for (const [index, name] of WIDE_COLUMNS.entries()) {
    const kernel = index % 2 === 0 ? a : b;
    await kernel.dataSource.query(`UPDATE wide SET ${name} = ${index + 1}`);
  }
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  await library.settle(a, b);
  const row = query<Record<string, number>>(b.database, "SELECT * FROM wide")[0]!;
  expect(WIDE_COLUMNS.map((name) => row[name])).toEqual(WIDE_COLUMNS.map((_, index) => index + 1));
  expectSameTable([a, b], "wide");
  await b.dataSource.query(`UPDATE wide SET ${WIDE_COLUMNS.map((name) => `${name} = -${name}`).join(", ")}`);
  await library.settle(a, b);
  expect(query<Record<string, number>>(a.database, "SELECT * FROM wide")[0]).toMatchObject({ c0: -1, c129: -130 });
});

@Entity({ name: "nocase" })
class NoCase {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", collation: "NOCASE", nullable: true, unique: true }) name!: string | null;
}

it("carries a change of case alone in a column that does not tell cases apart", async () => {
  library = new TestLibrary({ entities: [NoCase], declarations: shared(NoCase) });
  const { a, b } = await library.pair();
  await a.dataSource.getRepository(NoCase).save({ uuid: "n", name: "readme" });
  await library.settle(a, b);
  await b.dataSource.getRepository(NoCase).update({ uuid: "n" }, { name: "README" });
  await library.settle(a, b);
  expect(query(a.database, "SELECT name FROM nocase")).toEqual([{ name: "README" }]);
});

@Entity({ name: "odd table [x] größer" })
class Odd {
  @PrimaryGeneratedColumn({ name: "key of it" }) id!: number;
  @Column({ type: "varchar", unique: true, name: "the identity" }) uuid!: string;
  @Column({ type: "varchar", nullable: true, name: "select" }) select!: string | null;
  @Column({ type: "varchar", nullable: true, name: "größe: — ?1 $y @z" }) size!: string | null;
}

it("takes tables and columns with any names that TypeORM takes", async () => {
  library = new TestLibrary({ entities: [Odd], declarations: shared(Odd) });
  const { a, b } = await library.pair();
  await a.dataSource.getRepository(Odd).save({ uuid: "o", select: "1", size: "2" });
  await library.settle(a, b);
  await b.dataSource.getRepository(Odd).update({ uuid: "o" }, { size: "3" });
  await a.dataSource.getRepository(Odd).update({ uuid: "o" }, { select: "4" });
  await library.settle(a, b);
  expect(await a.dataSource.getRepository(Odd).findOneByOrFail({ uuid: "o" })).toMatchObject({
    select: "4",
    size: "3",
  });
  await b.dataSource.getRepository(Odd).delete({ uuid: "o" });
  await library.settle(a, b);
  expect(await a.dataSource.getRepository(Odd).count()).toBe(0);
});

@Entity({ name: "plain" })
class Plain {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "integer" }) n!: number;
  @Column({ type: "integer", nullable: true, insert: false, update: false, select: false }) twice!: number;
  @Column({ type: "blob", nullable: true }) data!: Buffer | null;
}

for (const [what, table] of [
  ["WITHOUT ROWID", "uuid TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL, data BLOB, twice INTEGER) WITHOUT ROWID"],
  ["STRICT", "uuid TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL UNIQUE, data BLOB, twice INTEGER) STRICT"],
  [
    "generated columns",
    "uuid TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL, data BLOB, twice INTEGER AS (n * 2) STORED, half AS (n / 2))",
  ],
  [
    "a CHECK and a DEFAULT",
    "uuid TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL DEFAULT 5 CHECK (n < 1000), data BLOB, twice INTEGER)",
  ],
] as const) {
  it(`takes a table with ${what}`, async () => {
    const { a, b } = await pairWith(table);
    await a.dataSource.query("INSERT INTO plain (uuid, n, data) VALUES ('p', 1, x'00'), ('q', 2, NULL)");
    await library.settle(a, b);
    await b.dataSource.query("UPDATE plain SET n = 7, data = x'ff' WHERE uuid = 'p'");
    await b.dataSource.query("DELETE FROM plain WHERE uuid = 'q'");
    await a.dataSource.query("INSERT OR REPLACE INTO plain (uuid, n) VALUES ('r', 3)");
    await library.settle(a, b);
    expect(expectSameTable([a, b], "plain", { local: [] }).get("p")).toMatchObject({
      n: { quoted: "7" },
      data: { hex: "FF" },
    });
    expect(query(a.database, "SELECT uuid, n FROM plain ORDER BY uuid")).toEqual([
      { uuid: "p", n: 7 },
      { uuid: "r", n: 3 },
    ]);
  });
}

it("lets rows of a STRICT table exchange unique values, or leaves them aside, but never stops", async () => {
  const { a, b } = await pairWith(
    "uuid TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL UNIQUE, data BLOB, twice INTEGER) STRICT",
  );
  await a.dataSource.query("INSERT INTO plain (uuid, n) VALUES ('p', 1), ('q', 2)");
  await library.settle(a, b);
  await a.dataSource.transaction(async (manager) => {
    await manager.query("UPDATE plain SET n = -n");
    await manager.query("UPDATE plain SET n = 3 + n");
  });
  await a.dataSource.query("INSERT INTO plain (uuid, n) VALUES ('r', 9)");
  await library.clock.advance(3_000);
  expect(query(b.database, "SELECT n FROM plain WHERE uuid = 'r'")).toEqual([{ n: 9 }]);
  expect((await b.tidemark.status()).quarantined).toBe(2);
  await a.dataSource.query("UPDATE plain SET n = 5 WHERE uuid = 'p'");
  await library.settle(a, b);
  expectSameTable([a, b], "plain", { local: [] });
});

it("keeps a record aside that another device's CHECK refuses, and takes it in once it fits", async () => {
  library = new TestLibrary({ entities: [Plain], declarations: shared(Plain) });
  const table = (check: string) => ({
    synchronize: false,
    before: async ({ dataSource }: TestKernel) => {
      await dataSource.query(
        `CREATE TABLE plain (uuid TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL ${check}, data BLOB, twice INTEGER)`,
      );
    },
  });
  const a = await library.device("a", table(""));
  const b = await library.device("b", { dial: ["a"], ...table("CHECK (n < 10)") });
  await a.dataSource.query("INSERT INTO plain (uuid, n) VALUES ('p', 5), ('q', 50)");
  await library.clock.advance(3_000);
  expect(query(b.database, "SELECT uuid, n FROM plain")).toEqual([{ uuid: "p", n: 5 }]);
  await a.dataSource.query("UPDATE plain SET n = 11 WHERE uuid = 'p'");
  await library.clock.advance(3_000);
  expect(query(b.database, "SELECT uuid, n FROM plain")).toEqual([{ uuid: "p", n: 5 }]);
  expect((await b.tidemark.status()).quarantined).toBe(2);
  await a.dataSource.query("UPDATE plain SET n = n - 45 + 40 * (uuid = 'p')");
  await library.settle(a, b);
  expect(query(b.database, "SELECT uuid, n FROM plain ORDER BY 1")).toEqual([
    { uuid: "p", n: 6 },
    { uuid: "q", n: 5 },
  ]);
  expect((await b.tidemark.status()).quarantined).toBe(0);
});
