import { expect, test } from "vitest";
import {
  bareEntity,
  columnsOf,
  entity,
  openSource,
  refusal,
  resolveFrom,
  shared,
  UUID,
} from "./data-source.test-support.js";

const FOLDER = entity("Folder", {
  columns: { code: { type: "varchar", nullable: true, unique: true }, title: { type: "text", nullable: true } },
});

test("a many-to-one relation is a reference to the target's key, named by the relation", async () => {
  const page = entity("Page", { relations: { folder: { type: "many-to-one", target: "Folder", nullable: false } } });
  const registry = resolveFrom(await openSource([FOLDER, page]), shared("Folder"), shared("Page"));
  const folder = registry.byName.get("Folder")!;
  const column = registry.byName.get("Page")!.columnByName.get("folder")!;
  expect(column.column).toBe("folderId");
  expect(column.reference).toEqual({ target: folder, targetColumn: "id", byIdentity: false, required: true });
  expect(folder.referencedBy).toEqual([{ model: registry.byName.get("Page"), column }]);
});

test("a relation keeps its name when its column has a property of its own", async () => {
  const page = entity("Page", {
    columns: { folderId: { type: "integer", nullable: true } },
    relations: { folder: { type: "many-to-one", target: "Folder", joinColumn: { name: "folderId" } } },
  });
  const registry = resolveFrom(await openSource([FOLDER, page]), shared("Folder"), shared("Page"));
  expect(columnsOf(registry.byName.get("Page")!)).toEqual(["folder → Folder.id"]);
});

test("the owning side of one-to-one is a reference, its column unique; the other side has none", async () => {
  const cover = entity("Cover", {
    relations: { folder: { type: "one-to-one", target: "Folder", joinColumn: true, inverseSide: "cover" } },
  });
  const folder = entity("Folder", {
    relations: { cover: { type: "one-to-one", target: "Cover", inverseSide: "folder" } },
  });
  const registry = resolveFrom(await openSource([folder, cover]), shared("Folder"), shared("Cover"));
  expect(columnsOf(registry.byName.get("Cover")!)).toEqual(["folder → Folder.id"]);
  expect(registry.byName.get("Cover")!.uniqueKeys).toEqual([["id"], ["folderId"]]);
  expect(columnsOf(registry.byName.get("Folder")!)).toEqual([]);
});

test("a relation may refer to another unique column than the key", async () => {
  const relation = (referencedColumnName: string) => ({
    type: "many-to-one" as const,
    target: "Folder",
    joinColumn: { name: `by_${referencedColumnName}`, referencedColumnName },
  });
  const page = entity("Page", { relations: { byCode: relation("code"), byUuid: relation("uuid") } });
  const model = resolveFrom(await openSource([FOLDER, page]), shared("Folder"), shared("Page")).byName.get("Page")!;
  expect(columnsOf(model)).toEqual(["byCode → Folder.code", "byUuid → Folder.uuid"]);
  expect(model.columnByName.get("byCode")!.reference!.byIdentity).toBe(false);
  expect(model.columnByName.get("byUuid")!.reference!.byIdentity).toBe(true);
});

test("a relation without a foreign key in the database is a reference all the same", async () => {
  const page = entity("Page", {
    relations: { folder: { type: "many-to-one", target: "Folder", createForeignKeyConstraints: false } },
  });
  const model = resolveFrom(await openSource([FOLDER, page]), shared("Folder"), shared("Page")).byName.get("Page")!;
  expect(columnsOf(model)).toEqual(["folder → Folder.id"]);
});

test("a reference can be declared by hand, by class, name, schema or arrow function", async () => {
  const page = entity("Page", { columns: { folderId: { type: "integer" } } });
  const source = await openSource([FOLDER, page]);
  for (const to of ["Folder", FOLDER, () => "Folder", () => FOLDER]) {
    const declarations = [shared("Folder"), shared("Page", { references: { folderId: { to } } })];
    const model = resolveFrom(source, ...declarations).byName.get("Page")!;
    expect(columnsOf(model)).toEqual(["folderId! → Folder.id"]);
    expect(model.level).toBe(1);
  }
});

