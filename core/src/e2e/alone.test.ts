import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { query, shared, TestLibrary } from "./library.test-support.js";

// The only member that is left gives no stamps: what it changes is known to everybody at once, and so is what it keeps
// aside from the time before.

@Entity()
class Topic {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

@Entity()
class Remark {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Topic, { nullable: false, onDelete: "CASCADE" }) about!: Topic;
}

/** Without a foreign key in the schema. */
@Entity()
class Mention {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Topic, { nullable: false, createForeignKeyConstraints: false }) of!: Topic;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Topic, Remark, Mention], declarations: shared(Topic, Remark, Mention) });
});
afterEach(() => library.dispose());

const topics = ({ dataSource }: TestKernel) => dataSource.getRepository(Topic);
const remarksOn = ({ database }: TestKernel) => query(database, "SELECT uuid FROM remark");
const parkedOn = ({ database }: TestKernel) => query(database, "SELECT record, kind FROM tidemark_parked");

/** a has a remark that nobody sees any more: b has deleted what it is about. Then b is gone for good. */
async function leftWithHiddenRemark({ reborn }: { readonly reborn: boolean }): Promise<TestKernel> {
  const { a, b } = await library.pair();
  const topic = await topics(a).save({ uuid: "topic", text: "first life" });
  await library.settle(a, b);
  library.network.cut("a", "b");
  await a.dataSource.getRepository(Remark).save({ uuid: "remark", about: topic });
  await a.tidemark.digest("Remark");
  await library.clock.advance(1_000);
  await topics(b).delete({ uuid: "topic" });
  if (reborn) await topics(b).save({ uuid: "topic", text: "second life" });
  await b.tidemark.digest("Topic");
  library.network.heal("a", "b");
  await library.clock.advance(10_000);
  await library.settle(a, b);
  expect(parkedOn(a)).toEqual([{ record: "remark", kind: "hidden" }]);
  await b.tidemark.stop();
  const settled = a.next("removalSettled");
  await a.tidemark.removeMember("b");
  await settled;
  return a;
}

it("decides about what is hidden with the first change, and shows it to nobody who joins later", async () => {
  const a = await leftWithHiddenRemark({ reborn: true });
  await topics(a).save({ uuid: "another", text: "written alone" });
  const c = await library.device("c", { dial: ["a"] });
  await library.settle(a, c);
  for (const kernel of [a, c]) {
    expect(remarksOn(kernel)).toEqual([]);
    expect(parkedOn(kernel)).toEqual([]);
  }
});

it("does not bring back what is hidden when it makes anew what that referred to", async () => {
  const a = await leftWithHiddenRemark({ reborn: false });
  await topics(a).save({ uuid: "topic", text: "second life" });
  await a.tidemark.digest("Topic");
  expect(remarksOn(a)).toEqual([]);
  expect(parkedOn(a)).toEqual([]);
});

it("keeps nothing aside of what it takes the target of", async () => {
  const a = await library.device("a");
  const [topic, other] = await topics(a).save([
    { uuid: "topic", text: "goes" },
    { uuid: "other", text: "stays" },
  ]);
  const mentions = a.dataSource.getRepository(Mention);
  await mentions.save({ uuid: "mention", of: topic! });
  await a.tidemark.digest("Mention");
  await a.dataSource.transaction(async (manager) => {
    await manager.delete(Topic, { uuid: "topic" });
    await manager.save(Mention, { uuid: "another", of: other! });
  });
  await a.tidemark.digest("Mention");
  expect(query(a.database, "SELECT uuid FROM mention")).toEqual([{ uuid: "another" }]);
  expect(parkedOn(a)).toEqual([]);
});
