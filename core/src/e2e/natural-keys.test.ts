import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, expectSameTable, query, shared, TestLibrary } from "./library.test-support.js";

// A model whose identity is what its records are called: two devices that make the same one apart mean one record. There
// is no second name for it anywhere, so nothing has to be reconciled but columns.

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) name!: string;
  @Column({ type: "varchar", nullable: true }) colour!: string | null;
  @Column({ type: "varchar", nullable: true }) note!: string | null;
}

/** Something that has a tag, and a natural key that is its primary key. */
@Entity()
class Photo {
  @Column({ type: "varchar", primary: true }) hash!: string;
  @ManyToOne(() => Tag, { nullable: false, onDelete: "CASCADE" }) tag!: Tag;
}

let library: TestLibrary;
afterEach(() => library.dispose());

async function newPair() {
  library = new TestLibrary({
    entities: [Tag, Photo],
    declarations: shared({ entity: Tag, identity: "name" }, Photo),
  });
  return await library.pair();
}

const tags = ({ dataSource }: TestKernel) => dataSource.getRepository(Tag);
const photos = ({ dataSource }: TestKernel) => dataSource.getRepository(Photo);
const tagged = (kernel: TestKernel) =>
  query(kernel.database, "SELECT p.hash, t.name FROM photo p JOIN tag t ON t.id = p.tagId ORDER BY 1");

type Work = (kernel: TestKernel) => Promise<unknown>;

async function apart({ a, b }: { a: TestKernel; b: TestKernel }, onA: Work, onB: Work): Promise<void> {
  library.network.cut("a", "b");
  await library.clock.advance(1_000);
  await onA(a);
  await library.clock.advance(1_000);
  await onB(b);
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  await library.settle(a, b);
  expectNoViolations(a, b);
}

/** The tag of this device, under a local key of its own, and a photo that has it. */
async function make(kernel: TestKernel, hash: string, tag: Partial<Tag>): Promise<void> {
  const made = await tags(kernel).save({ ...tag });
  await photos(kernel).save({ hash, tag: made });
}

it("makes one record of what two devices create apart under one key, with what refers to either", async () => {
  const pair = await newPair();
  await tags(pair.a).save({ name: "only-a" });
  await library.settle(pair.a, pair.b);
  await apart(
    pair,
    (a) => make(a, "of-a", { name: "red", colour: "#f00" }),
    async (b) => {
      await tags(b).save({ name: "other", note: "so that local keys differ" });
      await make(b, "of-b", { name: "red", note: "like fire" });
      await make(b, "of-both", { name: "green" });
    },
  );
  expect(query(pair.a.database, "SELECT name, colour, note FROM tag WHERE name = 'red'")).toEqual([
    { name: "red", colour: null, note: "like fire" },
  ]);
  for (const kernel of [pair.a, pair.b]) {
    expect(tagged(kernel)).toEqual([
      { hash: "of-a", name: "red" },
      { hash: "of-b", name: "red" },
      { hash: "of-both", name: "green" },
    ]);
  }
  expectSameTable([pair.a, pair.b], "tag", { key: "name" });
});

it("takes another key for another record, that what referred to it goes along with", async () => {
  const pair = await newPair();
  await make(pair.a, "photo", { name: "red" });
  await library.settle(pair.a, pair.b);
  await apart(
    pair,
    (a) => tags(a).update({ name: "red" }, { name: "crimson" }),
    (b) => tags(b).update({ name: "red" }, { name: "crimson", note: "darker" }),
  );
  for (const kernel of [pair.a, pair.b]) {
    expect(tagged(kernel)).toEqual([{ hash: "photo", name: "crimson" }]);
    expect(query(kernel.database, "SELECT name, note FROM tag")).toEqual([{ name: "crimson", note: "darker" }]);
  }
});

it("lets a key that was deleted here and made again there live, without what it was before", async () => {
  const pair = await newPair();
  await tags(pair.a).save({ name: "red", colour: "#f00", note: "old" });
  await library.settle(pair.a, pair.b);
  await apart(
    pair,
    (a) => tags(a).delete({ name: "red" }),
    async (b) => {
      await tags(b).delete({ name: "red" });
      await tags(b).save({ name: "red", note: "new" });
    },
  );
  for (const kernel of [pair.a, pair.b]) {
    expect(query(kernel.database, "SELECT name, colour, note FROM tag")).toEqual([
      { name: "red", colour: null, note: "new" },
    ]);
  }
});

it("tells a delete of the one creation to whoever has both, so that what refers to it goes everywhere", async () => {
  library = new TestLibrary({ entities: [Tag, Photo], declarations: shared({ entity: Tag, identity: "name" }, Photo) });
  const a = await library.device("a");
  const b = await library.device("b", { dial: ["a"] });
  const c = await library.device("c", { dial: ["a", "b"] });
  await library.settle(a, b, c);
  const reach = async (one: string, other: string) => {
    library.network.heal(one, other);
    await library.clock.advance(20_000);
  };
  library.network.cut("a", "b");
  library.network.cut("b", "c");
  await tags(a).save({ name: "red" });
  await library.settle(a, c);
  library.network.cut("a", "c");
  await library.clock.advance(1_000);
  await tags(c).delete({ name: "red" });
  await library.clock.advance(1_000);
  await photos(a).save({ hash: "photo", tag: await tags(a).findOneByOrFail({ name: "red" }) });
  await library.clock.advance(1_000);
  await tags(b).save({ name: "red" });
  // Now a has both creations, then b learns of the delete in between, and a last of all.
  await reach("a", "b");
  await reach("b", "c");
  await reach("a", "c");
  await library.clock.advance(60_000);
  for (const kernel of [a, b, c]) expect(tagged(kernel)).toEqual([]);
});
