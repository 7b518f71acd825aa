import {
  ChildEntity,
  Column,
  Entity,
  Generated,
  PrimaryGeneratedColumn,
  TableInheritance,
  Tree,
  TreeChildren,
  TreeLevelColumn,
  TreeParent,
} from "typeorm";
import { expect, test } from "vitest";
import { columnsOf, openSource, refusal, resolveFrom, shared } from "./data-source.test-support.js";

@Entity()
@Tree("closure-table", {
  closureTableName: "folder_paths",
  ancestorColumnName: () => "above",
  descendantColumnName: () => "below",
})
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  @TreeParent() parent!: Folder | null;
  @TreeChildren() children!: Folder[];
}

@Entity()
@Tree("closure-table")
class Chapter {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  @TreeLevelColumn() depth!: number;
  @TreeParent() parent!: Chapter | null;
}

@Entity()
@Tree("materialized-path")
class Topic {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  @TreeParent() parent!: Topic | null;
}

@Entity()
@Tree("nested-set")
class Genre {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  @TreeParent() parent!: Genre | null;
}

@Entity()
@Tree("adjacency-list")
class Section {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  @TreeParent() parent!: Section | null;
}

test("of a closure table only the parents are synced, and the table is no model", async () => {
  const source = await openSource([Folder]);
  const registry = resolveFrom(source, shared(Folder));
  const model = registry.byName.get("Folder")!;
  expect(registry.models).toEqual([model]);
  expect(columnsOf(model)).toEqual(["parent → Folder.id"]);
  expect(model.tree).toEqual({
    kind: "closure",
    parent: model.columnByName.get("parent"),
    closureTable: "folder_paths_closure",
    ancestorColumn: "above",
    descendantColumn: "below",
    levelColumn: null,
  });
  expect(refusal(source, shared("folder_paths")).code).toBe("TIDEMARK_REGISTRY_UNKNOWN_ENTITY");
});

test("a closure table's names are those in the database", async () => {
  const { dataSource, db } = await openSource([Folder]);
  const { tree } = resolveFrom({ dataSource, db }, shared(Folder)).models[0]!;
  if (tree?.kind !== "closure") throw new Error("no closure");
  const columns = db.prepare("SELECT name FROM pragma_table_info(?)").pluck().all(tree.closureTable);
  expect(columns).toEqual([tree.ancestorColumn, tree.descendantColumn]);
});

test("the level of a closure table is known", async () => {
  const model = resolveFrom(await openSource([Chapter]), shared(Chapter)).models[0]!;
  expect(model.tree).toMatchObject({ kind: "closure", closureTable: "chapter_closure", levelColumn: "level" });
});

test("a materialized path is made of local keys and never synced, excluded or not", async () => {
  const source = await openSource([Topic]);
  for (const exclude of [[], ["mpath"]]) {
    const model = resolveFrom(source, shared(Topic, { exclude })).models[0]!;
    expect(columnsOf(model)).toEqual(["parent → Topic.id"]);
    expect(model.tree).toEqual({
      kind: "materialized-path",
      parent: model.columnByName.get("parent"),
      pathColumn: "mpath",
    });
  }
});

test("a nested set's numbers are never synced", async () => {
  const model = resolveFrom(await openSource([Genre]), shared(Genre)).models[0]!;
  expect(columnsOf(model)).toEqual(["parent → Genre.id"]);
  expect(model.tree).toEqual({
    kind: "nested-set",
    parent: model.columnByName.get("parent"),
    leftColumn: "nsleft",
    rightColumn: "nsright",
  });
});

test("an adjacency list is a plain self-reference", async () => {
  const model = resolveFrom(await openSource([Section]), shared(Section)).models[0]!;
  expect(columnsOf(model)).toEqual(["parent → Section.id"]);
  expect(model.tree).toBeNull();
});

test("a tree is found from a child of single-table inheritance too", async () => {
  @Entity()
  @Tree("materialized-path")
  @TableInheritance({ column: { type: "varchar", name: "kind" } })
  class Item {
    @PrimaryGeneratedColumn() id!: number;
    @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
    @TreeParent() parent!: Item | null;
  }
  @ChildEntity()
  class Box extends Item {}
  const model = resolveFrom(await openSource([Item, Box]), shared(Box)).models[0]!;
  expect(columnsOf(model)).toEqual(["kind!", "parent → Item.id"]);
  expect(model.tree).toMatchObject({ kind: "materialized-path", pathColumn: "mpath" });
});

test("excluding the parent of a tree is refused: nothing could be rebuilt", async () => {
  const error = refusal(await openSource([Topic]), shared(Topic, { exclude: ["parent"] }));
  expect(error.code).toBe("TIDEMARK_REGISTRY_TREE_PARENT");
  expect(error.why).toContain("its parent is excluded");
});

test("a tree without a parent is refused", async () => {
  @Entity()
  @Tree("materialized-path")
  class Orphan {
    @PrimaryGeneratedColumn() id!: number;
    @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid!: string;
  }
  const error = refusal(await openSource([Orphan]), shared(Orphan));
  expect(error.code).toBe("TIDEMARK_REGISTRY_TREE_PARENT");
  expect(error.why).toContain("it declares no parent");
});
