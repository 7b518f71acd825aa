import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { HeardIdentities } from "../replication/told-identities.js";
import { RowWriter } from "../storage/row-writer.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, expectSameTable, onFile, query, shared, TestLibrary } from "./library.test-support.js";

@Entity()
class Shelf {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", unique: true }) label!: string;
  @ManyToOne(() => Shelf, { nullable: true, onDelete: "CASCADE" }) parent!: Shelf | null;
}

@Entity()
class Book {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @Column({ type: "integer" }) pages!: number;
  @Column({ type: "real", nullable: true }) weight!: number | null;
  @Column({ type: "blob", nullable: true }) cover!: Buffer | null;
  @ManyToOne(() => Shelf, { nullable: false, onDelete: "CASCADE" }) shelf!: Shelf;
  @ManyToOne(() => Shelf, { nullable: true, onDelete: "SET NULL" }) display!: Shelf | null;
}

let library: TestLibrary;
/** Rows that went the short way. */
let short: number;

beforeEach(() => {
  library = new TestLibrary({ entities: [Shelf, Book], declarations: shared(Shelf, Book) });
  short = 0;
  const { insertAll, insertColumns } = RowWriter.prototype;
  vi.spyOn(RowWriter.prototype, "insertAll").mockImplementation(function (this: RowWriter, rows) {
    insertAll.call(this, rows);
    short += rows.length;
  });
  vi.spyOn(RowWriter.prototype, "insertColumns").mockImplementation(function (this: RowWriter, columns) {
    insertColumns.call(this, columns);
    short += columns[0]!.length;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await library.dispose();
});

const SHELVES = 40;
const BOOKS = 120;

/** A tree of shelves in which children come before their parents too, and books that stand on them. */
function furnish({ database }: TestKernel): void {
  const statements = ["PRAGMA foreign_keys = OFF; BEGIN"];
  for (let i = 1; i <= SHELVES; i++) {
    const parent = i % 7 === 0 ? "NULL" : String((i * 13) % SHELVES || SHELVES);
    statements.push(`INSERT INTO shelf VALUES (${i}, 's${(i * 17) % 97}', 'label ${i}', ${parent})`);
  }
  for (let i = 1; i <= BOOKS; i++) {
    const values = `'b${(i * 31) % 251}', 'title ${i}', ${i * 3}, ${i % 3 ? i / 4 : "NULL"}, ${i % 5 ? "NULL" : "x'00ff'"}`;
    statements.push(`INSERT INTO book VALUES (${i}, ${values}, ${(i % SHELVES) + 1}, ${i % 2 ? "NULL" : (i % 9) + 1})`);
  }
  onFile(database, `${statements.join(";")};COMMIT`);
}

/** The log with global names, and what is kept aside. */
function logOf({ database }: TestKernel): readonly unknown[] {
  const stamps = query(
    database,
    `SELECT d.name, s.record, s.col, s.hlc, m.origin, s.prior_hlc, s.prior_origin = 0 AS floor FROM tidemark_stamp s
     JOIN tidemark_model d ON d.num = s.model JOIN tidemark_member m ON m.num = s.origin ORDER BY 1, 2, 3`,
  );
  const parked = query(database, "SELECT model, record, kind FROM tidemark_parked ORDER BY 1, 2");
  return [...stamps, ...parked];
}

it("ends in the same rows, stamps and hidden records as the long way, of which small pages make use", async () => {
  const a = await library.device("a", { before: furnish });
  const b = await library.device("b", { dial: ["a"] });
  await library.settle(a, b);
  short = 0;
  // Stamps, a tombstone, a book whose shelf was deleted while it was put there, and values that give way.
  await a.dataSource.query("UPDATE book SET title = 'edited' WHERE id % 4 = 0");
  await a.dataSource.query("INSERT INTO shelf (uuid, label) VALUES ('new', 'new'), ('gone', 'gone')");
  await library.settle(a, b);
  library.network.cut("a", "b");
  await b.dataSource.query(
    "INSERT INTO book (uuid, title, pages, shelfId) VALUES ('lost', 'lost', 1, (SELECT id FROM shelf WHERE uuid = 'gone'))",
  );
  await a.dataSource.query("DELETE FROM shelf WHERE uuid = 'gone'");
  await a.dataSource.query("DELETE FROM book WHERE id = 9");
  library.network.heal("a", "b");
  await library.settle(a, b);

  short = 0;
  const long = await library.device("c", { dial: ["a"], settings: { replication: { pageRecords: 5 } } });
  await library.settle(a, b, long);
  expect(short).toBe(0);
  const quick = await library.device("d", { dial: ["a"], settings: { replication: { pageRecords: 50 } } });
  await library.settle(a, b, long, quick);
  expect(short).toBeGreaterThan(BOOKS);

  for (const table of ["shelf", "book"]) expectSameTable([a, long, quick], table, { local: LOCAL[table]! });
  expectNoViolations(long, quick);
  expect(logOf(quick)).toEqual(logOf(long));
  expect(query(quick.database, "SELECT record FROM tidemark_parked WHERE kind = 'hidden'")).toEqual([
    { record: "lost" },
  ]);
});

it("names targets by the number under which they were told, in every backfill of a session and with every server", async () => {
  const at = vi.spyOn(HeardIdentities.prototype, "at");
  const note = vi.spyOn(HeardIdentities.prototype, "note");
  const a = await library.device("a", { before: furnish });
  const settings = { replication: { pageRecords: 16 } };
  const b = await library.device("b", { dial: ["a"], settings });
  await library.settle(a, b);
  const named = at.mock.calls.length;
  expect(named).toBeGreaterThan(SHELVES);
  // Twice from another server, which has told others before: each session counts by itself.
  for (const name of ["c", "d"]) {
    const joiner = await library.device(name, { dial: ["b"], settings });
    await library.settle(a, b, joiner);
    for (const table of ["shelf", "book"]) expectSameTable([a, joiner], table, { local: LOCAL[table]! });
  }
  expect(at.mock.calls.length).toBe(3 * named);
  // The books, to which nothing refers, are not counted.
  expect(note.mock.calls.reduce((sum, [identities]) => sum + identities.length, 0)).toBeLessThanOrEqual(3 * SHELVES);
});

it("leaves the whole slice to the long way when the schema refuses one of its rows", async () => {
  const a = await library.device("a", { before: furnish });
  // The joiner has a label already that another record of the library wants.
  const b = await library.device("b", {
    dial: ["a"],
    before: ({ dataSource }) => dataSource.query("INSERT INTO shelf (uuid, label) VALUES ('own', 'label 5')"),
  });
  await b.next("roundCompleted", undefined, { past: true });
  await library.clock.advance(1_000);
  expect(query(b.database, "SELECT record FROM tidemark_parked WHERE kind = 'quarantined'")).toHaveLength(1);
  const { n } = query<{ n: number }>(b.database, "SELECT count(*) AS n FROM shelf")[0]!;
  expect(n).toBeGreaterThan(1);
  expectNoViolations(a, b);
});

it("inserts what is referred to first, as the application's own triggers expect", async () => {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO shelf (id, uuid, label) VALUES (900, 'old', 'old')");
  await a.dataSource.query("INSERT INTO book (id, uuid, title, pages, shelfId) VALUES (900, 'old', 'old', 1, 900)");
  await library.settle(a, b);
  onFile(
    b.database,
    `CREATE TABLE board (label TEXT); CREATE TRIGGER put AFTER INSERT ON book BEGIN
       INSERT INTO board SELECT label FROM shelf WHERE id = NEW.shelfId; END`,
  );
  library.network.cut("a", "b");
  // The first record of the page is a book.
  await a.dataSource.query("UPDATE book SET title = 'edited'");
  await library.clock.advance(1_000);
  furnish(a);
  library.network.heal("a", "b");
  await library.settle(a, b);
  expect(short).toBe(SHELVES + BOOKS);
  expect(query(b.database, "SELECT count(*) AS n FROM board")).toEqual([{ n: BOOKS }]);
});

it("takes the short way beside records that wait for their targets, and with those that others wait for", async () => {
  const a = await library.device("a", { before: furnish });
  // Pages that hold half of the tree: parents come after their children, and are waited for.
  const b = await library.device("b", { dial: ["a"], settings: { replication: { pageRecords: 20 } } });
  await library.settle(a, b);
  expect(short).toBeGreaterThan(BOOKS);
  for (const table of ["shelf", "book"]) expectSameTable([a, b], table, { local: LOCAL[table]! });
  const parents = (kernel: TestKernel) =>
    query(
      kernel.database,
      "SELECT s.uuid, p.uuid AS parent FROM shelf s LEFT JOIN shelf p ON p.id = s.parentId ORDER BY 1",
    );
  expect(parents(b)).toEqual(parents(a));
  expect(query(b.database, "SELECT * FROM tidemark_waiting")).toEqual([]);
});

it("keeps to what a transform says of single records, and to text that is not valid", async () => {
  await library.device("a", {
    before: (kernel) => {
      furnish(kernel);
      onFile(kernel.database, "UPDATE book SET title = CAST(x'61ff' AS TEXT) WHERE id = 7");
    },
  });
  const holding = definePlugin({
    manifest: { id: "holding", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap(({ operations }) => ({
        deferred: operations.filter(({ record }) => record === "b31").map(({ id }) => ({ id, reason: "later" })),
      }));
    },
  });
  const b = await library.device("b", { dial: ["a"], plugins: [holding] });
  await b.next("roundCompleted", undefined, { past: true });
  expect(query(b.database, "SELECT record, kind FROM tidemark_parked")).toEqual([{ record: "b31", kind: "deferred" }]);
  expect(query(b.database, "SELECT count(*) AS n FROM book")).toEqual([{ n: BOOKS - 1 }]);
  expect(query(b.database, "SELECT hex(CAST(title AS BLOB)) AS title FROM book WHERE uuid = 'b217'")).toEqual([
    { title: "61FF" },
  ]);
  expect(short).toBeGreaterThan(SHELVES);
});

/** What means something on one device only. */
const LOCAL: Readonly<Record<string, readonly string[]>> = {
  shelf: ["id", "parentId"],
  book: ["id", "shelfId", "displayId"],
};
