import "reflect-metadata";
import fc from "fast-check";
import { DataSource, EntitySchema, type EntitySchemaColumnOptions, type TreeRepository } from "typeorm";
import { afterEach, describe, expect, it } from "vitest";
import type { SyncColumn, SyncModel, SyncTree } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { rebuildTrees } from "./derived-tree.js";
import { handMadeRegistry } from "./models.test-support.js";

interface Folder {
  id: number;
  uuid: string;
  name: string;
  parent: Folder | null;
}

type Kind = SyncTree["kind"];
const TYPES = {
  closure: "closure-table",
  "materialized-path": "materialized-path",
  "nested-set": "nested-set",
} as const;
const TREES: Readonly<Record<Kind, (parent: SyncColumn) => SyncTree>> = {
  closure: (parent) => ({
    kind: "closure",
    parent,
    closureTable: "folder_closure",
    ancestorColumn: "id_ancestor",
    descendantColumn: "id_descendant",
    levelColumn: null,
  }),
  "materialized-path": (parent) => ({ kind: "materialized-path", parent, pathColumn: "mpath" }),
  "nested-set": (parent) => ({ kind: "nested-set", parent, leftColumn: "nsleft", rightColumn: "nsright" }),
};
const DERIVED: Readonly<Record<Kind, string>> = {
  closure: "SELECT id_ancestor, id_descendant FROM folder_closure ORDER BY 1, 2",
  "materialized-path": "SELECT id, mpath FROM folder ORDER BY id",
  "nested-set": "SELECT id, nsleft, nsright FROM folder ORDER BY id",
};

interface Forest {
  readonly db: Sqlite;
  readonly model: SyncModel;
  readonly repository: TreeRepository<Folder>;
  readonly derived: () => unknown[];
}

const sources: DataSource[] = [];
afterEach(async () => {
  for (const source of sources.splice(0)) await source.destroy();
});

async function forest(kind: Kind, uuidKey = false): Promise<Forest> {
  const uuid: EntitySchemaColumnOptions = { type: "varchar", unique: true, primary: uuidKey };
  const id: EntitySchemaColumnOptions = { type: "integer", primary: true, generated: "increment" };
  const Folder = new EntitySchema<Folder>({
    name: "Folder",
    tableName: "folder",
    columns: { ...(uuidKey ? {} : { id }), uuid, name: { type: "varchar" } } as never,
    relations: {
      parent: { type: "many-to-one", target: "Folder", treeParent: true, inverseSide: "children", nullable: true },
      children: { type: "one-to-many", target: "Folder", treeChildren: true, inverseSide: "parent" },
    } as never,
    trees: [{ type: TYPES[kind] }],
  });
  const source = new DataSource({
    type: "better-sqlite3",
    database: ":memory:",
    entities: [Folder],
    synchronize: true,
  });
  await source.initialize();
  sources.push(source);
  const { databaseConnection: db } = source.driver as unknown as { readonly databaseConnection: Sqlite };
  const parent = uuidKey ? "parentUuid" : "parentId";
  const registry = handMadeRegistry(db, [
    {
      table: "folder",
      identity: "uuid",
      ...(uuidKey ? {} : { localKey: "id" }),
      columns: ["name", parent],
      references: { [parent]: "folder" },
      parent,
      tree: TREES[kind],
    },
  ]);
  const derived = () =>
    db
      .prepare(DERIVED[kind].replaceAll("id", uuidKey ? "uuid" : "id"))
      .raw()
      .all();
  return { db, model: registry.models[0]!, repository: source.getTreeRepository(Folder), derived };
}

/** Has TypeORM itself make a tree: node i is a child of node parents[i], which came before. */
async function growByTypeOrm({ repository }: Forest, parents: readonly (number | null)[]): Promise<Folder[]> {
  const nodes: Folder[] = [];
  for (const [index, parent] of parents.entries()) {
    const uuid = `u${String((index * 37) % 100).padStart(2, "0")}-${index}`;
    const node = repository.create({ uuid, name: "n", parent: parent === null ? null : nodes[parent]! });
    nodes.push(await repository.save(node));
  }
  return nodes;
}

/** The same rows, without anything derived. */
function growBySql({ db }: Forest, parents: readonly (number | null)[], nodes: readonly Folder[]): void {
  const insert = db.prepare("INSERT INTO folder (id, uuid, name, parentId) VALUES (?, ?, 'n', ?)");
  for (const [index, parent] of parents.entries()) {
    insert.run(nodes[index]!.id, nodes[index]!.uuid, parent === null ? null : nodes[parent]!.id);
  }
}

