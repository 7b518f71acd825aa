import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel, TestKernelOptions } from "../testing/test-kernel.js";
import { type Models, TestLibrary } from "./library.test-support.js";

// What a device issues again when it comes back is the whole of what it had: also what stands beside an edit, and what it
// only keeps for others, because its version of the application does not know it.

@Entity()
class Machine {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "varchar", nullable: true }) note!: string | null;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
  @ManyToOne(() => Item, { nullable: true, onDelete: "SET NULL" }) parent!: Item | null;
}

@Entity({ name: "album" })
class Album {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @Column({ type: "varchar", nullable: true }) cover!: string | null;
}

@Entity({ name: "album" })
class OldAlbum {
  @PrimaryColumn({ type: "varchar" }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
}

const MACHINE = { entity: Machine, isDevice: true, ownership: { kind: "device", owner: "" } } as const;
const SHARED = { kind: "shared" } as const;
const NEW: Models = {
  entities: [Machine, Item, Album],
  declarations: [
    MACHINE,
    { entity: Item, ownership: { kind: "device", owner: "machine" } },
    { entity: Album, name: "Album", ownership: SHARED },
  ],
};
/** Without items, and without covers. */
const OLD: Models = {
  entities: [Machine, OldAlbum],
  declarations: [MACHINE, { entity: OldAlbum, name: "Album", ownership: SHARED }],
};

/** Members lapse after a minute. */
const HASTY: Partial<TestKernelOptions> = {
  settings: { replication: { heartbeatMs: 1_000, retryDelayMs: 1_000 }, membership: { maxOfflineMs: 60_000 } },
};
const UNTIL_LAPSED_MS = 75_000;

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary(NEW);
});
afterEach(() => library.dispose());

const itemsOf = ({ dataSource }: TestKernel) => dataSource.getRepository(Item);
const itemOn = (kernel: TestKernel, uuid: string) =>
  itemsOf(kernel).findOneOrFail({ where: { uuid }, relations: { parent: true } });
const albumsOf = ({ dataSource }: TestKernel) => dataSource.getRepository(Album);

/** On the same file, with another seed: with the same one it would draw the ids again that it had before. */
const startAgain = (name: string, kernel: TestKernel, models: Models = NEW) =>
  library.restart(name, kernel, {
    dial: ["a"],
    ...models,
    ...HASTY,
    random: new SeededRandom(name.charCodeAt(0)),
  });

async function forget(...kernels: readonly TestKernel[]): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    for (const kernel of kernels) {
      await kernel.tidemark.services.get(logMaintenance).acknowledge();
      await library.clock.advance(500);
      await kernel.tidemark.services.get(logMaintenance).prune();
    }
  }
}

it.each([
  { others: "remember it", forgotten: false },
  { others: "have forgotten it", forgotten: true },
])("leaves alone what stands beside an edit of a record of its own, where others $others", async ({ forgotten }) => {
  const a = await library.device("a", HASTY);
  const b = await library.device("b", { dial: ["a"], ...HASTY });
  await library.settle(a, b);
  const machine = await b.dataSource.getRepository(Machine).save({ uuid: "b", name: "b" });
  const parent = await itemsOf(b).save({ uuid: "parent", name: "parent", machine });
  await itemsOf(b).save({ uuid: "item", name: "one", note: "noted", machine, parent });
  await library.settle(a, b);
  if (forgotten) await forget(a, b);
  await b.tidemark.pause();
  await itemsOf(b).update({ uuid: "item" }, { name: "two" });
  await b.tidemark.digest("Item");
  await b.tidemark.stop();
  await library.clock.advance(UNTIL_LAPSED_MS);
  const back = await startAgain("b", b);
  await library.clock.advance(20_000);
  await library.settle(a, back);
  expect(back.recordedOf("unsentReissued")).toMatchObject([{ issued: 1 }]);
  for (const kernel of [a, back]) {
    expect(await itemOn(kernel, "item")).toMatchObject({ name: "two", note: "noted", parent: { uuid: "parent" } });
  }
});

/**
 * b, and c, which is too old for items and covers, are cut off from a with what `change` does on b. Then c comes back: alone,
 * or after b, which does `more` that everybody else forgets.
 */
async function comesBackWith(
  change: (b: TestKernel) => Promise<unknown>,
  more?: (b: TestKernel) => Promise<unknown>,
): Promise<{ readonly a: TestKernel; readonly back: TestKernel }> {
  const a = await library.device("a", HASTY);
  await albumsOf(a).save({ uuid: "album", title: "one", cover: "red" });
  const b = await library.device("b", { dial: ["a"], ...HASTY });
  const c = await library.device("c", { dial: ["a", "b"], ...OLD, ...HASTY });
  await library.settle(a, b);
  await library.settle(c);
  library.network.cut("a", "b");
  library.network.cut("a", "c");
  await change(b);
  await library.clock.advance(5_000);
  await c.tidemark.stop();
  await b.tidemark.stop();
  await library.clock.advance(UNTIL_LAPSED_MS);
  library.network.heal("a", "b");
  library.network.heal("a", "c");
  if (more !== undefined) {
    const first = await startAgain("b", b);
    await library.clock.advance(20_000);
    await library.settle(a, first);
    await more(first);
    await library.settle(a, first);
    await forget(a, first);
    expect((await a.tidemark.status()).logEntries).toBe(0);
  }
  const back = await startAgain("c", c, OLD);
  await library.clock.advance(20_000);
  await library.settle(back);
  await library.clock.advance(5_000);
  return { a, back };
}

it("brings an edit that empties a column which it does not know", async () => {
  const { a, back } = await comesBackWith((b) => albumsOf(b).update({ uuid: "album" }, { cover: null }));
  expect(back.recordedOf("unsentReissued")).toMatchObject([{ issued: 1 }]);
  expect(await albumsOf(a).find()).toMatchObject([{ uuid: "album", title: "one", cover: null }]);
});

it("does not speak of single columns of a record of which it can't know that it has an owner", async () => {
  const { a, back } = await comesBackWith(
    async (b) => {
      const machine = await b.dataSource.getRepository(Machine).save({ uuid: "b", name: "b" });
      await itemsOf(b).save({ uuid: "item", name: "one", note: "noted", machine });
    },
    (b) => itemsOf(b).update({ uuid: "item" }, { name: "two" }),
  );
  expect(a.recordedOf("catchUpFailed")).toEqual([]);
  expect(await itemOn(a, "item")).toMatchObject({ name: "two", note: "noted" });
  expect(await back.tidemark.journal()).toMatchObject([
    { kind: "not-reissued", model: "Item", record: "item", values: { name: "one" } },
  ]);
  await back.dataSource.getRepository(OldAlbum).update({ uuid: "album" }, { title: "two" });
  await library.clock.advance(5_000);
  expect(await albumsOf(a).find()).toMatchObject([{ title: "two" }]);
});

it("brings all of a record that somebody else had made, also what it does not know", async () => {
  const { a } = await comesBackWith((b) => albumsOf(b).save({ uuid: "new", title: "new", cover: "blue" }));
  expect(await albumsOf(a).findOneBy({ uuid: "new" })).toMatchObject({ title: "new", cover: "blue" });
});
