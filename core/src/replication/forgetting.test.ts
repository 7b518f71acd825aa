import Database from "better-sqlite3";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { LogTransaction } from "../storage/log-transaction.js";
import { migrateSyncTables } from "../storage/schema.js";
import { loadLogged, saveState, stateOf } from "../storage/stamp-store.js";
import {
  type Birth,
  beyondFloor,
  bornLocally,
  diedLocally,
  isLiving,
  joinStates,
  lifeOf,
  newsOf,
  type RecordState,
  type Stamp,
  stampOrder,
  UNKNOWN,
  UNSTAMPED,
} from "./record-state.js";

// Forgetting below the stable point changes nothing: a device that has forgotten, and one that remembers everything, come
// to the same after whatever is still to come. Through the real log, as its rows are written, read and judged by the floor.
//
// What may still come follows from what the stable point is. Everybody has every change up to it. Above it there are
// changes whose makers had not seen all of that; but when they said that they have, they had made them, and a vector counts
// only once it is reached: so whoever forgets has these. What comes later was made by somebody who had seen them, too.

const order = stampOrder((num) => `origin-${num}`);
const COLUMNS = [1, 2];

interface Kept {
  readonly state: RecordState;
  readonly values: ReadonlyMap<number, string>;
}

/** A change as it travels, after those that its maker had seen. */
interface Change {
  readonly maker: number;
  readonly stamp: Stamp;
  readonly message: Kept;
  readonly seen: ReadonlySet<Change>;
}

interface Step {
  readonly maker: number;
  readonly what: "create" | "delete" | "edit";
  readonly column: number;
  /** Which of the changes before it the maker has seen. */
  readonly sight: number;
  /** Whether the maker has forgotten what is stable. */
  readonly forgetful: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  maker: fc.integer({ min: 1, max: 3 }),
  what: fc.constantFrom("create", "delete", "edit", "edit"),
  column: fc.constantFrom(...COLUMNS),
  sight: fc.nat({ max: 0xffff }),
  forgetful: fc.boolean(),
});

function merge(local: Kept, incoming: Kept): Kept {
  const join = joinStates({ local: local.state, incoming: incoming.state, order });
  // As in `apply.ts`: an edit of a record that is neither here nor remembered is an edit of a dead record.
  if (!isLiving(join.state) && join.state.death.hlc === 0) return local;
  const values = new Map(local.values);
  for (const [column, value] of incoming.values) if (join.wins(column)) values.set(column, value);
  return { state: join.state, values };
}

/**
 * What a person sees, and since when the record lives, which references are compared with. A life from `forgotten` or
 * before is older than everything still to come, whenever it began.
 */
function meaning({ state, values }: Kept, forgotten = 0): unknown {
  if (!isLiving(state)) return null;
  const { hlc } = lifeOf(state);
  return { since: hlc <= forgotten ? 0 : hlc, values: COLUMNS.map((column) => values.get(column)) };
}

const NOTHING: Kept = { state: UNKNOWN, values: new Map() };
const START = 10;
const hlcOf = (index: number) => START + 2 * index;

/** What may be seen goes in together with all that had been seen by who made it. */
function closure(changes: Iterable<Change>): Set<Change> {
  const all = new Set<Change>();
  for (const change of changes) {
    all.add(change);
    for (const earlier of change.seen) all.add(earlier);
  }
  return all;
}

/** The changes, in the order of their times, each made on what its maker has seen. */
function changesOf(
  db: Database.Database,
  steps: readonly Step[],
  { stable, late }: { readonly stable: number; readonly late: number },
): readonly Change[] {
  const changes: Change[] = [];
  steps.forEach(({ maker, what, column, sight, forgetful }, index) => {
    const seen = closure(changes.filter((change, at) => change.maker === maker || (sight & (1 << (at % 16))) !== 0));
    const isLate = index >= late;
    if (isLate) for (const change of closure(heldWhenForgetting(changes, stable, late))) seen.add(change);
    const floor = isLate && forgetful ? hlcOf(stable) - 1 : 0;
    const known = changes
      .filter((change) => seen.has(change))
      .reduce((sum, { message }) => merge(sum, message), NOTHING);
    const { state } = floor > 0 ? forget(db, known, floor) : known;
    const stamp: Stamp = { hlc: hlcOf(index), origin: maker };
    const message = messageOf(isLiving(state) ? what : "create", state, stamp, column, floor);
    changes.push({ maker, stamp, seen, message });
  });
  return changes;
}

/** What is stable, and what was made by somebody who had not seen all of that. */
function heldWhenForgetting(changes: readonly Change[], stable: number, late: number): readonly Change[] {
  const old = changes.slice(0, stable);
  const blind = changes.slice(stable, late).filter(({ seen }) => old.some((change) => !seen.has(change)));
  return [...old, ...blind];
}

