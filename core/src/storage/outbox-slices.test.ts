import Database from "better-sqlite3";
import { beforeEach, expect, it } from "vitest";
import type { Sqlite } from "./database.js";
import { BORN, clearOutbox, DIED, removeFromOutbox, SUSPECT } from "./outbox.js";
import { OutboxSlices } from "./outbox-slices.js";
import { migrateSyncTables } from "./schema.js";

const REFERRED_TO = 1;
const LONELY = 2;

let db: Sqlite;
let slices: OutboxSlices;
beforeEach(() => {
  db = new Database(":memory:");
  migrateSyncTables({ db, logId: "log" });
  slices = new OutboxSlices([REFERRED_TO]);
});

interface Draft {
  readonly mask: number;
  readonly record: string;
  readonly key?: number;
  readonly model?: number;
}

const died = (record: string, key?: number): Draft => ({ mask: DIED, record, ...(key !== undefined && { key }) });
const born = (record: string, key?: number): Draft => ({ mask: BORN, record, ...(key !== undefined && { key }) });
const edit = (record: string): Draft => ({ mask: 1, record });
const edits = (count: number) => Array.from({ length: count }, (_, n) => edit(`e${n}`));

function write(...drafts: readonly Draft[]): void {
  const insert = db.prepare("INSERT INTO tidemark_outbox (model, record, mask, key) VALUES (?, ?, ?, ?)");
  for (const { model = REFERRED_TO, record, mask, key = null } of drafts) insert.run(model, record, mask, key);
}

/** Takes one slice; returns how many entries it has. */
function take(limit: number): number {
  const { entries, whole } = slices.next(db, limit);
  const size = db.prepare("SELECT count(*) FROM tidemark_outbox").pluck().get();
  expect(whole).toBe(entries.length === size);
  if (whole) clearOutbox(db);
  else removeFromOutbox(db, entries.at(-1)!.seq);
  return entries.length;
}

function takeAll(limit: number): number[] {
  const sizes = [];
  while (db.prepare("SELECT 1 FROM tidemark_outbox").get() !== undefined) sizes.push(take(limit));
  return sizes;
}

it("cuts what replaces nothing to the limit", () => {
  write(born("a", 1), died("b", 2), ...edits(4), born("c", 3), died("d", 4));
  expect(takeAll(3)).toEqual([3, 3, 2]);
});

it.each([
  { name: "the key", death: died("a", 1), birth: born("b", 1) },
  { name: "the identity", death: died("a", 1), birth: born("a", 2) },
  { name: "the identity, without a key", death: died("a"), birth: born("a") },
  { name: "the key of what may have gone", death: { ...died("a", 1), mask: SUSPECT }, birth: born("b", 1) },
])("goes on to a birth that takes $name, however far off", ({ death, birth }) => {
  write(death, ...edits(3_000), birth, ...edits(3));
  expect(takeAll(2)).toEqual([3_002, 2, 1]);
});

it("goes on to the last birth of a table that is emptied and filled again", () => {
  const keys = Array.from({ length: 1_000 }, (_, n) => n);
  write(...keys.map((n) => died(`a${n}`, n)), ...keys.map((n) => born(`b${n}`, n)));
  expect(takeAll(300)).toEqual([2_000]);
});

it("takes along what begins on the way to a birth", () => {
  write(died("a", 1), edit("x"), died("b", 2), born("c", 1), edit("y"), born("d", 2), edit("z"));
  expect(takeAll(2)).toEqual([6, 1]);
});

it("takes along what lies within", () => {
  write(died("a", 1), edit("x"), died("b", 2), born("c", 2), born("d", 1), edit("y"));
  expect(takeAll(2)).toEqual([5, 1]);
});

it("cuts between two replacements", () => {
  const replaced = Array.from({ length: 9 }, (_, n) => [died(`a${n}`, n), born(`b${n}`, n)]).flat();
  write(...replaced);
  expect(takeAll(3)).toEqual([4, 4, 4, 4, 2]);
});

it("cuts a model that nothing refers to anywhere", () => {
  write(...[died("a", 1), ...edits(4), born("b", 1)].map((draft) => ({ ...draft, model: LONELY })));
  expect(takeAll(3)).toEqual([3, 3]);
});

it("goes on to a birth that came while slices were taken", () => {
  write(...edits(3), died("a", 1), died("b", 2), ...edits(4));
  expect(take(3)).toBe(3);
  write(born("c", 2), ...edits(2));
  expect(takeAll(3)).toEqual([7, 2]);
});

it("no longer goes on to what replaces a row of an earlier slice", () => {
  write(died("a", 1), ...edits(8));
  expect(take(3)).toBe(3);
  write(died("b", 2), born("c", 1), ...edits(3));
  expect(takeAll(3)).toEqual([3, 3, 3, 2]);
});

it("takes a slice again that was rolled back", () => {
  write(died("a", 1), ...edits(4), born("b", 1), ...edits(3));
  expect(slices.next(db, 2).entries).toHaveLength(6);
  expect(slices.next(db, 2).entries).toHaveLength(6);
  expect(takeAll(2)).toEqual([6, 2, 1]);
});

it("begins anew with an outbox that was emptied meanwhile", () => {
  write(died("a", 1), ...edits(20), died("c", 3));
  expect(take(2)).toBe(2);
  clearOutbox(db);
  write(died("a", 1), ...edits(4), born("b", 1), ...edits(40), born("c", 3));
  expect(takeAll(20)).toEqual([20, 20, 7]);
  write(died("a", 1), ...edits(4), born("b", 1), edit("x"));
  expect(takeAll(2)).toEqual([6, 1]);
});
