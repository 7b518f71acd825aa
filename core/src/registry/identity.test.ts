import { expect, test } from "vitest";
import {
  bareEntity,
  entity,
  LOCAL_ID,
  openSource,
  refusal,
  resolveFrom,
  shared,
  type TestSource,
  UUID,
} from "./data-source.test-support.js";

const NOTE = bareEntity("Note", { columns: { id: LOCAL_ID, uuid: { type: "varchar" } } });

/** A data source whose one table was made by hand. */
function tableOf(columns: string, further = ""): Promise<TestSource> {
  return openSource([NOTE], { schema: `CREATE TABLE note (${columns}); ${further}` });
}

test("a uuid beside an integer key is the identity, and the key is local", async () => {
  const [model] = resolveFrom(await openSource([entity("Note")]), shared("Note")).models;
  expect(model!.identity).toEqual({ kind: "column", column: "uuid" });
  expect(model!.localKey).toEqual({ column: "id", kind: "integer" });
  expect(model!.columns).toEqual([]);
  expect(model!.uniqueKeys).toEqual([["id"]]);
});

test("a uuid primary key is the identity and the local key at once", async () => {
  const note = bareEntity("Note", {
    columns: { id: { type: "uuid", primary: true, generated: "uuid" }, title: { type: "text" } },
  });
  const [model] = resolveFrom(await openSource([note]), shared("Note")).models;
  expect(model!.identity).toEqual({ kind: "column", column: "id" });
  expect(model!.localKey).toEqual({ column: "id", kind: "identity" });
  expect(model!.columns.map(({ name }) => name)).toEqual(["title"]);
  expect(model!.uniqueKeys).toEqual([]);
});

test("a text primary key goes before a column called uuid, which is then synced like any other", async () => {
  const note = bareEntity("Note", { columns: { code: { type: "varchar", primary: true }, uuid: UUID } });
  const [model] = resolveFrom(await openSource([note]), shared("Note")).models;
  expect(model!.identity).toEqual({ kind: "column", column: "code" });
  expect(model!.columns.map(({ name }) => name)).toEqual(["uuid"]);
  expect(model!.uniqueKeys).toEqual([["uuid"]]);
});

test("the options can name another property", async () => {
  const note = entity("Note", { columns: { key: { type: "varchar", name: "note_key", unique: true } } });
  const [model] = resolveFrom(await openSource([note]), shared("Note", { identity: "key" })).models;
  expect(model!.identity).toEqual({ kind: "column", column: "note_key" });
  expect(model!.columns.map(({ name }) => name)).toEqual(["uuid"]);
});

test("a primary key of references alone gives a derived identity, in the key's order", async () => {
  const rating = bareEntity("Rating", {
    columns: {
      stars: { type: "integer" },
      readerId: { type: "integer", primary: true },
      noteId: { type: "integer", primary: true },
    },
    relations: {
      note: { type: "many-to-one", target: "Note", joinColumn: { name: "noteId" } },
      reader: { type: "many-to-one", target: "Reader", joinColumn: { name: "readerId" } },
    },
  });
  const source = await openSource([entity("Note"), entity("Reader"), rating]);
  const model = resolveFrom(source, shared("Note"), shared("Reader"), shared("Rating")).byName.get("Rating")!;
  expect(model.identity).toEqual({
    kind: "derived",
    columns: [model.columnByName.get("reader"), model.columnByName.get("note")],
  });
  expect(model.localKey).toBeNull();
  expect(model.columns.map(({ name }) => name).sort()).toEqual(["note", "reader", "stars"]);
  expect(model.uniqueKeys).toEqual([]);
  expect(model.level).toBe(1);
});

test("a shared primary key, one to one, gives a derived identity", async () => {
  const details = bareEntity("Details", {
    columns: { noteId: { type: "integer", primary: true }, text: { type: "text" } },
    relations: { note: { type: "one-to-one", target: "Note", joinColumn: { name: "noteId" } } },
  });
  const source = await openSource([entity("Note"), details]);
  const model = resolveFrom(source, shared("Note"), shared("Details")).byName.get("Details")!;
  expect(model.identity).toEqual({ kind: "derived", columns: [model.columnByName.get("note")] });
  expect(model.columnByName.get("note")!.reference!.required).toBe(true);
});

