import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compareIdentities } from "../registry/identity-form.js";
import { defer } from "../storage/deferred.js";
import { LogTransaction } from "../storage/log-transaction.js";
import { Members, saveMember } from "../storage/members.js";
import { handMadeRegistry } from "../storage/models.test-support.js";
import { nameAllocator } from "../storage/names.js";
import { park, unpark } from "../storage/parked.js";
import { RecordReader } from "../storage/record-reader.js";
import { migrateSyncTables } from "../storage/schema.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import { REMOVAL_KNOWN, REMOVAL_SETTLED, raiseVector } from "../storage/vectors.js";
import { readBackfillPage, readRecords } from "./backfill-page.js";
import { isUnsettled, ownVector, readChangePage } from "./change-page.js";
import { checkWireRecords, decodeRecords } from "./decode-records.js";
import type { EncodeDeps } from "./encode-records.js";
import { ANY_ORIGIN, joinStates, type RecordState, type Stamp, UNKNOWN, UNSTAMPED } from "./record-state.js";
import type { WireRecords } from "./wire-records.js";

// Pages of a backfill and pages of the log, with limits drawn by chance, while things go on changing between them.

const MODEL = 1;
/** In an order that is not that of JavaScript, and some that lie close together. */
const IDENTITIES = [
  "a",
  "a-",
  "aa",
  "B",
  "b",
  "c",
  "d",
  "e",
  "f",
  "g",
  "é",
  "\uff5e",
  "\uffe0",
  "\u{1f600}",
  "z1",
  "z10",
  "z2",
];

const open: Database.Database[] = [];
afterEach(() => {
  for (const db of open.splice(0)) db.close();
});

/** A device with one model and three members. */
class Store {
  readonly db = new Database(":memory:");
  readonly members = new Members();
  readonly deps: EncodeDeps;
  #hlc = 10;

  constructor() {
    open.push(this.db);
    this.db.exec("CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT, body TEXT)");
    migrateSyncTables({ db: this.db, logId: "log" });
    for (const name of ["x", "y", "z"]) {
      saveMember(this.db, { origin: `origin-${name}`, deviceId: name, name, joinHlc: 1, sponsor: null });
    }
    this.members.load(this.db);
    const numbers = nameAllocator(this.db);
    numbers.model("note");
    for (const column of ["title", "body"]) numbers.column(MODEL, column);
    this.db.exec("UPDATE tidemark_state SET self = 1, ready = 1");
    const registry = handMadeRegistry(this.db, [
      { table: "note", identity: "uuid", localKey: "id", columns: ["title", "body"] },
    ]);
    this.deps = { registry, reader: new RecordReader({ registry }), members: this.members };
  }

