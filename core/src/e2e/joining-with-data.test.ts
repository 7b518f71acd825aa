import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

@Entity()
class Page {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) title!: string;
  @ManyToOne(() => Page, { nullable: true }) parent!: Page | null;
}

@Entity()
class Remark {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Page, { nullable: false, onDelete: "CASCADE" }) page!: Page;
}

const kernels: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of kernels.splice(0)) await kernel.dispose();
});

async function library() {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  return async (device: string, dial: string[]) => {
    const kernel = await createTestKernel({
      device,
      entities: [Page, Remark],
      declarations: [Page, Remark].map((entity) => ({ entity, ownership: { kind: "shared" } })),
      network,
      clock,
      dial,
    });
    kernels.push(kernel);
    await kernel.dataSource.initialize();
    return { kernel, pages: kernel.dataSource.getRepository(Page), clock };
  };
}

it("issues what only the joining device has, children that sort before their parents included", async () => {
  const device = await library();
  const a = await device("a", []);
  const b = await device("b", ["a"]);
  // In the order of identities the child comes first.
  const parent = await b.pages.save({ uuid: "z-parent", title: "parent", parent: null });
  await b.pages.save({ uuid: "a-child", title: "child", parent });
  await a.kernel.tidemark.start();
  const came = a.kernel.next("roundCompleted", ({ records }) => records > 0);
  await b.kernel.tidemark.start();
  await came;
  const [child] = await a.pages.find({ where: { uuid: "a-child" }, relations: { parent: true } });
  expect(child?.parent?.uuid).toBe("z-parent");
  expect(await a.kernel.tidemark.digest("Page")).toEqual(await b.kernel.tidemark.digest("Page"));
});

it("writes values that give way to those of the library to the journal", async () => {
  const device = await library();
  const a = await device("a", []);
  const b = await device("b", ["a"]);
  await a.pages.save({ uuid: "same", title: "the library's title", parent: null });
  await b.pages.save({ uuid: "same", title: "the title from before", parent: null });
  await b.pages.save({ uuid: "own", title: "only here", parent: null });
  await a.kernel.tidemark.start();
  await b.kernel.tidemark.start();
  await b.kernel.next("roundCompleted", undefined, { past: true });
  expect((await b.pages.findOneByOrFail({ uuid: "same" })).title).toBe("the library's title");
  expect(await b.kernel.tidemark.journal()).toMatchObject([
    { kind: "overwritten-at-join", model: "Page", record: "same", values: { title: "the title from before" } },
  ]);
});

it("joins anew after a reset, keeping every record, even if it has founded the library", async () => {
  const device = await library();
  const a = await device("a", []);
  const b = await device("b", ["a"]);
  await a.kernel.tidemark.start();
  await a.pages.save({ uuid: "p1", title: "one", parent: null });
  await b.kernel.tidemark.start();
  await b.kernel.next("roundCompleted", undefined, { past: true });
  const before = (await a.kernel.tidemark.status()).origin;
  const back = a.kernel.next("backfillCompleted");
  await a.kernel.tidemark.resetSyncState();
  await a.clock.advance(10_000);
  await back;
  expect((await a.kernel.tidemark.status()).origin).not.toBe(before);
  expect(await a.pages.count()).toBe(1);
  expect(await a.kernel.tidemark.digest("Page")).toEqual(await b.kernel.tidemark.digest("Page"));
});

it("leaves a record whose identity can't travel where it is, and goes on with the others", async () => {
  const device = await library();
  const a = await device("a", []);
  const b = await device("b", ["a"]);
  await a.pages.save({ uuid: "not fit", title: "from before the join", parent: null });
  await a.kernel.tidemark.start();
  await b.kernel.tidemark.start();
  await b.kernel.next("roundCompleted", undefined, { past: true });
  const came = b.kernel.next("roundCompleted", ({ records }) => records > 0);
  await a.pages.save({ uuid: "not fit either", title: "from after it", parent: null });
  await a.pages.save({ uuid: "fit", title: "fit", parent: null });
  await came;
  expect((await b.pages.find()).map(({ uuid }) => uuid)).toEqual(["fit"]);
  expect(await a.kernel.tidemark.journal()).toMatchObject([{ kind: "not-synced", record: "not fit either" }]);
});

it("tells two devices that have both founded the library so, instead of keeping quiet", async () => {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(2) });
  const founders = await Promise.all(
    ["x", "y"].map((name) =>
      createTestKernel({
        device: name,
        entities: [Page],
        declarations: [{ entity: Page, ownership: { kind: "shared" } }],
        network,
        clock,
        dial: name === "y" ? ["x"] : [],
        role: "found",
      }),
    ),
  );
  kernels.push(...founders);
  const refused = founders[1]!.next("peerRefused");
  for (const founder of founders) await founder.tidemark.start();
  expect(await refused).toMatchObject({ code: "TIDEMARK_PEER_FOUNDED_APART" });
});

it("issues what refers to a record that the library has made anew meanwhile, and lets it refer to that", async () => {
  const device = await library();
  const a = await device("a", []);
  const b = await device("b", ["a"]);
  await a.pages.save({ uuid: "target", title: "first life", parent: null });
  await a.kernel.tidemark.start();
  await b.kernel.tidemark.start();
  await b.kernel.next("backfillCompleted");
  await b.kernel.tidemark.pause();
  const target = await b.pages.findOneByOrFail({ uuid: "target" });
  await b.pages.save({ uuid: "child", title: "child", parent: target });
  await b.kernel.dataSource.getRepository(Remark).save({ uuid: "remark", page: target });
  await a.pages.delete({ uuid: "target" });
  await a.pages.save({ uuid: "target", title: "second life", parent: null });
  await b.kernel.tidemark.resetSyncState();
  await b.kernel.tidemark.resume();
  await b.kernel.next("backfillCompleted");
  await a.clock.advance(10_000);
  for (const { kernel, pages } of [a, b]) {
    const child = await pages.findOneOrFail({ where: { uuid: "child" }, relations: { parent: true } });
    expect(child.parent?.title).toBe("second life");
    const remarks = await kernel.dataSource.getRepository(Remark).find({ relations: { page: true } });
    expect(remarks.map(({ uuid, page }) => [uuid, page.uuid])).toEqual([["remark", "target"]]);
  }
});
