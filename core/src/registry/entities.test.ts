import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChildEntity, Column, Entity, Generated, ManyToOne, PrimaryGeneratedColumn, TableInheritance } from "typeorm";
import { expect, test } from "vitest";
import {
  bareEntity,
  columnsOf,
  entity,
  LOCAL_ID,
  memoryNumbers,
  openSource,
  refusal,
  resolveFrom,
  shared,
} from "./data-source.test-support.js";
import { resolveRegistry } from "./resolve.js";

@Entity()
class Studio {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
}

@Entity()
@TableInheritance({ column: { type: "varchar", name: "kind" } })
class Medium {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  @Column({ type: "text" }) title!: string;
}
@ChildEntity()
class Film extends Medium {
  @Column({ type: "integer", name: "running_time" }) minutes!: number;
  @ManyToOne(() => Studio) studio!: Studio;
}
@ChildEntity()
class Song extends Medium {
  @Column({ type: "integer" }) bars!: number;
}

const COLUMNS = ["bars", "kind!", "minutes", "studio → Studio.id", "title!"];

test.each([
  ["the root", Medium],
  ["a child", Song],
  ["another child", Film],
])("with single-table inheritance, registering %s means the table", async (_, registered) => {
  const source = await openSource([Song, Film, Medium, Studio]);
  const registry = resolveFrom(source, shared(registered), shared(Studio));
  expect(registry.models.map(({ name, table }) => `${name}: ${table}`)).toEqual(["Medium: medium", "Studio: studio"]);
  expect(columnsOf(registry.byName.get("Medium")!)).toEqual(COLUMNS);
});

test("its options name properties of any of its classes", async () => {
  const source = await openSource([Medium, Film, Song, Studio]);
  const declaration = shared(Song, { exclude: ["studio"], wireNames: { minutes: "length" } });
  expect(columnsOf(resolveFrom(source, declaration).models[0]!)).toEqual(["bars", "kind!", "length", "title!"]);
});

test("registering two classes of one table is refused", async () => {
  const source = await openSource([Medium, Film, Song, Studio]);
  const error = refusal(source, shared(Film), shared(Song), shared(Studio));
  expect(error.code).toBe("TIDEMARK_REGISTRY_DOUBLED_TABLE");
  expect(error.why).toContain('"medium" is registered already, by Film');
});

test("a reference to a child refers to the table", async () => {
  @Entity()
  class Review {
    @PrimaryGeneratedColumn() id!: number;
    @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
    @ManyToOne(() => Film) film!: Film;
  }
  const source = await openSource([Medium, Film, Song, Studio, Review]);
  const registry = resolveFrom(source, shared(Medium), shared(Studio), shared(Review));
  expect(registry.byName.get("Review")!.columnByName.get("film")!.reference!.target).toBe(
    registry.byName.get("Medium"),
  );
  expect(registry.levels.map((level) => level.map(({ name }) => name))).toEqual([["Studio"], ["Medium"], ["Review"]]);
});

test("registering an entity by class and by name at once is refused", async () => {
  const source = await openSource([Studio]);
  expect(refusal(source, shared(Studio), shared("Studio")).code).toBe("TIDEMARK_REGISTRY_DOUBLED_TABLE");
});

test("an entity that the data source does not have is refused, with the nearest one", async () => {
  const source = await openSource([Studio]);
  const byName = refusal(source, shared("Studoi"));
  expect(byName.code).toBe("TIDEMARK_REGISTRY_UNKNOWN_ENTITY");
  expect(byName.advice).toContain('Did you mean "Studio"?');
  expect(refusal(source, shared(Film)).code).toBe("TIDEMARK_REGISTRY_UNKNOWN_ENTITY");
  // TypeORM would take the table's name, which differs between databases.
  const renamed = await openSource([entity("Note", { tableName: "notes" })]);
  expect(refusal(renamed, shared("notes")).code).toBe("TIDEMARK_REGISTRY_UNKNOWN_ENTITY");
});