  /** A stamp that is younger than all others. */
  stamp(origin: number): Stamp {
    this.#hlc += 1;
    return { hlc: this.#hlc, origin };
  }

  state(record: string): RecordState {
    const { db } = this;
    const row = db.prepare("SELECT 1 FROM note WHERE uuid = ?").get(record) !== undefined;
    return stateOf(loadLogged(db, MODEL, [record]).get(record), row);
  }

  log(record: string, state: RecordState): void {
    const tx = new LogTransaction(this.db, () => 0);
    saveState({ tx, model: MODEL, record, logged: loadLogged(this.db, MODEL, [record]).get(record), state });
    tx.save();
  }

  write(record: string, title: string): void {
    this.db
      .prepare("INSERT INTO note (uuid, title) VALUES (?, ?) ON CONFLICT (uuid) DO UPDATE SET title = excluded.title")
      .run(record, title);
  }

  park(record: string, kind: "hidden" | "dead"): void {
    park({ db: this.db, model: MODEL, record, parked: { kind, reason: "", values: new Map([[1, "aside"]]) }, now: 0 });
  }

  /** Nothing is left of it, in none of the stores. */
  forget(record: string): void {
    this.db.prepare("DELETE FROM note WHERE uuid = ?").run(record);
    this.db.prepare("DELETE FROM tidemark_stamp WHERE record = ?").run(record);
    unpark(this.db, MODEL, record);
  }

  decode(records: WireRecords) {
    const page = checkWireRecords(JSON.parse(JSON.stringify(records)));
    return decodeRecords(page, { ...this.deps, numbers: nameAllocator(this.db), maxHlc: 1_000 }).records;
  }
}

/** Where a record may be kept: in its table, with or without stamps, parked, or only as stamps of the dead. */
const PLACES = ["row", "stamped row", "hidden", "hidden with stamps", "tombstone", "tombstone with edits"] as const;
type Place = (typeof PLACES)[number];

function put(store: Store, record: string, place: Place): void {
  store.forget(record);
  const birth: RecordState = { births: [store.stamp(1)], death: UNSTAMPED, columns: new Map() };
  const death: RecordState = { births: [], death: store.stamp(2), columns: new Map() };
  switch (place) {
    case "row":
      store.write(record, place);
      break;
    case "stamped row":
      store.write(record, place);
      store.log(record, { ...birth, columns: new Map([[1, store.stamp(3)]]) });
      break;
    case "hidden":
      store.park(record, "hidden");
      break;
    case "hidden with stamps":
      store.park(record, "hidden");
      store.log(record, birth);
      break;
    case "tombstone":
      store.log(record, death);
      break;
    case "tombstone with edits":
      store.park(record, "dead");
      store.log(record, { ...death, columns: new Map([[1, store.stamp(3)]]) });
      break;
  }
}

const identity = fc.constantFrom(...IDENTITIES);
const place = fc.constantFrom(...PLACES);
const change = fc.record({ record: identity, place: fc.option(place, { freq: 3 }) });

describe("pages of a backfill", () => {
  it("hold every record of their range once, wherever it is kept, whatever comes and goes between them", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(identity, place), { selector: ([record]) => record }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.array(change, { maxLength: 3 })), {
          minLength: 1,
          maxLength: 20,
        }),
        fc.option(identity, { nil: null }),
        fc.option(identity, { nil: null }),
        (first, turns, from, end) => {
          if (from !== null && end !== null && compareIdentities(from, end) >= 0) return;
          const store = new Store();
          const kept = new Map<string, Place>();
          for (const [record, at] of first) {
            put(store, record, at);
            kept.set(record, at);
          }
          let after = from;
          for (let turn = 0; ; turn++) {
            const [limit, changes] = turns[turn % turns.length]!;
            const page = readBackfillPage({ db: store.db, model: "note", after, upTo: end, limit, deps: store.deps })!;
            const within = [...kept.keys()].filter(
              (record) =>
                (after === null || compareIdentities(record, after) > 0) &&
                (page.upTo === null || compareIdentities(record, page.upTo) <= 0),
            );
            const records = store.decode(page.records);
            expect(records.map(({ record }) => record).sort()).toEqual(within.sort());
            for (const { record, state, values } of records) {
              expect(state).toEqual(expectedState(store, record, kept.get(record)!));
              expect(values[0]).toBe(expectedTitle(kept.get(record)!));
            }
            if (page.upTo === end) break;
            // It goes on, and no page is empty that isn't the last one.
            expect(after === null || compareIdentities(page.upTo!, after) > 0).toBe(true);
            expect(records.length).toBeGreaterThan(0);
            after = page.upTo;
            for (const { record, place: to } of changes) {
              if (to === null) store.forget(record);
              else put(store, record, to);
              if (to === null) kept.delete(record);
              else kept.set(record, to);
            }
          }
          store.db.close();
        },
      ),
      { seed: 61, numRuns: 300, interruptAfterTimeLimit: 20_000 },
    );
  });
});

function expectedState(store: Store, record: string, at: Place): RecordState {
  return stateOf(loadLogged(store.db, MODEL, [record]).get(record), !at.startsWith("tombstone"));
}

function expectedTitle(at: Place): string | undefined {
  if (at === "tombstone") return undefined;
  return at.endsWith("row") ? at : "aside";
}

interface Write {
  readonly record: string;
  readonly origin: number;
  readonly what: "create" | "edit title" | "edit body" | "delete";
}
/** Few records, so that much happens to each. */
const write: fc.Arbitrary<Write> = fc.record({
  record: fc.constantFrom(...IDENTITIES.slice(0, 5)),
  origin: fc.integer({ min: 1, max: 3 }),
  what: fc.constantFrom("create", "edit title", "edit title", "edit body", "delete"),
});

function apply(store: Store, { record, origin, what }: Write): void {
  const state = store.state(record);
  const stamp = store.stamp(origin);
  if (what === "create" && state.births.length === 0) {
    store.write(record, "new");
    store.log(record, { births: [stamp], death: state.death, columns: new Map() });
  } else if (what === "delete" && state.births.length > 0) {
    store.db.prepare("DELETE FROM note WHERE uuid = ?").run(record);
    store.log(record, { births: [], death: stamp, columns: new Map() });
  } else if (what.startsWith("edit") && state.births.length > 0) {
    const column = what === "edit title" ? 1 : 2;
    store.db
      .prepare(`UPDATE note SET ${column === 1 ? "title" : "body"} = ? WHERE uuid = ?`)
      .run(String(stamp.hlc), record);
    store.log(record, { ...state, columns: new Map(state.columns).set(column, stamp) });
  } else if (what === "edit title" && state.death.hlc > 0) {
    // By somebody who did not know of the delete.
    store.park(record, "dead");
    store.log(record, { ...state, columns: new Map(state.columns).set(1, stamp) });
  }
}