test("a reference by hand to a model with a uuid primary key is by identity", async () => {
  const topic = bareEntity("Topic", { columns: { id: { type: "varchar", primary: true } } });
  const page = entity("Page", { columns: { topicId: { type: "varchar", nullable: true } } });
  const declarations = [shared("Topic"), shared("Page", { references: { topicId: { to: "Topic" } } })];
  const model = resolveFrom(await openSource([topic, page]), ...declarations).byName.get("Page")!;
  expect(model.columnByName.get("topicId")!.reference).toMatchObject({ byIdentity: true, required: false });
});

test("saying by hand what a relation says changes nothing", async () => {
  const page = entity("Page", {
    relations: { folder: { type: "many-to-one", target: "Folder", joinColumn: { referencedColumnName: "code" } } },
  });
  const declarations = [shared("Folder"), shared("Page", { references: { folder: { to: "Folder" } } })];
  const model = resolveFrom(await openSource([FOLDER, page]), ...declarations).byName.get("Page")!;
  expect(columnsOf(model)).toEqual(["folder → Folder.code"]);
});

test("cycles and self-references are legal and share a level", async () => {
  const person = entity("Person", {
    relations: {
      home: { type: "many-to-one", target: "House" },
      friend: { type: "many-to-one", target: "Person" },
    },
  });
  const house = entity("House", {
    relations: { owner: { type: "many-to-one", target: "Person" }, town: { type: "many-to-one", target: "Town" } },
  });
  const source = await openSource([person, house, entity("Town")]);
  const registry = resolveFrom(source, shared("Person"), shared("House"), shared("Town"));
  expect(registry.levels.map((level) => level.map(({ name }) => name))).toEqual([["Town"], ["House", "Person"]]);
  const person_ = registry.byName.get("Person")!;
  expect(person_.referencedBy.map(({ model, column }) => `${model.name}.${column.name}`).sort()).toEqual([
    "House.owner",
    "Person.friend",
  ]);
});

