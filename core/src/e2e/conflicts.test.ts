import { EntitySchema } from "typeorm";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TestKernel } from "../testing/test-kernel.js";
import { shared, TestLibrary } from "./library.test-support.js";

// A conflict: two devices change the same without knowing of each other, and one of the changes comes to nothing.

const notes = new EntitySchema<{ id: number; uuid: string; text: string; colour: string }>({
  name: "Note",
  columns: {
    id: { type: "integer", primary: true, generated: true },
    uuid: { type: "varchar", unique: true },
    text: { type: "varchar" },
    colour: { type: "varchar", default: "white" },
  },
});

let library: TestLibrary;
let a: TestKernel;
let b: TestKernel;
beforeEach(async () => {
  library = new TestLibrary({ entities: [notes], declarations: shared(notes) });
  ({ a, b } = await library.pair());
  await edit(a, "INSERT INTO note (uuid, text) VALUES ('one', ''), ('two', '')");
  await library.settle(a, b);
});
afterEach(() => library.dispose());

const edit = ({ dataSource }: TestKernel, sql: string) => dataSource.query(sql);
const conflictsOn = (kernel: TestKernel) =>
  kernel.recordedOf("batchApplied").reduce((sum, { counts }) => sum + counts.conflicts, 0);

/** What each does on its own, a first; then they come together again. */
async function apart(onA: string, onB: string): Promise<void> {
  library.network.cut("a", "b");
  await library.clock.advance(1_000);
  await edit(a, onA);
  await library.clock.advance(100);
  await edit(b, onB);
  await library.clock.advance(1_000);
  library.network.heal("a", "b");
  await library.settle(a, b);
}

/** Either of the two sees it, or both, once each. */
function expectSeen(records: number): void {
  const seen = [conflictsOn(a), conflictsOn(b)];
  expect(Math.max(...seen)).toBe(records);
}

it.each<[string, string, string]>([
  ["edits of one column", "UPDATE note SET text = 'a'", "UPDATE note SET text = 'b'"],
  ["a deletion and an older edit", "UPDATE note SET text = 'a'", "DELETE FROM note"],
  ["a deletion and a younger edit", "DELETE FROM note", "UPDATE note SET text = 'b'"],
])("counts %s", async (_, onA, onB) => {
  await apart(`${onA} WHERE uuid = 'one'`, `${onB} WHERE uuid = 'one'`);
  expectSeen(1);
});

it("counts two creations of one record", async () => {
  await apart("INSERT INTO note (uuid, text) VALUES ('new', 'a')", "INSERT INTO note (uuid, text) VALUES ('new', 'b')");
  expectSeen(1);
});

it("counts records, not columns, and says of which model they are", async () => {
  await apart("UPDATE note SET text = 'a', colour = 'a'", "UPDATE note SET text = 'b', colour = 'b'");
  expectSeen(2);
  const models = [a, b].flatMap((kernel) => kernel.recordedOf("batchApplied").map(({ models }) => models));
  expect(models.map((counts) => counts.Note?.conflicts ?? 0)).toContain(2);
});

it("counts none for edits of different columns or records, or of which one knew of the other", async () => {
  await apart("UPDATE note SET text = 'a' WHERE uuid = 'one'", "UPDATE note SET colour = 'b' WHERE uuid = 'one'");
  await apart("DELETE FROM note WHERE uuid = 'one'", "UPDATE note SET text = 'b' WHERE uuid = 'two'");
  for (const [text, kernel] of [
    ["1", a],
    ["2", b],
    ["3", a],
  ] as const) {
    await edit(kernel, `UPDATE note SET text = '${text}' WHERE uuid = 'two'`);
    // Only until it is there: no more acknowledgements than a change brings along.
    await library.clock.advance(10);
  }
  await library.settle(a, b);
  expect([conflictsOn(a), conflictsOn(b)]).toEqual([0, 0]);
});

it("counts none on a third device, which hears of both", async () => {
  const c = await library.device("c", { dial: ["a"] });
  await library.settle(a, b, c);
  await apart("UPDATE note SET text = 'a' WHERE uuid = 'one'", "UPDATE note SET text = 'b' WHERE uuid = 'one'");
  await library.settle(a, b, c);
  expectSeen(1);
  expect(conflictsOn(c)).toBe(0);
});