test("a name that two entities share is refused", async () => {
  const [a, b] = ["one", "two"].map((tableName) => {
    @Entity({ name: tableName })
    class Twin {
      @PrimaryGeneratedColumn() id!: number;
      @Column({ type: "varchar", unique: true }) uuid!: string;
    }
    return Twin;
  });
  const source = await openSource([a!, b!]);
  expect(refusal(source, shared("Twin")).code).toBe("TIDEMARK_REGISTRY_AMBIGUOUS_ENTITY");
  expect(resolveFrom(source, shared(a!)).byName.get("Twin")!.table).toBe("one");
  expect(refusal(source, shared(a!), shared(b!)).code).toBe("TIDEMARK_REGISTRY_DOUBLED_NAME");
  expect(resolveFrom(source, shared(a!), shared(b!, { name: "Other" })).models).toHaveLength(2);
});

test("a view and a virtual table are refused", async () => {
  const view = bareEntity("Titles", {
    type: "view",
    expression: "SELECT id, uuid FROM note",
    columns: { id: LOCAL_ID },
  });
  const withView = await openSource([entity("Note"), view]);
  expect(refusal(withView, shared("Titles")).code).toBe("TIDEMARK_REGISTRY_NOT_A_TABLE");
  const index = bareEntity("Search", { columns: { uuid: { type: "varchar", primary: true } } });
  const withIndex = await openSource([index], { schema: "CREATE VIRTUAL TABLE search USING fts5(uuid)" });
  expect(refusal(withIndex, shared("Search")).message).toMatch(/a virtual table/);
  // A view under an entity that does not know that it is one.
  const note = entity("Note");
  const behind = await openSource([note], { schema: "CREATE VIEW note AS SELECT 1 AS id, 'x' AS uuid" });
  expect(refusal(behind, shared("Note")).message).toMatch(/a view table/);
});

test("a table in an attached database is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-"));
  try {
    const source = await openSource([entity("Note", { database: join(folder, "other.db") })]);
    const error = refusal(source, shared("Note"));
    expect(error.code).toBe("TIDEMARK_REGISTRY_OTHER_DATABASE");
    expect(error.why).toContain("other.db");
    await source.dataSource.destroy();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a table called like Tidemark's own is refused", async () => {
  const source = await openSource([entity("Note", { tableName: "tidemark_state" })]);
  expect(refusal(source, shared("Note")).code).toBe("TIDEMARK_REGISTRY_RESERVED_TABLE");
});

test("a data source that is not open is refused", async () => {
  const { dataSource, db } = await openSource([Studio]);
  await dataSource.destroy();
  const resolve = () => resolveRegistry({ dataSource, db, declarations: [], numbers: memoryNumbers() });
  expect(resolve).toThrowError(/Await dataSource.initialize\(\) first/);
});

test("a registry without entities has no models and no levels", async () => {
  expect(resolveFrom(await openSource([]))).toMatchObject({ models: [], levels: [], deviceModel: null });
});

test("models are ordered and numbered by name, whatever the order of registration", async () => {
  const source = await openSource([entity("B"), entity("A"), entity("C")]);
  const numbersOf = (...names: string[]) =>
    resolveFrom(source, ...names.map((name) => shared(name))).models.map(({ name, number }) => [number, name]);
  expect(numbersOf("C", "A", "B")).toEqual([
    [1, "A"],
    [2, "B"],
    [3, "C"],
  ]);
  expect(numbersOf("B", "C", "A")).toEqual(numbersOf("C", "A", "B"));
});

test("a property that means different columns in two entities of one table must be told apart by the columns' names", async () => {
  const [box, shoe] = ["box", "shoe"].map((name) =>
    entity(name, { tableName: "thing", columns: { size: { type: "integer", name: `${name}_size` } } }),
  );
  const schema =
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, box_size INTEGER, shoe_size INTEGER)";
  const source = await openSource([box!, shoe!], { schema });
  expect(refusal(source, shared("box")).code).toBe("TIDEMARK_REGISTRY_DOUBLED_COLUMN_NAME");
  expect(refusal(source, shared("box", { wireNames: { size: "width" } })).code).toBe(
    "TIDEMARK_REGISTRY_AMBIGUOUS_PROPERTY",
  );
  const model = resolveFrom(source, shared("box", { wireNames: { shoe_size: "fit" } })).models[0]!;
  expect(model.columns.map(({ name, column }) => `${name}: ${column}`).sort()).toEqual([
    "fit: shoe_size",
    "size: box_size",
  ]);
});
