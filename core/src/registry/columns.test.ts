import { EntitySchema } from "typeorm";
import { expect, test } from "vitest";
import { columnsOf, entity, openSource, refusal, resolveFrom, shared } from "./data-source.test-support.js";
import { resolveRegistry } from "./resolve.js";

test("every ordinary column is synced: also hidden ones, versions, dates and soft deletion", async () => {
  const note = entity("Note", {
    columns: {
      title: { type: "varchar", default: "untitled" },
      secret: { type: "text", select: false, nullable: true },
      createdAt: { type: "datetime", createDate: true },
      updatedAt: { type: "datetime", updateDate: true },
      deletedAt: { type: "datetime", deleteDate: true, nullable: true },
      version: { type: "integer", version: true },
    },
  });
  const [model] = resolveFrom(await openSource([note]), shared("Note")).models;
  expect(columnsOf(model!)).toEqual(["createdAt!", "deletedAt", "secret", "title!", "updatedAt!", "version!"]);
});

test("a column carries its affinity, nullability and default as the table has them", async () => {
  const schema = `CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE,
    size BIGINT NOT NULL DEFAULT 0, ratio DOUBLE, at DATETIME DEFAULT CURRENT_TIMESTAMP, raw BLOB DEFAULT NULL, memo VARCHAR NOT NULL DEFAULT '')`;
  const columns = {
    size: { type: "bigint" },
    ratio: { type: "double" },
    at: { type: "datetime" },
    raw: { type: "blob" },
    memo: { type: "varchar" },
  } as const;
  const [model] = resolveFrom(await openSource([entity("Note", { columns })], { schema }), shared("Note")).models;
  expect(
    Object.fromEntries(
      model!.columns.map(({ name, affinity, nullable, defaultSql }) => [name, { affinity, nullable, defaultSql }]),
    ),
  ).toEqual({
    size: { affinity: "integer", nullable: false, defaultSql: "0" },
    ratio: { affinity: "real", nullable: true, defaultSql: "NULL" },
    at: { affinity: "numeric", nullable: true, defaultSql: "CURRENT_TIMESTAMP" },
    raw: { affinity: "none", nullable: true, defaultSql: "NULL" },
    memo: { affinity: "text", nullable: false, defaultSql: "''" },
  });
});

test("generated columns and computed properties are not synced", async () => {
  const note = entity("Note", {
    columns: {
      size: { type: "integer" },
      stored: { type: "integer", asExpression: "size * 2", generatedType: "STORED", nullable: true },
      virtual: { type: "integer", asExpression: "size * 3", generatedType: "VIRTUAL", nullable: true },
      counted: { type: "integer", virtualProperty: true, query: () => "SELECT 1" },
    },
  });
  const source = await openSource([note]);
  const declaration = shared("Note", { exclude: ["stored"] });
  expect(columnsOf(resolveFrom(source, declaration).models[0]!)).toEqual(["size!"]);
  expect(refusal(source, shared("Note", { exclude: ["counted"] })).code).toBe(
    "TIDEMARK_REGISTRY_PROPERTY_WITHOUT_COLUMN",
  );
});

test("embedded columns are named by their path, and excluded one by one or all at once", async () => {
  const address = new EntitySchema({
    name: "Address",
    columns: { street: { type: String, nullable: true }, city: { type: String, nullable: true } },
  });
  const person = entity("Person", { embeddeds: { address: { schema: address, prefix: "addr_" } } });
  const source = await openSource([person]);
  const [model] = resolveFrom(source, shared("Person")).models;
  expect(columnsOf(model!)).toEqual(["address.city", "address.street"]);
  expect(model!.columnByName.get("address.city")!.column).toBe("addr_City");
  const excluding = (...exclude: string[]) => columnsOf(resolveFrom(source, shared("Person", { exclude })).models[0]!);
  expect(excluding("address.city")).toEqual(["address.street"]);
  expect(excluding("address")).toEqual([]);
});

test("a renamed column keeps its wire name by its property, a renamed property by wireNames", async () => {
  const note = entity("Note", { columns: { title: { type: "text", name: "caption", nullable: true } } });
  const source = await openSource([note]);
  const [plain] = resolveFrom(source, shared("Note")).models;
  const [renamed] = resolveFrom(source, shared("Note", { wireNames: { title: "heading" } })).models;
  expect(plain!.columnByName.get("title")!.column).toBe("caption");
  expect(renamed!.columnByName.get("heading")!.column).toBe("caption");
  expect(columnsOf(renamed!)).toEqual(["heading"]);
});

test("a column that no property stands for is synced under its own name", async () => {
  const schema = "CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, Legacy TEXT)";
  const source = await openSource([entity("Note")], { schema });
  expect(columnsOf(resolveFrom(source, shared("Note")).models[0]!)).toEqual(["Legacy"]);
  expect(columnsOf(resolveFrom(source, shared("Note", { exclude: ["legacy"] })).models[0]!)).toEqual([]);
});

test("names may differ in case between TypeORM and the table", async () => {
  const schema = "CREATE TABLE NOTE (ID INTEGER PRIMARY KEY, UUID TEXT NOT NULL UNIQUE, Title TEXT)";
  const note = entity("Note", { columns: { title: { type: "text" } } });
  const [model] = resolveFrom(await openSource([note], { schema }), shared("Note")).models;
  expect(model).toMatchObject({ table: "NOTE", identity: { column: "UUID" }, localKey: { column: "ID" } });
  expect(model!.columnByName.get("title")!.column).toBe("Title");
});

test("the name of a model is the entity's, or the one that the options give", async () => {
  const source = await openSource([entity("Note", { tableName: "n" })]);
  expect(resolveFrom(source, shared("Note")).byName.get("Note")!.table).toBe("n");
  expect(resolveFrom(source, shared("Note", { name: "Remark" })).byName.get("Remark")!.table).toBe("n");
});

