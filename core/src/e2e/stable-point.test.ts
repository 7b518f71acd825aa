import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { onFile, query, shared, TestLibrary } from "./library.test-support.js";

// Why nothing is forgotten before every member has it, shown by what happens otherwise. Once a stamp is gone, whatever
// comes counts as newer than the value that it stood for; so an older edit that somebody still holds must not come after.

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar" }) text!: string;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Note], declarations: shared(Note) });
});
afterEach(() => library.dispose());

const notes = ({ dataSource }: TestKernel) => dataSource.getRepository(Note);
const edit = (kernel: TestKernel, text: string) => notes(kernel).update({ uuid: "note" }, { text });
const textsOn = (...kernels: readonly TestKernel[]) =>
  Promise.all(kernels.map(async (kernel) => (await notes(kernel).find()).map(({ text }) => text).join()));
const stampsOn = ({ database }: TestKernel) => query(database, "SELECT * FROM tidemark_stamp").length;

interface Three {
  readonly a: TestKernel;
  readonly b: TestKernel;
  readonly c: TestKernel;
}

/** Lets devices forget as much as they may, by the rule. */
async function forget(...kernels: readonly TestKernel[]): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    for (const kernel of kernels) await kernel.tidemark.services.get(logMaintenance).acknowledge();
    await library.clock.advance(1_000);
    for (const kernel of kernels) await kernel.tidemark.services.get(logMaintenance).prune();
  }
}

/** Three in step without a stamp; then c is cut off and writes, and after it a does, of which b hears and c does not. */
async function withOneAway(write: {
  readonly first: (kernel: TestKernel) => Promise<unknown>;
  readonly afterwards: (kernel: TestKernel) => unknown;
}): Promise<Three> {
  const a = await library.device("a");
  await notes(a).save({ uuid: "note", text: "as it was" });
  const b = await library.device("b", { dial: ["a"] });
  const c = await library.device("c", { dial: ["a"] });
  await library.settle(a, b, c);
  await forget(a, b, c);
  expect([a, b, c].map(stampsOn)).toEqual([0, 0, 0]);
  library.network.cut("a", "c");
  await write.first(c);
  await library.clock.advance(5_000);
  await write.afterwards(a);
  await library.settle(a, b);
  return { a, b, c };
}

/** c is back, and everybody comes to rest. */
async function reunite({ a, b, c }: Three): Promise<readonly string[]> {
  library.network.heal("a", "c");
  await library.settle(a, b, c);
  return textsOn(a, b, c);
}

describe("an older edit that comes after the younger one was to be forgotten", () => {
  const edits = { first: (c: TestKernel) => edit(c, "older"), afterwards: (a: TestKernel) => edit(a, "younger") };

  it("loses, because the younger one is not forgotten before whoever may still hold an older one has it", async () => {
    const three = await withOneAway(edits);
    await forget(three.a, three.b);
    expect(stampsOn(three.a)).toBe(1);
    expect(await reunite(three)).toEqual(["younger", "younger", "younger"]);
    await forget(three.a, three.b, three.c);
    expect([three.a, three.b, three.c].map(stampsOn)).toEqual([0, 0, 0]);
  });

  it("would win if whatever both devices at hand have were forgotten: the younger one is lost everywhere", async () => {
    const three = await withOneAway(edits);
    for (const { database } of [three.a, three.b]) onFile(database, "DELETE FROM tidemark_stamp");
    expect(await reunite(three)).toEqual(["older", "older", "older"]);
  });
});

describe("an edit that comes after the delete was to be forgotten", () => {
  const edits = {
    first: (c: TestKernel) => edit(c, "of what is dead"),
    afterwards: (a: TestKernel) => notes(a).delete({ uuid: "note" }),
  };

  it("brings nothing back", async () => {
    const three = await withOneAway(edits);
    await forget(three.a, three.b);
    expect(stampsOn(three.a)).toBe(1);
    expect(await reunite(three)).toEqual(["", "", ""]);
  });

  it("would leave the record to whoever has not heard of the delete, which nobody would tell any more", async () => {
    const three = await withOneAway(edits);
    for (const { database } of [three.a, three.b]) onFile(database, "DELETE FROM tidemark_stamp");
    library.network.heal("a", "c");
    await library.clock.advance(30_000);
    expect(await textsOn(three.a, three.b, three.c)).toEqual(["", "", "of what is dead"]);
  });
});
