import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel, type TestKernelOptions } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @Column({ type: "varchar", nullable: true }) colour!: string | null;
}

@Entity()
class Folder {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) name!: string;
  @ManyToOne(() => Folder, { nullable: true, onDelete: "CASCADE" }) parent!: Folder | null;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "text" }) text!: string;
  @ManyToOne(() => Folder, { nullable: false, onDelete: "CASCADE" }) folder!: Folder;
  @ManyToMany(() => Tag) @JoinTable() tags!: Tag[];
}

const declarations = [Tag, Folder, Note].map((entity) => ({ entity, ownership: { kind: "shared" as const } }));
const kernels: TestKernel[] = [];
afterEach(async () => {
  for (const kernel of kernels.splice(0)) await kernel.dispose();
});

async function device(name: string, options: Partial<TestKernelOptions> = {}): Promise<TestKernel> {
  const kernel = await createTestKernel({ device: name, entities: [Tag, Folder, Note], declarations, ...options });
  kernels.push(kernel);
  return kernel;
}

async function digests(kernel: TestKernel): Promise<unknown> {
  return Promise.all(["Tag", "Folder", "Note", "Note.tags"].map((model) => kernel.tidemark.digest(model)));
}

it("brings what was there before the join, and what comes after it, in both directions", async () => {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const a = await device("a", { clock, network });
  await a.tidemark.start();
  const tags = a.dataSource.getRepository(Tag);
  const folders = a.dataSource.getRepository(Folder);
  const notes = a.dataSource.getRepository(Note);
  const tag = await tags.save({ uuid: "t1", name: "red", colour: null });
  const root = await folders.save({ uuid: "f1", name: "root", parent: null });
  const child = await folders.save({ uuid: "f2", name: "child", parent: root });
  await notes.save({ uuid: "n1", text: "hello", folder: child, tags: [tag] });

  const b = await device("b", { clock, network, dial: ["a"] });
  await b.tidemark.start();
  await b.next("roundCompleted", undefined, { past: true });
  expect(await digests(b)).toEqual(await digests(a));
  expect(
    await b.dataSource.getRepository(Note).find({ relations: { folder: { parent: true }, tags: true } }),
  ).toMatchObject([
    { uuid: "n1", text: "hello", folder: { uuid: "f2", parent: { uuid: "f1" } }, tags: [{ uuid: "t1" }] },
  ]);

  // Live, from a to b.
  let seen = b.next("roundCompleted", ({ records }) => records > 0);
  await notes.save({ uuid: "n2", text: "second", folder: root, tags: [] });
  await seen;
  expect(await digests(b)).toEqual(await digests(a));

  // And from b to a.
  seen = a.next("roundCompleted", ({ records }) => records > 0);
  await b.dataSource.getRepository(Note).update({ uuid: "n1" }, { text: "changed by b" });
  await seen;
  expect((await notes.findOneByOrFail({ uuid: "n1" })).text).toBe("changed by b");

  seen = b.next("roundCompleted", ({ records }) => records > 0);
  await folders.delete({ uuid: "f1" });
  await seen;
  expect(await b.dataSource.getRepository(Note).count()).toBe(0);
  expect(await digests(b)).toEqual(await digests(a));
});

it("sends nobody what they have made themselves, though their round goes on", async () => {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const settings = { replication: { pageRecords: 10 } };
  const a = await device("a", { clock, network, settings });
  await a.tidemark.start();
  const b = await device("b", { clock, network, settings, dial: ["a"] });
  await b.tidemark.start();
  await b.next("roundCompleted", undefined, { past: true });

  // Many pages of one round, which says only at its end how far a is.
  const tags = Array.from({ length: 100 }, (_, index) => ({ uuid: `t${index}`, name: "many", colour: null }));
  const seen = b.next("roundCompleted", ({ records }) => records === 100);
  await a.dataSource.getRepository(Tag).insert(tags);
  await seen;
  await clock.advance(1_000);
  expect(await digests(b)).toEqual(await digests(a));
  expect(b.recordedOf("pageServed").map(({ records }) => records)).not.toContainEqual(expect.toSatisfy((n) => n > 0));

  // What they have changed since goes back.
  const answered = a.next("roundCompleted", ({ records }) => records > 0);
  await b.dataSource.getRepository(Tag).update({ uuid: "t1" }, { name: "changed by b" });
  await answered;
  expect(await digests(b)).toEqual(await digests(a));
});