test("numbers come from the allocator, by wire names, and order the columns", async () => {
  const source = await openSource([entity("Note", { columns: { title: { type: "text" }, body: { type: "text" } } })]);
  const known: Record<string, number> = { Note: 7, "7.title": 3, "7.body": 1 };
  const registry = resolveRegistry({
    ...source,
    declarations: [shared("Note")],
    numbers: { model: (name) => known[name]!, column: (model, name) => known[`${model}.${name}`]! },
  });
  const model = registry.byNumber.get(7)!;
  expect(model.columns.map(({ number, name }) => [number, name])).toEqual([
    [1, "body"],
    [3, "title"],
  ]);
  expect(model.columnByNumber.get(3)).toBe(model.columnByName.get("title"));
});

test("unique keys are all unique sets of columns but the identity, partial and expression indexes aside", async () => {
  const schema = `
    CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, a TEXT UNIQUE, b TEXT, c TEXT, UNIQUE (b, c));
    CREATE UNIQUE INDEX again ON note (c, b);
    CREATE UNIQUE INDEX pair ON note (uuid, b);
    CREATE UNIQUE INDEX partial ON note (b) WHERE c IS NULL;
    CREATE UNIQUE INDEX expression ON note (lower(c));
    CREATE INDEX plain ON note (c)`;
  const [model] = resolveFrom(await openSource([entity("Note")], { schema }), shared("Note")).models;
  expect(model!.uniqueKeys.map((columns) => columns.toSorted().join("+")).sort()).toEqual(["a", "b+c", "b+uuid", "id"]);
});

test("everything is frozen, the maps too", async () => {
  const page = entity("Page", { relations: { folder: { type: "many-to-one", target: "Folder" } } });
  const source = await openSource([entity("Folder"), page]);
  const registry = resolveFrom(source, shared("Folder"), shared("Page"));
  const seen = new Set<unknown>();
  const check = (value: unknown): void => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    expect(Object.isFrozen(value)).toBe(true);
    if (value instanceof Map) {
      expect(() => value.clear()).toThrow(TypeError);
      for (const entry of value.values()) check(entry);
    }
    for (const entry of Object.values(value)) check(entry);
  };
  check(registry);
  expect(seen.size).toBeGreaterThan(20);
});

test("the callback after a backfill is handed through", async () => {
  const source = await openSource([entity("Note")]);
  const afterBackfill = () => {};
  expect(resolveFrom(source, shared("Note", { afterBackfill })).models[0]!.afterBackfill).toBe(afterBackfill);
  expect(resolveFrom(source, shared("Note")).models[0]!.afterBackfill).toBeNull();
});

test("an excluded column must be nullable or have a default", async () => {
  const note = entity("Note", {
    columns: {
      required: { type: "text" },
      optional: { type: "text", nullable: true },
      preset: { type: "text", default: "x" },
    },
  });
  const source = await openSource([note]);
  expect(columnsOf(resolveFrom(source, shared("Note", { exclude: ["optional", "preset"] })).models[0]!)).toEqual([
    "required!",
  ]);
  const error = refusal(source, shared("Note", { exclude: ["required"] }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_EXCLUDED_REQUIRED");
  expect(error.advice).toContain("nullable");
});

test.each(["id", "uuid"])("%s can't be excluded", async (property) => {
  const error = refusal(await openSource([entity("Note")]), shared("Note", { exclude: [property] }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_EXCLUDED_KEY");
});

test.each([
  ["exclude", { exclude: ["titel"] }],
  ["references", { references: { titel: { to: "Note" } } }],
  ["wireNames", { wireNames: { titel: "x" } }],
  ["identity", { identity: "titel" }],
])("an unknown property in %s is refused, with the nearest one", async (option, options) => {
  const source = await openSource([entity("Note", { columns: { title: { type: "text", nullable: true } } })]);
  const error = refusal(source, shared("Note", options));
  expect(error.code).toBe("TIDEMARK_REGISTRY_UNKNOWN_PROPERTY");
  expect(error.message).toMatch(new RegExp(`^"${option}" of Note names the property "titel".*Did you mean "title"\\?`));
});

test("two columns with one wire name are refused, and wireNames is the way out", async () => {
  const note = entity("Note", { columns: { title: { type: "text" }, body: { type: "text" } } });
  const source = await openSource([note]);
  const error = refusal(source, shared("Note", { wireNames: { title: "body" } }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_DOUBLED_COLUMN_NAME");
  expect(error.why).toContain('"title", "body"');
  const [model] = resolveFrom(source, shared("Note", { wireNames: { title: "body", body: "title" } })).models;
  expect(model!.columnByName.get("body")!.column).toBe("title");
});

test.each(["id", "uuid", "local"])("%s has no wire name to change", async (property) => {
  const source = await openSource([entity("Note", { columns: { local: { type: "text", nullable: true } } })]);
  const error = refusal(source, shared("Note", { exclude: ["local"], wireNames: { [property]: "x" } }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_UNSYNCED_PROPERTY");
});

test("a table or a column that the migrations have not made yet is refused", async () => {
  const note = entity("Note", { columns: { title: { type: "text", name: "caption" } } });
  const noTable = refusal(await openSource([note], { schema: "" }), shared("Note"));
  expect(noTable.code).toBe("TIDEMARK_REGISTRY_MISSING_TABLE");
  const schema = "CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE)";
  const noColumn = refusal(await openSource([note], { schema }), shared("Note"));
  expect(noColumn.code).toBe("TIDEMARK_REGISTRY_MISSING_COLUMN");
  expect(noColumn.why).toContain('no column "caption" for the property "title"');
});