describe("pages of the log", () => {
  it("bring a receiver everything that it lacks, however short they are and whatever changes between them", () => {
    fc.assert(
      fc.property(
        fc.array(write, { maxLength: 25 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.array(write, { maxLength: 4 })), {
          minLength: 1,
          maxLength: 8,
        }),
        fc.array(fc.nat({ max: 40 }), { minLength: 3, maxLength: 3 }),
        fc.constantFrom(null, null, 2),
        (before, turns, had, maker) => {
          const store = new Store();
          const { order } = store.members;
          const written = new Set<string>();
          // What the receiver has already, it has merged: everything up to its vector, and what it has made itself.
          const receiver = new Map(had.map((hlc, index) => [index + 1, hlc]));
          if (maker !== null) receiver.set(maker, Number.MAX_SAFE_INTEGER);
          const states = new Map<string, RecordState>();
          const hear = (record: string, state: RecordState) => {
            const local = states.get(record) ?? UNKNOWN;
            states.set(record, joinStates({ local, incoming: state, order }).state);
          };
          const doWrite = (it: Write) => {
            apply(store, it);
            written.add(it.record);
            const { births, death, columns } = store.state(it.record);
            const isKnown = (stamp: Stamp) => stamp.hlc > 0 && stamp.hlc <= receiver.get(stamp.origin)!;
            hear(it.record, {
              births: births.filter(isKnown),
              death: isKnown(death) ? death : UNSTAMPED,
              columns: new Map([...columns].filter(([, stamp]) => isKnown(stamp))),
            });
          };
          before.forEach(doWrite);
          let position = 0;
          for (let turn = 0; ; turn++) {
            const [limit, writes] = turns[Math.min(turn, turns.length - 1)]!;
            const page = readChangePage({
              db: store.db,
              after: position,
              limit,
              receiver,
              maker,
              deps: store.deps,
            })!;
            for (const { record, state } of store.decode(page.records)) hear(record, state);
            // It always goes on while there is more.
            expect(page.position).toBeGreaterThanOrEqual(position);
            if (page.more) expect(page.position).toBeGreaterThan(position);
            // What the sender has is told once, with the end: what is still to come would count as had before.
            expect(page.end === null).toBe(page.more);
            position = page.position;
            if (!page.more) {
              expect(page.end).not.toBeNull();
              break;
            }
            // In the end everything comes to rest.
            if (turn < turns.length) writes.forEach(doWrite);
          }
          for (const record of written) expect(states.get(record), record).toEqual(store.state(record));
          store.db.close();
        },
      ),
      { seed: 62, numRuns: 300, interruptAfterTimeLimit: 20_000 },
    );
  });
});