test("a relation to an entity that is not registered is refused, with both ways out", async () => {
  const page = entity("Page", { relations: { folder: { type: "many-to-one", target: "Folder" } } });
  const source = await openSource([FOLDER, page]);
  const error = refusal(source, shared("Page"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_TARGET_NOT_REGISTERED");
  expect(error.advice).toBe('Register Folder, or keep the property on this device: exclude: ["folder"]');
  expect(resolveFrom(source, shared("Page", { exclude: ["folder"] })).models[0]!.columns).toEqual([]);
  expect(resolveFrom(source, shared("Page", { exclude: ["folderId"] })).models[0]!.columns).toEqual([]);
});

test("a reference by hand to an unknown entity is refused, with the nearest name", async () => {
  const page = entity("Page", { columns: { folderId: { type: "integer" } } });
  const source = await openSource([FOLDER, page]);
  const error = refusal(source, shared("Folder"), shared("Page", { references: { folderId: { to: "Fodler" } } }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_UNKNOWN_ENTITY");
  expect(error.message).toMatch(/^"references.folderId" of Page names the entity Fodler.*Did you mean "Folder"\?/);
  expect(refusal(source, shared("Page", { references: { folderId: { to: "Folder" } } })).code).toBe(
    "TIDEMARK_REGISTRY_TARGET_NOT_REGISTERED",
  );
  const missing = shared("Page", { references: { folderId: { to: undefined as unknown as string } } });
  expect(refusal(source, shared("Folder"), missing).code).toBe("TIDEMARK_REGISTRY_MISSING_ENTITY");
});

test("a relation that joins by several columns is refused, unless it is excluded", async () => {
  const place = bareEntity("Place", {
    columns: { uuid: UUID, x: { type: "integer", primary: true }, y: { type: "integer", primary: true } },
  });
  const page = entity("Page", { relations: { place: { type: "many-to-one", target: "Place" } } });
  const source = await openSource([place, page]);
  const error = refusal(source, shared("Place"), shared("Page"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_COMPOSITE_REFERENCE");
  expect(error.why).toContain('"placeX", "placeY"');
  const model = resolveFrom(source, shared("Place"), shared("Page", { exclude: ["place"] })).byName.get("Page")!;
  expect(model.columns).toEqual([]);
});

test("a reference by hand to a table with a composite key is refused", async () => {
  const place = bareEntity("Place", {
    columns: { uuid: UUID, x: { type: "integer", primary: true }, y: { type: "integer", primary: true } },
  });
  const page = entity("Page", { columns: { placeId: { type: "integer" } } });
  const source = await openSource([place, page]);
  const error = refusal(source, shared("Place"), shared("Page", { references: { placeId: { to: "Place" } } }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_COMPOSITE_TARGET");
});

test("a reference to a column that is not unique, or stays on the device, is refused", async () => {
  const page = (referencedColumnName: string) =>
    entity("Page", {
      relations: {
        folder: {
          type: "many-to-one",
          target: "Folder",
          createForeignKeyConstraints: false,
          joinColumn: { name: "ref", referencedColumnName },
        },
      },
    });
  const byTitle = refusal(await openSource([FOLDER, page("title")]), shared("Folder"), shared("Page"));
  expect(byTitle.message).toMatch(/refers to "title" of Folder, which is not unique by itself/);
  const local = shared("Folder", { exclude: ["code"] });
  const byCode = refusal(await openSource([FOLDER, page("code")]), local, shared("Page"));
  expect(byCode.message).toMatch(/refers to "code" of Folder, which is excluded/);
  expect([byTitle.code, byCode.code]).toEqual(Array(2).fill("TIDEMARK_REGISTRY_REFERENCE_TARGET"));
});

test("a reference to a model with a derived identity is refused, and a uuid is the way out", async () => {
  const details = bareEntity("Details", {
    columns: { folderId: { type: "integer", primary: true }, uuid: UUID },
    relations: { folder: { type: "one-to-one", target: "Folder", joinColumn: { name: "folderId" } } },
  });
  const line = entity("Line", { relations: { details: { type: "many-to-one", target: "Details", nullable: false } } });
  const source = await openSource([FOLDER, details, line]);
  const error = refusal(source, shared("Folder"), shared("Details"), shared("Line"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_TARGET_DERIVED");
  expect(error.advice).toContain('{ identity: "uuid" }');
  const declarations = [shared("Folder"), shared("Details", { identity: "uuid" }), shared("Line")];
  const model = resolveFrom(source, ...declarations).byName.get("Line")!;
  expect(columnsOf(model)).toEqual(["details! → Details.folderId"]);
});

test("two relations through one column that disagree are refused, until one is declared by hand", async () => {
  const relation = (target: string) => ({
    type: "many-to-one" as const,
    target,
    joinColumn: { name: "ownerId" },
    createForeignKeyConstraints: false,
  });
  const page = entity("Page", {
    columns: { ownerId: { type: "integer", nullable: true } },
    relations: { folder: relation("Folder"), shelf: relation("Shelf") },
  });
  const source = await openSource([FOLDER, entity("Shelf"), page]);
  const error = refusal(source, shared("Folder"), shared("Shelf"), shared("Page"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_REFERENCE_CONFLICT");
  expect(error.why).toContain('"folder" to "id" of Folder; "shelf" to "id" of Shelf');
  const byHand = shared("Page", { references: { ownerId: { to: "Shelf" } } });
  const model = resolveFrom(source, shared("Folder"), shared("Shelf"), byHand).byName.get("Page")!;
  // Neither relation can name the column, so its own property does.
  expect(columnsOf(model)).toEqual(["ownerId → Shelf.id"]);
});

test("a reference by hand that contradicts the relation, or another one by hand, is refused", async () => {
  const page = entity("Page", {
    columns: { folderId: { type: "integer", nullable: true } },
    relations: { folder: { type: "many-to-one", target: "Folder", joinColumn: { name: "folderId" } } },
  });
  const plain = entity("Page", { columns: { ref: { type: "integer", nullable: true, name: "ref_id" } } });
  const declarations = [shared("Folder"), shared("Shelf")];
  const first = shared("Page", { references: { folder: { to: "Shelf" } } });
  expect(refusal(await openSource([FOLDER, entity("Shelf"), page]), ...declarations, first).code).toBe(
    "TIDEMARK_REGISTRY_REFERENCE_CONFLICT",
  );
  const second = shared("Page", { references: { ref: { to: "Shelf" }, ref_id: { to: "Folder" } } });
  expect(refusal(await openSource([FOLDER, entity("Shelf"), plain]), ...declarations, second).code).toBe(
    "TIDEMARK_REGISTRY_REFERENCE_CONFLICT",
  );
});

test("a foreign key of the database that nobody declares is refused: it would send local keys", async () => {
  const page = entity("Page", { columns: { folderId: { type: "integer", nullable: true } } });
  const schema = `
    CREATE TABLE folder (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, code TEXT UNIQUE, title TEXT);
    CREATE TABLE page (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, folderId INTEGER REFERENCES FOLDER)`;
  const source = await openSource([FOLDER, page, entity("Shelf", { tableName: "folder2" })], {
    schema: `${schema}; CREATE TABLE folder2 (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE)`,
  });
  const error = refusal(source, shared("Folder"), shared("Page"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_UNDECLARED_REFERENCE");
  expect(error.advice).toContain('references: { "folderId": { to: … } }');

  const declared = resolveFrom(
    source,
    shared("Folder"),
    shared("Page", { references: { folderId: { to: "Folder" } } }),
  );
  expect(columnsOf(declared.byName.get("Page")!)).toEqual(["folderId → Folder.id"]);
  const local = resolveFrom(source, shared("Folder"), shared("Page", { exclude: ["folderId"] }));
  expect(columnsOf(local.byName.get("Page")!)).toEqual([]);

  const elsewhere = shared("Page", { references: { folderId: { to: "Shelf" } } });
  expect(refusal(source, shared("Folder"), shared("Shelf"), elsewhere).code).toBe(
    "TIDEMARK_REGISTRY_REFERENCE_ELSEWHERE",
  );
});

test("of a foreign key over several columns one must be a reference to its table", async () => {
  const page = entity("Page", {
    columns: { tenant: { type: "varchar" }, folderId: { type: "integer" } },
    relations: {
      folder: {
        type: "many-to-one",
        target: "Folder",
        joinColumn: { name: "folderId" },
        createForeignKeyConstraints: false,
      },
    },
  });
  const schema = `
    CREATE TABLE folder (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, code TEXT UNIQUE, title TEXT, UNIQUE (code, id));
    CREATE TABLE page (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, folderId INTEGER NOT NULL,
      FOREIGN KEY (tenant, folderId) REFERENCES folder (code, id))`;
  const source = await openSource([FOLDER, page], { schema });
  const model = resolveFrom(source, shared("Folder"), shared("Page")).byName.get("Page")!;
  expect(columnsOf(model)).toEqual(["folder! → Folder.id", "tenant!"]);
});

test("a reference by hand to an excluded or a generated column is refused", async () => {
  const page = entity("Page", {
    columns: {
      folderId: { type: "integer", nullable: true },
      doubled: { type: "integer", asExpression: "folderId * 2", generatedType: "STORED", nullable: true },
    },
  });
  const source = await openSource([FOLDER, page]);
  const excluded = shared("Page", { exclude: ["folderId"], references: { folderId: { to: "Folder" } } });
  const generated = shared("Page", { references: { doubled: { to: "Folder" } } });
  expect(refusal(source, shared("Folder"), excluded).code).toBe("TIDEMARK_REGISTRY_UNSYNCED_PROPERTY");
  expect(refusal(source, shared("Folder"), generated).code).toBe("TIDEMARK_REGISTRY_UNSYNCED_PROPERTY");
});

test("a key that is neither text nor an integer is no local key", async () => {
  const day = bareEntity("Day", { columns: { date: { type: "datetime", primary: true }, uuid: UUID } });
  const model = resolveFrom(await openSource([day]), shared("Day")).models[0]!;
  expect(model.localKey).toEqual({ column: "uuid", kind: "identity" });
  expect(columnsOf(model)).toEqual(["date!"]);
});
