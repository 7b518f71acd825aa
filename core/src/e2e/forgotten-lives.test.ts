import { logMaintenance } from "@tidemark/plugin-api";
import { Column, Entity, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { expectNoViolations, query, shared, TestLibrary } from "./library.test-support.js";

// A life that two devices began, one of them before the floor: it goes on being older than the floor.

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "" }) name!: string;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @ManyToOne(() => Tag, { nullable: false }) tag!: Tag;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({ entities: [Tag, Note], declarations: shared(Tag, Note) });
});
afterEach(() => library.dispose());

const birthOf = ({ database }: TestKernel) =>
  query<{ hlc: number }>(database, "SELECT hlc FROM tidemark_stamp WHERE record = 't' AND col = -1")[0]!.hlc;

/** Device a creates the tag, again, and a note with it; b, not knowing of that, creates the same tag a little later. */
async function begunTwice(): Promise<{ a: TestKernel; b: TestKernel }> {
  const { a, b } = await library.pair();
  library.network.cut("a", "b");
  await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t', 'first')");
  await a.dataSource.query("DELETE FROM tag");
  await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t', 'second')");
  await a.dataSource.query("INSERT INTO note (uuid, tagId) SELECT 'n', id FROM tag");
  await library.clock.advance(1_000);
  await b.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t', 'of b')");
  await library.clock.advance(1_000);
  library.network.heal("a", "b");
  await library.settle(a, b);
  return { a, b };
}

async function forgetBelowBirth(kernel: TestKernel): Promise<void> {
  await library.clock.advance(120_000);
  await kernel.tidemark.services.get(logMaintenance).prune({ upToHlc: birthOf(kernel) - 1 });
}

const notes = ({ database }: TestKernel) =>
  query(database, "SELECT n.uuid, t.name FROM note n JOIN tag t ON t.id = n.tagId");

it.each([
  [
    "edited by the other device",
    (_: TestKernel, b: TestKernel) => b.dataSource.query("UPDATE tag SET name = 'edited'"),
  ],
  ["edited by the device that has forgotten", (a: TestKernel) => a.dataSource.query("UPDATE tag SET name = 'edited'")],
])("holds what refers to it when it is %s", async (_, edit) => {
  const { a, b } = await begunTwice();
  expect(notes(a)).toEqual([{ uuid: "n", name: "of b" }]);
  await forgetBelowBirth(a);
  await edit(a, b);
  await library.settle(a, b);
  expect(notes(a)).toEqual([{ uuid: "n", name: "edited" }]);
  expect(notes(b)).toEqual(notes(a));
  expectNoViolations(a, b);
});