describe("a page", () => {
  const pageOf = ({ db, deps }: Store, after = 0) =>
    readChangePage({ db, after, limit: 10, receiver: new Map(), deps });

  it("is none while a local change has no stamp: its value would travel under an older one", () => {
    const store = new Store();
    put(store, "a", "stamped row");
    store.db.exec("INSERT INTO tidemark_outbox (model, record, mask) VALUES (1, 'b', -1)");
    const { db, deps } = store;
    expect(pageOf(store)).toBeNull();
    expect(readBackfillPage({ db, model: "note", after: null, upTo: null, limit: 10, deps })).toBeNull();
    expect(readRecords({ db, model: "note", records: ["a"], deps })).toBeNull();
    db.exec("DELETE FROM tidemark_outbox");
    expect(store.decode(pageOf(store)!.records)).toHaveLength(1);
  });

  it("tells nothing, and stands still, while a record has to be restored", () => {
    const store = new Store();
    put(store, "a", "stamped row");
    store.db.exec("INSERT INTO tidemark_restore VALUES (1, 'a')");
    expect(pageOf(store, 1)).toEqual({ records: { origins: [], groups: [] }, position: 1, more: false, end: null });
  });

  it("passes over what the receiver has made, a stretch at a time, and tells what others have made in between", () => {
    const store = new Store();
    const { db, deps } = store;
    const edit = (record: string, origin: number) => {
      store.write(record, "title");
      store.log(record, { births: [UNSTAMPED], death: UNSTAMPED, columns: new Map([[1, store.stamp(origin)]]) });
    };
    for (let index = 0; index < 40; index++) edit(`a${index}`, index === 19 ? 3 : 2);
    const receiver = new Map([[2, Number.MAX_SAFE_INTEGER]]);
    const pages: (readonly string[])[] = [];
    for (let after = 0, more = true; more; ) {
      const page = readChangePage({ db, after, limit: 2, receiver, maker: 2, deps })!;
      pages.push(store.decode(page.records).map(({ record }) => record));
      expect(page.position).toBeGreaterThan(after);
      ({ position: after, more } = page);
      expect(page.end === null).toBe(more);
    }
    expect(pages).toEqual([[], ["a19"], []]);
  });

  it("tells in the end all that its sender has, and which removals it knows", () => {
    const store = new Store();
    put(store, "a", "stamped row");
    raiseVector(store.db, 1, new Map([[2, 5]]));
    store.db.exec(`UPDATE tidemark_member SET removed_kind = 'removed', removed_hlc = 1, removed_by = origin WHERE num > 1;
      UPDATE tidemark_member SET settled_hlc = 3 WHERE num = 3; UPDATE tidemark_state SET hlc = 20`);
    const page = pageOf(store)!;
    expect(page.end).toEqual({
      self: 1,
      vector: new Map([
        [1, 20],
        [2, 5],
        [-2, REMOVAL_KNOWN],
        [-3, REMOVAL_SETTLED],
      ]),
    });
    expect(page.position).toBe(store.db.prepare("SELECT sequence FROM tidemark_state").pluck().get());
  });
});

