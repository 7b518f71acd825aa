import type { WireValue } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { Members, saveMember } from "../storage/members.js";
import { type HandMadeModel, handMadeRegistry } from "../storage/models.test-support.js";
import { nameAllocator } from "../storage/names.js";
import { park } from "../storage/parked.js";
import { RecordReader } from "../storage/record-reader.js";
import { migrateSyncTables } from "../storage/schema.js";
import { checkWireRecords, decodeRecords } from "./decode-records.js";
import { encodeRecords, type Outgoing } from "./encode-records.js";
import { ANY_ORIGIN, type Birth, type RecordState, type Stamp, UNSTAMPED } from "./record-state.js";

// Records that are encoded on one device and decoded on another one, whose numbers for models, columns and members, whose
// tables and whose order of columns are all others.

const ORIGINS = ["origin-x", "origin-y", "origin-z"];
const COLUMNS = ["title", "size", "anything", "parent"];
const open: Database.Database[] = [];
afterAll(() => {
  for (const db of open) db.close();
});

/** A device that knows the members in this order, and has the model with its columns in that order. */
function device(origins: readonly string[], table: string, model: HandMadeModel) {
  const db = new Database(":memory:");
  open.push(db);
  db.exec(table);
  migrateSyncTables({ db, logId: "log" });
  for (const origin of origins)
    saveMember(db, { origin, deviceId: origin, name: `device of ${origin}`, joinHlc: 1, sponsor: null });
  const members = new Members();
  members.load(db);
  const numbers = nameAllocator(db);
  const number = numbers.model("item");
  for (const column of model.columns) numbers.column(number, model.names?.[column] ?? column);
  const registry = handMadeRegistry(db, [model]);
  return { db, members, numbers, registry, reader: new RecordReader({ registry }), model: registry.models[0]! };
}

const here = device(
  ORIGINS,
  `CREATE TABLE item (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT, size INTEGER, anything,
   parent INTEGER REFERENCES item (id))`,
  { table: "item", identity: "uuid", localKey: "id", columns: COLUMNS, references: { parent: "item" } },
);
const there = device(
  [...ORIGINS].reverse(),
  "CREATE TABLE things (anything, parent_uuid TEXT REFERENCES things (uuid), n INTEGER, uuid TEXT PRIMARY KEY, label TEXT)",
  {
    table: "things",
    name: "item",
    identity: "uuid",
    columns: ["anything", "parent_uuid", "n", "label"],
    names: { parent_uuid: "parent", n: "size", label: "title" },
    references: { parent_uuid: "things" },
  },
);

const hlc = fc.integer({ min: 1, max: 2 ** 50 });
const stamp: fc.Arbitrary<Stamp> = fc.record({ hlc, origin: fc.integer({ min: 1, max: 3 }) });
const birth: fc.Arbitrary<Birth> = fc.oneof(
  fc.constant(UNSTAMPED),
  stamp,
  fc.tuple(stamp, fc.nat({ max: 1_000 })).map(([at, age]) => ({ ...at, age: Math.min(age, at.hlc) })),
);
const state: fc.Arbitrary<RecordState> = fc.record({
  births: fc.array(birth, { maxLength: 3 }).map((births) => births.sort((a, b) => a.hlc - b.hlc)),
  death: fc.oneof(
    fc.constant(UNSTAMPED),
    stamp,
    hlc.map((at) => ({ hlc: at, origin: ANY_ORIGIN })),
  ),
  columns: fc
    .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 4 }), stamp), { selector: ([column]) => column })
    .map((columns) => new Map(columns)),
});
/** A life that has only lost its stamp has no death that could be told. */
const told = state.map((it) =>
  it.births.every(({ hlc }) => hlc === 0) && it.births.length > 0 ? { ...it, death: UNSTAMPED } : it,
);
const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.constant('{"b":"AA=="}'));
const record = fc.record({
  state: told,
  full: fc.boolean(),
  title: fc.option(text),
  size: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  anything: fc.option(fc.oneof(text, fc.double({ noNaN: true }), fc.uint8Array({ maxLength: 5 }))),
  parent: fc.option(fc.nat({ max: 5 })),
  parked: fc.boolean(),
});

describe("records on their way", () => {
  it("arrive with their stamps, ages and values, by name, whatever is called what on either side", () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 6 }), (list) => {
        here.db.exec("DELETE FROM item; DELETE FROM tidemark_parked");
        const insert = here.db.prepare("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)");
        const outgoing = list.map((it, index): Outgoing => {
          const name = `r${index}`;
          const parent = it.parent !== null && it.parent < index && !list[it.parent]!.parked ? it.parent + 1 : null;
          if (it.parked) {
            const values = new Map<number, WireValue>([[1, it.title]]);
            const parked = { kind: "hidden", reason: "", values } as const;
            park({ db: here.db, model: here.model.number, record: name, parked, now: 0 });
          } else insert.run(index + 1, name, it.title, it.size, it.anything, parent);
          return { model: here.model.number, record: name, state: it.state, full: it.full };
        });
        const encoded = encodeRecords(here.db, outgoing, here);
        const travelled = checkWireRecords(JSON.parse(JSON.stringify(encoded)));
        const { records, foreign } = decodeRecords(travelled, { ...there, maxHlc: 2 ** 51 });
        expect(foreign).toEqual([]);
        expect(records.map((it) => it.record)).toEqual(outgoing.map((it) => it.record));
        const rows = here.reader.readByIdentity(
          here.db,
          here.model,
          outgoing.map((it) => it.record),
        );
        records.forEach((arrived, index) => {
          const sent = outgoing[index]!;
          expect(arrived.state).toEqual(inTermsOfThere(sent.state));
          expect(arrived.extra).toBeNull();
          const row = list[index]!.parked ? [list[index]!.title] : rows.get(sent.record)!;
          const wanted = (column: string) =>
            (sent.full && sent.state.births.length > 0) || sent.state.columns.has(COLUMNS.indexOf(column) + 1);
          there.model.columns.forEach(({ name }, at) => {
            const value = row[COLUMNS.indexOf(name)];
            expect(arrived.values[at]).toEqual(wanted(name) ? value : undefined);
          });
        });
      }),
      { seed: 51, numRuns: 500 },
    );
  });
});

/** The same stamps, with the numbers that the other device has for origins and columns. */
function inTermsOfThere({ births, death, columns }: RecordState): RecordState {
  const translate = <T extends Stamp>(at: T): T =>
    at.origin === ANY_ORIGIN
      ? at
      : { ...at, origin: there.members.byOrigin(here.members.byNumber(at.origin).origin)!.num };
  return {
    births: births.map(translate),
    death: translate(death),
    columns: new Map(
      [...columns].map(([column, at]) => [there.model.columnByName.get(COLUMNS[column - 1]!)!.number, translate(at)]),
    ),
  };
}