function spoil({ db, model }: Forest): void {
  if (model.tree!.kind === "closure") {
    db.exec("DELETE FROM folder_closure WHERE id_ancestor <> id_descendant OR id_ancestor % 2 = 0");
    db.exec("INSERT OR IGNORE INTO folder_closure SELECT max(id), min(id) FROM folder");
  } else if (model.tree!.kind === "materialized-path")
    db.exec("UPDATE folder SET mpath = mpath || 'x.' WHERE id % 3 <> 0");
  else db.exec("UPDATE folder SET nsleft = 0, nsright = 0");
}

const KINDS = Object.keys(TREES) as Kind[];
// A nested set has one root in TypeORM.
const shapes = (kind: Kind) =>
  fc
    .array(fc.nat(99), { minLength: 1, maxLength: 9 })
    .map((picks) =>
      picks.map((pick, index) => (index === 0 || (kind !== "nested-set" && pick % 4 === 0) ? null : pick % index)),
    );

describe.each(KINDS)("a tree of kind %s", (kind) => {
  it("is what TypeORM has written, rebuilt from the parents alone", async () => {
    await fc.assert(
      fc.asyncProperty(shapes(kind), async (parents) => {
        const original = await forest(kind);
        const nodes = await growByTypeOrm(original, parents);
        const expected = original.derived();
        const copy = await forest(kind);
        growBySql(copy, parents, nodes);
        rebuildTrees({ ...copy, changed: "all" });
        expect(copy.derived()).toEqual(expected);
        spoil(copy);
        if (parents.length > 2) expect(copy.derived()).not.toEqual(expected);
        rebuildTrees({ ...copy, changed: "all" });
        expect(copy.derived()).toEqual(expected);
      }),
      { seed: 20261122, numRuns: 12 },
    );
  });

  it("is the same when it is kept up with every change", async () => {
    const moves = fc.array(fc.tuple(fc.nat(8), fc.option(fc.nat(8), { nil: null })), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(shapes(kind), fc.integer({ min: 1, max: 9 }), moves, async (parents, cut, changes) => {
        const it = await forest(kind);
        const uuid = (index: number) => `u${index}`;
        const insert = it.db.prepare("INSERT INTO folder (id, uuid, name, parentId) VALUES (?, ?, '', ?)");
        const grow = (from: number, to: number) => {
          const added = parents.slice(from, to).map((parent, offset) => {
            insert.run(from + offset + 1, uuid(from + offset), parent === null ? null : parent + 1);
            return uuid(from + offset);
          });
          rebuildTrees({ ...it, changed: added.reverse() });
        };
        grow(0, cut);
        grow(cut, parents.length);
        for (const [node, parent] of changes) {
          const to = parent === null || parent >= parents.length ? null : parent + 1;
          // Circles included: two devices may move two folders into each other.
          it.db.prepare("UPDATE folder SET parentId = ? WHERE id = ?").run(to, node + 1);
          rebuildTrees({ ...it, changed: [uuid(node)] });
          const kept = it.derived();
          rebuildTrees({ ...it, changed: "all" });
          expect(kept).toEqual(it.derived());
        }
      }),
      { seed: 20261122, numRuns: 25 },
    );
  });

  it("loses the nodes that are gone, with and without foreign keys", async () => {
    for (const enforced of ["ON", "OFF"]) {
      const it = await forest(kind);
      const [, gone, left] = await growByTypeOrm(it, [null, 0, 1, 1]);
      it.db.pragma(`foreign_keys = ${enforced}`);
      it.db.exec(
        `UPDATE folder SET parentId = NULL WHERE parentId = ${gone!.id}; DELETE FROM folder WHERE id = ${gone!.id}`,
      );
      rebuildTrees({ ...it, changed: [gone!.uuid, left!.uuid, "u11-3"] });
      expect(it.derived()).toEqual(
        {
          closure: [1, 3, 4].map((id) => [id, id]),
          "materialized-path": [1, 3, 4].map((id) => [id, `${id}.`]),
          "nested-set": [1, 3, 4].map((id, index) => [id, 2 * index + 1, 2 * index + 2]),
        }[kind],
      );
    }
  });

  it("writes nothing where nothing is wrong", async () => {
    const it = await forest(kind);
    const nodes = await growByTypeOrm(it, [null, 0, 0, 1, 3]);
    it.db.exec("UPDATE folder SET name = 'renamed'");
    const before = it.db.prepare("SELECT total_changes()").pluck().get();
    rebuildTrees({ ...it, changed: nodes.map((node) => node.uuid) });
    rebuildTrees({ ...it, changed: "all" });
    rebuildTrees({ ...it, changed: [] });
    expect(it.db.prepare("SELECT total_changes()").pluck().get()).toBe(before);
  });

  it("takes parents that run in a circle", async () => {
    const it = await forest(kind);
    growBySql(it, [null, 0, 1, 2, 3], await growByTypeOrm(await forest(kind), [null, 0, 1, 2, 3]));
    it.db.exec("UPDATE folder SET parentId = 4 WHERE id = 2"); // 2 → 4 → 3 → 2, and 5 below 4
    rebuildTrees({ ...it, changed: "all" });
    expect(it.derived()).toEqual(
      {
        closure: [
          [1, 1],
          ...[2, 3, 4].flatMap((ancestor) => [2, 3, 4, 5].map((descendant) => [ancestor, descendant])),
          [5, 5],
        ],
        "materialized-path": [
          [1, "1."],
          [2, "3.4.2."],
          [3, "4.2.3."],
          [4, "2.3.4."],
          [5, "2.3.4.5."],
        ],
        "nested-set": [
          [1, 1, 2],
          [2, 3, 10],
          [3, 4, 9],
          [4, 5, 8],
          [5, 6, 7],
        ],
      }[kind],
    );
  });
});