test("with such a key the options can still name a uuid, and rows are then found by it", async () => {
  const details = bareEntity("Details", {
    columns: { noteId: { type: "integer", primary: true }, uuid: UUID },
    relations: { note: { type: "one-to-one", target: "Note", joinColumn: { name: "noteId" } } },
  });
  const source = await openSource([entity("Note"), details]);
  const declarations = [shared("Note"), shared("Details", { identity: "uuid" })];
  const model = resolveFrom(source, ...declarations).byName.get("Details")!;
  expect(model.identity).toEqual({ kind: "column", column: "uuid" });
  expect(model.localKey).toEqual({ column: "uuid", kind: "identity" });
  expect(model.columns.map(({ name }) => name)).toEqual(["note"]);
  expect(model.uniqueKeys).toEqual([["noteId"]]);
});

test("a composite key that means something is synced when there is a uuid", async () => {
  const line = bareEntity("Line", {
    columns: { uuid: UUID, position: { type: "integer", primary: true }, language: { type: "varchar", primary: true } },
  });
  const [model] = resolveFrom(await openSource([line]), shared("Line")).models;
  expect(model!.identity).toEqual({ kind: "column", column: "uuid" });
  expect(model!.localKey).toEqual({ column: "uuid", kind: "identity" });
  expect(model!.columns.map(({ name }) => name).sort()).toEqual(["language", "position"]);
});

test.each([
  ["an integer key", "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE", { column: "id", kind: "integer" }],
  ["a text key", "id INTEGER, uuid TEXT PRIMARY KEY", { column: "uuid", kind: "identity" }],
])("a table WITHOUT ROWID with %s is fine", async (_, columns, localKey) => {
  const source = await openSource([NOTE], { schema: `CREATE TABLE note (${columns}) WITHOUT ROWID` });
  const [model] = resolveFrom(source, shared("Note")).models;
  expect(model!.identity).toEqual({ kind: "column", column: "uuid" });
  expect(model!.localKey).toEqual(localKey);
});

