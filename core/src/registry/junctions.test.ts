import {
  ChildEntity,
  Column,
  Entity,
  Generated,
  JoinTable,
  ManyToMany,
  PrimaryGeneratedColumn,
  TableInheritance,
} from "typeorm";
import { expect, test } from "vitest";
import { bareEntity, columnsOf, entity, openSource, refusal, resolveFrom, shared } from "./data-source.test-support.js";

const TAG = entity("Tag", { relations: { notes: { type: "many-to-many", target: "Note", inverseSide: "tags" } } });
const NOTE = entity("Note", {
  relations: { tags: { type: "many-to-many", target: "Tag", inverseSide: "notes", joinTable: { name: "note_tag" } } },
});

test("a junction table comes along when both sides are registered", async () => {
  const registry = resolveFrom(await openSource([NOTE, TAG]), shared("Note"), shared("Tag"));
  const junction = registry.byName.get("Note.tags")!;
  expect(registry.models).toHaveLength(3);
  expect(junction).toMatchObject({ table: "note_tag", ownership: { kind: "shared" }, localKey: null, level: 1 });
  expect(columnsOf(junction)).toEqual(["inverse! → Tag.id", "owner! → Note.id"]);
  expect(junction.identity).toEqual({
    kind: "derived",
    columns: [junction.columnByName.get("owner"), junction.columnByName.get("inverse")],
  });
  expect(registry.byName.get("Tag")!.referencedBy).toEqual([
    { model: junction, column: junction.columnByName.get("inverse") },
  ]);
});

test("its name follows the owning model's name and wireNames", async () => {
  const source = await openSource([NOTE, TAG]);
  const note = shared("Note", { name: "Remark", wireNames: { tags: "labels" } });
  expect([...resolveFrom(source, note, shared("Tag")).byName.keys()]).toEqual(["Remark", "Remark.labels", "Tag"]);
  const inverse = shared("Tag", { wireNames: { notes: "remarks" } });
  expect(refusal(source, shared("Note"), inverse).code).toBe("TIDEMARK_REGISTRY_PROPERTY_WITHOUT_COLUMN");
});

test.each([
  ["the owning side", { exclude: ["tags"] }, {}],
  ["the other side", {}, { exclude: ["notes"] }],
])("it stays on the device when %s excludes the relation", async (_, note, tag) => {
  const registry = resolveFrom(await openSource([NOTE, TAG]), shared("Note", note), shared("Tag", tag));
  expect([...registry.byName.keys()]).toEqual(["Note", "Tag"]);
});

test.each([
  ["Note", "tags", "Tag"],
  ["Tag", "notes", "Note"],
])("with only %s registered, its relation must be excluded", async (registered, property, target) => {
  const source = await openSource([NOTE, TAG]);
  const error = refusal(source, shared(registered));
  expect(error.code).toBe("TIDEMARK_REGISTRY_TARGET_NOT_REGISTERED");
  expect(error.advice).toBe(`Register ${target}, or keep the property on this device: exclude: ["${property}"]`);
  expect(resolveFrom(source, shared(registered, { exclude: [property] })).models).toHaveLength(1);
});

test("a relation of a model with itself works, with and without an inverse side", async () => {
  const person = entity("Person", {
    relations: { friends: { type: "many-to-many", target: "Person", joinTable: true } },
  });
  const junction = resolveFrom(await openSource([person]), shared("Person")).byName.get("Person.friends")!;
  expect(columnsOf(junction)).toEqual(["inverse! → Person.id", "owner! → Person.id"]);
  expect(junction.columns.map(({ column }) => column)).toEqual(["personId_1", "personId_2"]);
});

test("sides with a uuid primary key are referred to by identity", async () => {
  const tag = bareEntity("Tag", { columns: { id: { type: "varchar", primary: true } } });
  const note = entity("Note", { relations: { tags: { type: "many-to-many", target: "Tag", joinTable: true } } });
  const junction = resolveFrom(await openSource([note, tag]), shared("Note"), shared("Tag")).byName.get("Note.tags")!;
  expect(junction.columnByName.get("inverse")!.reference!.byIdentity).toBe(true);
  expect(junction.columnByName.get("owner")!.reference!.byIdentity).toBe(false);
});

test("a side with a composite key is refused", async () => {
  const tag = entity("Tag", {
    columns: { id: { type: "integer", primary: true }, language: { type: "varchar", primary: true } },
  });
  const note = entity("Note", { relations: { tags: { type: "many-to-many", target: "Tag", joinTable: true } } });
  const error = refusal(await openSource([note, tag]), shared("Note"), shared("Tag"));
  expect(error.code).toBe("TIDEMARK_REGISTRY_COMPOSITE_REFERENCE");
});

test("a junction table can be registered itself, to be owned by a device", async () => {
  const source = await openSource([
    entity("Device"),
    NOTE,
    entity("Tag", {
      relations: {
        device: { type: "many-to-one", target: "Device" },
        notes: { type: "many-to-many", target: "Note", inverseSide: "tags" },
      },
    }),
  ]);
  const registry = resolveFrom(source, shared("Device", { isDevice: true }), shared("Note"), shared("Tag"), {
    entity: "note_tag",
    ownership: { kind: "device", owner: "inverse.device" },
    name: "tagging",
  });
  const junction = registry.byName.get("tagging")!;
  expect([...registry.byName.keys()]).toEqual(["Device", "Note", "Tag", "tagging"]);
  expect(junction.ownership).toEqual({
    kind: "device",
    path: [junction.columnByName.get("inverse"), registry.byName.get("Tag")!.columnByName.get("device")],
  });
});

test("an entity that is mapped to the junction table stands for it, with its names and further columns", async () => {
  const noteTag = bareEntity("NoteTag", {
    tableName: "note_tag",
    columns: {
      noteId: { type: "integer", primary: true },
      tagId: { type: "integer", primary: true },
      since: { type: "datetime", nullable: true },
    },
    relations: { note: { type: "many-to-one", target: "Note", joinColumn: { name: "noteId" } } },
  });
  const schema = `
    CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
    CREATE TABLE tag (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE);
    CREATE TABLE note_tag (noteId INTEGER NOT NULL, tagId INTEGER NOT NULL, since DATETIME, PRIMARY KEY (noteId, tagId))`;
  const source = await openSource([NOTE, TAG, noteTag], { schema });
  const registry = resolveFrom(source, shared("Note"), shared("Tag"), shared("NoteTag"));
  expect([...registry.byName.keys()]).toEqual(["Note", "NoteTag", "Tag"]);
  // The side that the entity does not declare is known from the many-to-many relation.
  expect(columnsOf(registry.byName.get("NoteTag")!)).toEqual(["note! → Note.id", "since", "tagId! → Tag.id"]);
  expect(registry.byName.get("NoteTag")!.identity.kind).toBe("derived");
});

test("a relation of one class of single-table inheritance is named by the table's model", async () => {
  @Entity()
  class Label {
    @PrimaryGeneratedColumn() id!: number;
    @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  }
  @Entity()
  @TableInheritance({ column: { type: "varchar", name: "kind" } })
  class Medium {
    @PrimaryGeneratedColumn() id!: number;
    @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  }
  @ChildEntity()
  class Film extends Medium {
    @ManyToMany(() => Label) @JoinTable() labels!: Label[];
  }
  const registry = resolveFrom(await openSource([Label, Medium, Film]), shared(Film), shared(Label));
  expect([...registry.byName.keys()]).toEqual(["Label", "Medium", "Medium.labels"]);
});
