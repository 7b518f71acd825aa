import type { EntityOptions } from "@tidemark/plugin-api";
import { ChildEntity, Column, Entity, Generated, PrimaryGeneratedColumn, TableInheritance } from "typeorm";
import { expect, test } from "vitest";
import { bareEntity, openSource, resolveFrom, SHARED } from "./data-source.test-support.js";
import { EntityDeclarations } from "./declarations.js";
import { declarationsOf, Synced } from "./synced.js";

class Note {}

@Entity()
@Synced({ ownership: { kind: "shared" }, name: "remark" })
class Remark {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
}

@Entity()
@TableInheritance({ column: { type: "varchar", name: "kind" } })
@Synced({ ownership: { kind: "shared" } })
class Medium {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
}
@ChildEntity()
class Film extends Medium {
  @Column({ type: "integer", nullable: true }) minutes!: number | null;
}

function codeOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return (error as { readonly code?: unknown }).code;
  }
  return undefined;
}

test("declarations come out in the order of registration, with their options", () => {
  const declarations = new EntityDeclarations();
  declarations.register(Note, { ...SHARED, exclude: ["draft"] });
  declarations.register("Tag", SHARED);
  expect(declarations.freeze()).toEqual([
    { entity: Note, ownership: { kind: "shared" }, exclude: ["draft"] },
    { entity: "Tag", ownership: { kind: "shared" } },
  ]);
});

test("changing the options after the registration has no effect", () => {
  const exclude = ["draft"];
  const references: Record<string, { to: string }> = { parentId: { to: "Note" } };
  const declarations = new EntityDeclarations();
  declarations.register(Note, { ...SHARED, exclude, references });
  exclude.push("title");
  references.parentId!.to = "Tag";
  const [declaration] = declarations.freeze();
  expect(declaration).toMatchObject({ exclude: ["draft"], references: { parentId: { to: "Note" } } });
  expect(Object.isFrozen(declaration) && Object.isFrozen(declaration!.exclude)).toBe(true);
});

test("a registration after the freeze is refused, with the reason", () => {
  const declarations = new EntityDeclarations();
  declarations.freeze();
  expect(() => declarations.register(Note, SHARED, "the plugin tags")).toThrowError(
    /Note can't be registered any more: the entities are read once.*Let the plugin tags register it earlier/,
  );
  expect(codeOf(() => declarations.register(Note, SHARED))).toBe("TIDEMARK_REGISTRY_FROZEN");
});

test("registering an entity twice is refused, naming both places", () => {
  const declarations = new EntityDeclarations();
  declarations.register(Note, SHARED);
  expect(() => declarations.register(Note, SHARED, "the plugin tags")).toThrowError(
    /Note is registered twice: by the application and by the plugin tags/,
  );
});

test("a decorated entity is found among those of the data source", async () => {
  const { dataSource } = await openSource([Remark, Medium, Film]);
  const declarations = new EntityDeclarations();
  declarations.registerDecorated(dataSource);
  // Film inherits Medium's static properties, and is not declared by that.
  expect(declarations.freeze()).toEqual([
    { entity: Remark, ownership: { kind: "shared" }, name: "remark" },
    { entity: Medium, ownership: { kind: "shared" } },
  ]);
});

test("what was declared by decorator resolves like what was declared by call", async () => {
  const source = await openSource([Remark]);
  expect(resolveFrom(source, ...declarationsOf(source.dataSource)).models.map(({ name }) => name)).toEqual(["remark"]);
});

test("a call and a decorator for the same entity are refused", async () => {
  const { dataSource } = await openSource([Remark]);
  const declarations = new EntityDeclarations();
  declarations.register(Remark, SHARED);
  expect(() => declarations.registerDecorated(dataSource)).toThrowError(
    /Remark is registered twice: by the application and by @Synced on the class/,
  );
});

test("two decorators on one class are refused", () => {
  expect(codeOf(() => Synced(SHARED)(Remark))).toBe("TIDEMARK_REGISTRY_DOUBLED");
});

test("decorators can only be read from an initialized data source", async () => {
  const { dataSource } = await openSource([Remark]);
  await dataSource.destroy();
  expect(codeOf(() => declarationsOf(dataSource))).toBe("TIDEMARK_REGISTRY_DATA_SOURCE_CLOSED");
});

test("an entity that is undefined, as in circular imports, is refused with the way out", () => {
  expect(() => new EntityDeclarations().register(undefined as unknown as string, SHARED)).toThrowError(
    /names no entity.*Write a function/,
  );
});

test("an entity schema can be registered", () => {
  const schema = bareEntity("Note", { columns: {} });
  const declarations = new EntityDeclarations();
  declarations.register(schema, SHARED);
  expect(declarations.freeze()[0]!.entity).toBe(schema);
});

test("a whole declaration can stand for the options", () => {
  const declarations = new EntityDeclarations();
  declarations.register(Note, { ...SHARED, entity: Note } as EntityOptions);
  expect(declarations.freeze()).toEqual([{ entity: Note, ownership: { kind: "shared" } }]);
});

test.each<[unknown, RegExp]>([
  [undefined, /"ownership" of Note can't be used: it is missing/],
  [{}, /"ownership" of Note can't be used: it is missing/],
  [{ ownership: { kind: "mine" } }, /"ownership" of Note.*wrong shape.*Write one of \{ kind: "shared" \}/],
  [{ ownership: { kind: "device" } }, /"ownership" of Note.*wrong shape/],
  [{ ...SHARED, exlude: [] }, /"exlude" of Note.*no such option.*Did you mean "exclude"\?/],
  [{ ...SHARED, colour: 1 }, /"colour" of Note.*no such option.*The options are ownership, name/],
  [{ ...SHARED, name: "" }, /"name" of Note.*not empty/],
  [{ ...SHARED, identity: 7 }, /"identity" of Note/],
  [{ ...SHARED, exclude: "title" }, /"exclude" of Note.*a list/],
  [{ ...SHARED, references: { parentId: "Note" } }, /"references" of Note.*parentId: \{ to: Entry \}/],
  [{ ...SHARED, wireNames: { title: "" } }, /"wireNames" of Note/],
  [{ ...SHARED, isDevice: "yes" }, /"isDevice" of Note/],
  [{ ...SHARED, afterBackfill: true }, /"afterBackfill" of Note.*a function/],
])("options %j are refused with what to write instead", (options, message) => {
  const register = () => new EntityDeclarations().register(Note, options as EntityOptions);
  expect(register).toThrowError(message);
  expect(codeOf(register)).toBe("TIDEMARK_REGISTRY_OPTION");
});
