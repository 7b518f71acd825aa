import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { onFile, query, shared, TestLibrary } from "./library.test-support.js";

// A nullable reference whose target is not in its table reads NULL, and what it refers to is kept beside the row. It must
// be looked at whenever something comes for the row, also if nothing comes for the reference.

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", nullable: true, unique: true }) name!: string | null;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "CASCADE" }) parent!: Folder | null;
}

let library: TestLibrary;
let a: TestKernel;
let b: TestKernel;
/** What the plugin on b keeps out of its table. */
let held: Set<string>;

const holder = definePlugin({
  manifest: { id: "holder", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks }) {
    hooks.beforeApplyBatch.tap(({ operations }) => ({
      deferred: operations.filter(({ record }) => held.has(record)).map(({ id }) => ({ id, reason: "held" })),
    }));
  },
});

beforeEach(async () => {
  library = new TestLibrary({ entities: [Folder], declarations: shared(Folder) });
  held = new Set(["parent"]);
  a = await library.device("a");
  b = await library.device("b", { dial: ["a"], plugins: [holder] });
  await library.settle(a, b);
  onFile(a.database, "INSERT INTO folder (id, uuid, parentId) VALUES (1, 'parent', NULL), (2, 'child', 1)");
  await library.clock.advance(5_000);
  expect(folders(b)).toEqual([{ uuid: "child", name: null, parent: null }]);
});
afterEach(() => library.dispose());

function folders({ database }: TestKernel): unknown[] {
  return query(
    database,
    "SELECT f.uuid, f.name, p.uuid AS parent FROM folder f LEFT JOIN folder p ON p.id = f.parentId ORDER BY 1",
  );
}

async function onA(statement: string): Promise<void> {
  onFile(a.database, statement);
  await library.clock.advance(5_000);
}

it("hold when the target comes together with another change of who refers to it", async () => {
  held.clear();
  await onA("UPDATE folder SET name = 'new ' || uuid");
  expect(folders(b)).toEqual(folders(a));
  expect(folders(b)).toContainEqual({ uuid: "child", name: "new child", parent: "parent" });
});

it("are kept when another change takes who refers out of its table", async () => {
  held.add("child");
  await onA("UPDATE folder SET name = 'new' WHERE uuid = 'child'");
  expect(folders(b)).toEqual([]);
  held.clear();
  b = await library.restart("b", b, { dial: ["a"], plugins: [holder] });
  await library.settle(a, b);
  expect(folders(b)).toEqual(folders(a));
  expect(folders(b)).toContainEqual({ uuid: "child", name: "new", parent: "parent" });
});

it("are kept when the local schema refuses another change of who refers", async () => {
  library.network.cut("a", "b");
  onFile(b.database, "INSERT INTO folder (uuid, name) VALUES ('other', 'taken')");
  await onA("UPDATE folder SET name = 'taken' WHERE uuid = 'child'");
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  expect((await b.tidemark.status()).parked).toMatchObject({ quarantined: 1, deferred: 1 });
  held.clear();
  await onA("UPDATE folder SET name = 'free' WHERE uuid = 'child'");
  await onA("UPDATE folder SET name = 'new' WHERE uuid = 'parent'");
  await library.settle(a, b);
  expect(folders(b)).toEqual(folders(a));
  expect(folders(b)).toContainEqual({ uuid: "child", name: "free", parent: "parent" });
});