function messageOf(what: Step["what"], local: RecordState, stamp: Stamp, column: number, floor: number): Kept {
  const value = `${stamp.hlc}/${stamp.origin}`;
  switch (what) {
    case "create": {
      // A row that is replaced is created where it lives, too.
      const { death } = bornLocally(local, stamp, floor, order);
      const births: readonly Birth[] = [stamp];
      return { state: { births, death, columns: new Map() }, values: new Map(COLUMNS.map((it) => [it, value])) };
    }
    case "delete":
      return { state: diedLocally(stamp), values: new Map() };
    case "edit":
      return {
        state: { births: [], death: UNSTAMPED, columns: new Map([[column, stamp]]) },
        values: new Map([[column, value]]),
      };
  }
}

/** The changes in an order in which each comes after those that its maker had seen; some come twice. */
function delivered(changes: readonly Change[], had: ReadonlySet<Change>, dice: () => number): readonly Change[] {
  const left = changes.filter((change) => !had.has(change));
  const done: Change[] = [];
  while (left.length > 0) {
    const ready = left.filter(({ seen }) => left.every((change) => !seen.has(change)));
    const next = ready[dice() % ready.length]!;
    left.splice(left.indexOf(next), 1);
    done.push(next);
  }
  return done.flatMap((change, index) => (dice() % 4 === 0 ? [change, done[dice() % (index + 1)]!] : [change]));
}

/** The rest as states that others pass on, who may have forgotten as much as the receiver, or nothing. */
function passedOn(
  db: Database.Database,
  kept: Kept,
  changes: readonly Change[],
  had: ReadonlySet<Change>,
  floor: number,
  dice: () => number,
): Kept {
  let result = kept;
  let known = had;
  for (let last = false; !last; ) {
    last = dice() % 3 === 0;
    const theirs = closure([...had, ...changes.filter(() => last || dice() % 2 === 0)]);
    const whole = mergeAll(NOTHING, delivered([...theirs], new Set(), dice));
    const { state, values } = dice() % 2 === 0 ? forget(db, whole, floor) : whole;
    const stamps = new Set([...known].map(({ stamp: { hlc, origin } }) => `${hlc}/${origin}`));
    const told = beyondFloor(state, ({ hlc }) => hlc > 0 && hlc <= floor);
    // In a backfill everything counts, also what is known.
    const news = dice() % 2 === 0 ? told : newsOf(told, ({ hlc, origin }) => !stamps.has(`${hlc}/${origin}`));
    if (news !== null) result = merge(result, { state: news, values });
    known = new Set([...known, ...theirs]);
  }
  return result;
}

function mergeAll(kept: Kept, changes: readonly Change[]): Kept {
  return changes.reduce((sum, { message }) => merge(sum, message), kept);
}

const databases: Database.Database[] = [];
afterAll(() => {
  for (const db of databases) db.close();
});

/** Writes a state into a log, raises the floor, and reads what is left. */
function forget(db: Database.Database, { state, values }: Kept, floor: number): Kept {
  db.exec("DELETE FROM tidemark_stamp; UPDATE tidemark_state SET floor = 0");
  const tx = new LogTransaction(db, () => 0);
  saveState({ tx, model: 1, record: "r", logged: undefined, state });
  tx.raiseFloor(floor);
  tx.save();
  return { state: stateOf(loadLogged(db, 1, ["r"]).get("r"), isLiving(state)), values };
}

describe("forgetting what is stable", () => {
  it("leads to the same as remembering everything, whatever comes after and in whatever order", () => {
    const db = new Database(":memory:");
    databases.push(db);
    migrateSyncTables({ db, logId: "log" });
    let lives = 0;
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 2, maxLength: 9 }),
        fc.nat({ max: 5 }),
        fc.nat({ max: 5 }),
        fc.infiniteStream(fc.nat({ max: 1_000 })),
        (steps, first, second, stream) => {
          const dice = () => stream.next().value as number;
          const stable = first % steps.length;
          const late = Math.min(steps.length, stable + second);
          const floor = hlcOf(stable) - 1;
          const changes = changesOf(db, steps, { stable, late });
          const had = closure([
            ...heldWhenForgetting(changes, stable, late),
            ...changes.filter(() => dice() % 3 === 0),
          ]);
          const remembered = mergeAll(NOTHING, delivered([...had], new Set(), dice));
          const forgotten = forget(db, remembered, floor);
          expect(meaning(forgotten)).toEqual(meaning(remembered, floor));
          const one = mergeAll(forgotten, delivered(changes, had, dice));
          const other = mergeAll(NOTHING, delivered(changes, new Set(), dice));
          const truth = meaning(other, floor);
          expect(meaning(one)).toEqual(truth);
          expect(meaning(passedOn(db, forgotten, changes, had, floor, dice))).toEqual(truth);
          // What has been forgotten once can be forgotten again.
          expect(meaning(forget(db, one, floor))).toEqual(truth);
          if (isLiving(one.state)) lives += 1;
        },
      ),
      { seed: 41, numRuns: 2_000 },
    );
    // Neither all dead nor all alive, or the comparison would say little.
    expect(lives).toBeGreaterThan(300);
    expect(lives).toBeLessThan(1_950);
  });
});