describe("of a record a page of the log tells", () => {
  const stamp = (hlc: number, origin: number): Stamp => ({ hlc, origin });
  let store: Store;
  beforeEach(() => {
    store = new Store();
  });
  /** What a receiver is told that has so much of x, y and z. */
  const told = (...had: readonly number[]) => {
    const receiver = new Map(had.map((hlc, index) => [index + 1, hlc]));
    const { records } = readChangePage({ db: store.db, after: 0, limit: 10, receiver, deps: store.deps })!;
    return store.decode(records).map(({ record, state, values }) => ({ record, state, values }));
  };

  it("all of it where the receiver lacks a birth, whichever", () => {
    store.write("a", "title");
    const state = { births: [stamp(11, 1), stamp(20, 2)], death: UNSTAMPED, columns: new Map([[1, stamp(21, 3)]]) };
    store.log("a", state);
    const whole = [{ record: "a", state, values: ["title", null] }];
    expect(told(10, 20, 21)).toEqual(whole);
    expect(told(11, 19, 21)).toEqual(whole);
    // Once, also where an edit is news too.
    expect(told(11, 19, 20)).toEqual(whole);
    expect(told(11, 20, 21)).toEqual([]);
  });

  it("the columns that the receiver lacks, and nothing of the life that it has", () => {
    store.write("a", "title");
    store.log("a", {
      births: [stamp(11, 1)],
      death: UNSTAMPED,
      columns: new Map([
        [1, stamp(12, 2)],
        [2, stamp(13, 3)],
      ]),
    });
    expect(told(11, 11, 13)).toEqual([
      {
        record: "a",
        state: { births: [], death: UNSTAMPED, columns: new Map([[1, stamp(12, 2)]]) },
        values: ["title", undefined],
      },
    ]);
    expect(told(11, 12, 13)).toEqual([]);
  });

  it("its death, or edits that did not know of it, each to whom it is news", () => {
    store.park("a", "dead");
    store.log("a", { births: [], death: stamp(12, 2), columns: new Map([[1, stamp(13, 3)]]) });
    const death = { births: [], death: stamp(12, 2), columns: new Map() };
    const edit = { births: [], death: UNSTAMPED, columns: new Map([[1, stamp(13, 3)]]) };
    expect(told(0, 11, 13)).toEqual([{ record: "a", state: death, values: [undefined, undefined] }]);
    expect(told(0, 12, 12)).toEqual([{ record: "a", state: edit, values: ["aside", undefined] }]);
    expect(told(0, 12, 13)).toEqual([]);
  });

  it("the death that its life stands on, to whom that is news, and with it no more than is news", () => {
    store.write("a", "title");
    const whole = { births: [stamp(20, 2)], death: stamp(12, 3), columns: new Map([[1, stamp(21, 2)]]) };
    store.log("a", whole);
    const untold = [undefined, undefined];
    const death = { births: [], death: stamp(12, 3), columns: new Map() };
    expect(told(0, 21, 11)).toEqual([{ record: "a", state: death, values: untold }]);
    const both = { births: [], death: stamp(12, 3), columns: whole.columns };
    expect(told(0, 20, 11)).toEqual([{ record: "a", state: both, values: ["title", undefined] }]);
    expect(told(0, 21, 12)).toEqual([]);
    expect(told(0, 19, 12)).toEqual([{ record: "a", state: whole, values: ["title", null] }]);
  });

  it("no death where its life stands on a floor, which is nobody's", () => {
    store.write("a", "title");
    const floor = stamp(12, ANY_ORIGIN);
    store.log("a", { births: [stamp(20, 2)], death: floor, columns: new Map([[1, stamp(21, 2)]]) });
    expect(told(0, 21, 0)).toEqual([]);
    const edit = { births: [], death: UNSTAMPED, columns: new Map([[1, stamp(21, 2)]]) };
    expect(told(0, 20, 0)).toEqual([{ record: "a", state: edit, values: ["title", undefined] }]);
    expect(told(0, 19, 0)).toMatchObject([{ state: { death: floor } }]);
  });

  it("an edit that brings an unstamped record no life", () => {
    store.write("a", "title");
    store.log("a", { births: [UNSTAMPED, stamp(20, 2)], death: UNSTAMPED, columns: new Map([[1, stamp(21, 3)]]) });
    const edit = { births: [], death: UNSTAMPED, columns: new Map([[1, stamp(21, 3)]]) };
    expect(told(0, 20, 20)).toEqual([{ record: "a", state: edit, values: ["title", undefined] }]);
    expect(told(0, 20, 21)).toEqual([]);
  });

  it("nothing that is forgotten here, but for the death that an edit has to be seen with", () => {
    store.write("a", "title");
    store.log("a", {
      births: [UNSTAMPED],
      death: UNSTAMPED,
      columns: new Map([
        [1, stamp(15, 3)],
        [2, stamp(16, 3)],
      ]),
    });
    store.park("b", "dead");
    const dead = { births: [], death: stamp(15, 2), columns: new Map([[1, stamp(16, 3)]]) };
    store.log("b", dead);
    store.db.exec("UPDATE tidemark_state SET floor = 15");
    const edit = { births: [], death: UNSTAMPED, columns: new Map([[2, stamp(16, 3)]]) };
    expect(new Map(told(0, 0, 0).map(({ record, state }) => [record, state]))).toEqual(
      new Map([
        ["a", edit],
        ["b", dead],
      ]),
    );
  });

  it("nothing but an edit of what has no stamp any more", () => {
    store.write("a", "title");
    store.log("a", { births: [UNSTAMPED], death: UNSTAMPED, columns: new Map([[1, stamp(13, 3)]]) });
    const edit = { births: [], death: UNSTAMPED, columns: new Map([[1, stamp(13, 3)]]) };
    expect(told(0, 0, 12)).toEqual([{ record: "a", state: edit, values: ["title", undefined] }]);
  });

  it("what is kept for later, to whom it is news", () => {
    const later = {
      origins: [["origin-z", "z", "z"]],
      groups: [{ m: "note", c: ["title", "body"], r: [["later", [900, 0], [], [], 0, ["t", "b"]]] }],
    };
    const tx = new LogTransaction(store.db, () => 0);
    expect(isUnsettled(store.db)).toBe(false);
    defer(tx, 900, later as never);
    tx.save();
    expect(isUnsettled(store.db)).toBe(true);
    expect(told().map(({ record }) => record)).toEqual(["later"]);
    expect(told(0, 0, 899).map(({ record }) => record)).toEqual(["later"]);
    expect(told(999, 999, 900)).toEqual([]);
  });
});

describe("a snapshot tells no truth", () => {
  it.each([
    ["while a record has to be restored", "INSERT INTO tidemark_restore VALUES (1, 'a')"],
    ["while something has to be issued again", "INSERT INTO tidemark_unsent VALUES (1, 5, 1, 'a', 0, 0, '{}')"],
  ])("%s", (_, sql) => {
    const { db } = new Store();
    expect(isUnsettled(db)).toBe(false);
    db.exec(sql);
    expect(isUnsettled(db)).toBe(true);
  });
});

it("tells nothing of what it has before it is a member", () => {
  const { db } = new Store();
  db.exec("UPDATE tidemark_state SET self = NULL");
  expect(ownVector(db)).toEqual(new Map());
});