it.each(["closure", "materialized-path"] as const)(
  "follows the moves of TypeORM in a tree of kind %s",
  async (kind) => {
    const original = await forest(kind);
    const parents = [null, 0, 1, 2, 0, null];
    const nodes = await growByTypeOrm(original, parents);
    const copy = await forest(kind);
    growBySql(copy, parents, nodes);
    rebuildTrees({ ...copy, changed: "all" });
    for (const [node, parent] of [
      [1, 4],
      [2, 5],
      [4, 5],
    ] as const) {
      const moving = await original.repository.findOneOrFail({
        where: { id: nodes[node]!.id },
        relations: { parent: true },
      });
      moving.parent = nodes[parent]!;
      await original.repository.save(moving);
      copy.db.prepare("UPDATE folder SET parentId = ? WHERE id = ?").run(nodes[parent]!.id, nodes[node]!.id);
      rebuildTrees({ ...copy, changed: [nodes[node]!.uuid] });
      expect(copy.derived()).toEqual(original.derived());
    }
  },
);

it.each(["closure", "materialized-path"] as const)("takes uuids as keys in a tree of kind %s", async (kind) => {
  const it = await forest(kind, true);
  await growByTypeOrm(it, [null, 0, 1, 0]);
  const expected = it.derived();
  it.db.exec(kind === "closure" ? "DELETE FROM folder_closure" : "UPDATE folder SET mpath = ''");
  const model = kind === "closure" ? uuidClosure(it.model) : it.model;
  rebuildTrees({ db: it.db, model, changed: "all" });
  expect(it.derived()).toEqual(expected);
});

function uuidClosure(model: SyncModel): SyncModel {
  return {
    ...model,
    tree: { ...model.tree!, ancestorColumn: "uuid_ancestor", descendantColumn: "uuid_descendant" } as SyncTree,
  };
}

it("counts levels from a node's own row, where a closure table has them", async () => {
  const it = await forest("closure");
  growBySql(
    it,
    [null, 0, 1],
    [1, 2, 3].map((id) => ({ id, uuid: `u${id}`, name: "", parent: null })),
  );
  it.db.exec("ALTER TABLE folder_closure ADD COLUMN level integer NOT NULL DEFAULT 0");
  const model = { ...it.model, tree: { ...it.model.tree!, levelColumn: "level" } as SyncTree };
  rebuildTrees({ db: it.db, model, changed: ["u1", "u2", "u3"] });
  expect(
    it.db.prepare("SELECT id_ancestor, id_descendant, level FROM folder_closure ORDER BY 2, 3").raw().all(),
  ).toEqual([
    [1, 1, 1],
    [2, 2, 1],
    [1, 2, 2],
    [3, 3, 1],
    [2, 3, 2],
    [1, 3, 3],
  ]);
});