test("an integer key without a uuid is refused, with the column to add", async () => {
  const source = await openSource([bareEntity("Note", { columns: { id: LOCAL_ID } })]);
  const error = refusal(source, shared("Note"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_NO_IDENTITY");
  expect(error.advice).toContain('@Generated("uuid") uuid: string');
});

test("a composite key that is not all references is refused, naming the others", async () => {
  const rating = bareEntity("Rating", {
    columns: { year: { type: "integer", primary: true }, noteId: { type: "integer", primary: true } },
    relations: { note: { type: "many-to-one", target: "Note", joinColumn: { name: "noteId" } } },
  });
  const source = await openSource([entity("Note"), rating]);
  const error = refusal(source, shared("Note"), shared("Rating"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_COMPOSITE_KEY");
  expect(error.why).toContain('"year" is not');
});

test("a key of references one of which may be NULL is refused", async () => {
  const rating = bareEntity("Rating", {
    columns: { noteId: { type: "integer", primary: true }, readerId: { type: "integer", primary: true } },
  });
  const schema = `
    CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
    CREATE TABLE rating (noteId INTEGER NOT NULL, readerId INTEGER, PRIMARY KEY (noteId, readerId))`;
  const source = await openSource([entity("Note"), rating], { schema });
  const references = { noteId: { to: "Note" }, readerId: { to: "Note" } };
  const error = refusal(source, shared("Note"), shared("Rating", { references }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_COMPOSITE_KEY");
  expect(error.why).toContain('"readerId" is not');
});

test.each([
  ["that may be NULL", "id INTEGER PRIMARY KEY, uuid TEXT UNIQUE", "", "TIDEMARK_REGISTRY_NULLABLE_IDENTITY"],
  ["without a unique index", "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL", "", "TIDEMARK_REGISTRY_IDENTITY_NOT_UNIQUE"],
  [
    "with an index that is not unique",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL",
    "CREATE INDEX i ON note (uuid)",
    "TIDEMARK_REGISTRY_IDENTITY_NOT_UNIQUE",
  ],
  [
    "with a partial unique index",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL",
    "CREATE UNIQUE INDEX i ON note (uuid) WHERE id > 5",
    "TIDEMARK_REGISTRY_IDENTITY_NOT_UNIQUE",
  ],
  [
    "that is unique only with another column",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, UNIQUE (uuid, id)",
    "",
    "TIDEMARK_REGISTRY_IDENTITY_NOT_UNIQUE",
  ],
  [
    "that is unique only as an expression",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL",
    "CREATE UNIQUE INDEX i ON note (lower(uuid))",
    "TIDEMARK_REGISTRY_IDENTITY_NOT_UNIQUE",
  ],
  [
    "with collation NOCASE",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE COLLATE NOCASE",
    "",
    "TIDEMARK_REGISTRY_IDENTITY_COLLATION",
  ],
  [
    "with collation RTRIM under a binary index",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL COLLATE RTRIM",
    "CREATE UNIQUE INDEX i ON note (uuid COLLATE BINARY)",
    "TIDEMARK_REGISTRY_IDENTITY_COLLATION",
  ],
  [
    "with collation NOCASE under a binary index",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL COLLATE NOCASE",
    "CREATE UNIQUE INDEX i ON note (uuid COLLATE BINARY)",
    "TIDEMARK_REGISTRY_IDENTITY_COLLATION",
  ],
  [
    "with a second unique index that is NOCASE",
    "id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE",
    "CREATE UNIQUE INDEX i ON note (uuid COLLATE NOCASE)",
    "TIDEMARK_REGISTRY_IDENTITY_COLLATION",
  ],
  [
    "declared uuid, which is numeric to SQLite",
    "id INTEGER PRIMARY KEY, uuid UUID NOT NULL UNIQUE",
    "",
    "TIDEMARK_REGISTRY_IDENTITY_NOT_TEXT",
  ],
  [
    "that is an integer",
    "id INTEGER PRIMARY KEY, uuid INTEGER NOT NULL UNIQUE",
    "",
    "TIDEMARK_REGISTRY_IDENTITY_NOT_TEXT",
  ],
  [
    "under a key of type INT, which may be NULL",
    "id INT PRIMARY KEY, uuid TEXT NOT NULL UNIQUE",
    "",
    "TIDEMARK_REGISTRY_NULLABLE_KEY",
  ],
  [
    "under a descending key, which may be NULL",
    "id INTEGER PRIMARY KEY DESC, uuid TEXT NOT NULL UNIQUE",
    "",
    "TIDEMARK_REGISTRY_NULLABLE_KEY",
  ],
])("an identity %s is refused", async (_, columns, further, code) => {
  expect(refusal(await tableOf(columns, further), shared("Note")).code).toBe(code);
});

test("a text primary key that may be NULL, as SQLite allows, is refused", async () => {
  const note = bareEntity("Note", { columns: { id: { type: "varchar", primary: true } } });
  const source = await openSource([note], { schema: "CREATE TABLE note (id TEXT PRIMARY KEY)" });
  expect(refusal(source, shared("Note")).code).toBe("TIDEMARK_REGISTRY_NULLABLE_IDENTITY");
});

test("a unique index made by hand is enough", async () => {
  const source = await tableOf("id INTEGER PRIMARY KEY, uuid TEXT NOT NULL", "CREATE UNIQUE INDEX i ON note (uuid)");
  expect(resolveFrom(source, shared("Note")).models[0]!.identity).toEqual({ kind: "column", column: "uuid" });
});

test("an identity that is a reference is refused", async () => {
  const details = bareEntity("Details", {
    columns: { pageId: { type: "varchar", primary: true } },
    relations: { page: { type: "one-to-one", target: "Page", joinColumn: { name: "pageId" } } },
  });
  const page = bareEntity("Page", { columns: { id: { type: "varchar", primary: true } } });
  const source = await openSource([page, details]);
  expect(refusal(source, shared("Page"), shared("Details", { identity: "pageId" })).code).toBe(
    "TIDEMARK_REGISTRY_IDENTITY_IS_REFERENCE",
  );
  // Left out, it is derived, and the reference stays one.
  const model = resolveFrom(source, shared("Page"), shared("Details")).byName.get("Details")!;
  expect(model.columnByName.get("page")!.reference!.byIdentity).toBe(true);
  expect(model.identity.kind).toBe("derived");
});

test("an identity that can't be found is refused, with the nearest name", async () => {
  const error = refusal(await openSource([entity("Note")]), shared("Note", { identity: "uudi" }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_UNKNOWN_PROPERTY");
  expect(error.advice).toContain('Did you mean "uuid"?');
});
