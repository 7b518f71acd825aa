import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ANY_ORIGIN,
  type Birth,
  beyondFloor,
  bornLocally,
  columnStamp,
  diedLocally,
  editedLocally,
  isLiving,
  joinStates,
  lifeOf,
  losesTo,
  newestBirth,
  newsOf,
  overridesUnheard,
  type RecordState,
  referenceHolds,
  SETTLED,
  type Stamp,
  stampOrder,
  stampsOf,
  UNKNOWN,
  UNSTAMPED,
} from "./record-state.js";

const order = stampOrder((num) => `origin-${num}`);
const COLUMNS = [1, 2];

/** A record with its values: each value says under which stamp it was written. */
interface Kept {
  readonly state: RecordState;
  readonly values: ReadonlyMap<number, string>;
}

/** What one change tells others. A creation brings all values, an edit those of its columns. */
type Change =
  | { readonly kind: "birth"; readonly stamp: Birth; readonly prior: Stamp }
  | { readonly kind: "death"; readonly stamp: Stamp }
  | { readonly kind: "edit"; readonly stamp: Stamp; readonly column: number };

function messageOf(change: Change): Kept {
  const value = `${change.stamp.hlc}/${change.stamp.origin}`;
  switch (change.kind) {
    case "birth":
      return {
        state: { births: [change.stamp], death: change.prior, columns: new Map() },
        values: new Map(COLUMNS.map((column) => [column, value])),
      };
    case "death":
      return { state: diedLocally(change.stamp), values: new Map() };
    case "edit":
      return {
        state: { births: [], death: UNSTAMPED, columns: new Map([[change.column, change.stamp]]) },
        values: new Map([[change.column, value]]),
      };
  }
}

function merge(local: Kept, incoming: Kept): Kept {
  const join = joinStates({ local: local.state, incoming: incoming.state, order });
  const values = new Map(local.values);
  for (const [column, value] of incoming.values) if (join.wins(column)) values.set(column, value);
  return { state: join.state, values };
}

/** What a person sees, and what later changes are compared with. */
function meaning({ state, values }: Kept): unknown {
  const stamps = (column: number) => {
    const { hlc, origin } = columnStamp(state, column);
    return `${hlc}/${origin}`;
  };
  return {
    births: state.births,
    death: state.death,
    columns: COLUMNS.map((column) =>
      isLiving(state) || state.columns.has(column) ? [stamps(column), values.get(column)] : null,
    ),
  };
}

const stamp = fc.record({ hlc: fc.integer({ min: 10, max: 40 }), origin: fc.integer({ min: 1, max: 3 }) });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(stamp, fc.integer({ min: 0, max: 9 }), fc.option(fc.integer({ min: 0, max: 9 }), { freq: 3 })).map(
    ([at, prior, age]): Change => ({
      kind: "birth",
      stamp: age === null ? at : { ...at, age },
      prior: prior === 0 ? UNSTAMPED : { hlc: at.hlc - prior, origin: ANY_ORIGIN },
    }),
  ),
  stamp.map((at): Change => ({ kind: "death", stamp: at })),
  fc.record({ kind: fc.constant("edit" as const), stamp, column: fc.constantFrom(...COLUMNS) }),
);
/** One stamp names one change. */
const changes = fc.uniqueArray(change, {
  minLength: 2,
  maxLength: 6,
  selector: ({ stamp: at }) => `${at.hlc}/${at.origin}`,
});
const FIRST: Kept = messageOf({ kind: "birth", stamp: { hlc: 5, origin: 1 }, prior: UNSTAMPED });

describe("joining", () => {
  it("ends in the same state and the same values whatever the order, also with repetition", () => {
    fc.assert(
      fc.property(changes, fc.infiniteStream(fc.nat()), (list, dice) => {
        const all = list.map(messageOf);
        const shuffled = [...all, ...all]
          .map((message) => ({ message, at: dice.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ message }) => message);
        expect(meaning(shuffled.reduce(merge, FIRST))).toEqual(meaning(all.reduce(merge, FIRST)));
      }),
      { seed: 11, numRuns: 2_000 },
    );
  });

  it("is associative: changes may be joined with each other first", () => {
    fc.assert(
      fc.property(changes, fc.nat(), (list, cut) => {
        const all = [FIRST, ...list.map(messageOf)];
        const at = 1 + (cut % (all.length - 1));
        const left = all.slice(0, at).reduce(merge);
        // A part without its creation is only ever joined into a whole record.
        const right = [FIRST, ...all.slice(at)].reduce(merge);
        expect(meaning(merge(left, right))).toEqual(meaning(all.reduce(merge)));
      }),
      { seed: 12, numRuns: 2_000 },
    );
  });

  it("is commutative and idempotent, for whole states", () => {
    fc.assert(
      fc.property(changes, changes, fc.infiniteStream(fc.option(fc.nat({ max: 9 }))), (left, right, ages) => {
        // One stamp names one change on both sides; but of one birth they may know different ages.
        const known = new Set(left.map(({ stamp: at }) => `${at.hlc}/${at.origin}`));
        const others = right.filter(({ stamp: at }) => !known.has(`${at.hlc}/${at.origin}`));
        for (const it of left) {
          const { value: age } = ages.next();
          if (it.kind === "birth" && age != null) others.push({ ...it, stamp: { ...it.stamp, age } });
        }
        const one = left.map(messageOf).reduce(merge, FIRST);
        const other = others.map(messageOf).reduce(merge, FIRST);
        const both = merge(one, other);
        expect(meaning(both)).toEqual(meaning(merge(other, one)));
        for (const again of [one, other, both]) {
          const join = joinStates({ local: both.state, incoming: again.state, order });
          expect(join.changed).toBe(false);
          expect(join.state).toEqual(both.state);
          // Of equal stamps neither wins: nothing is written twice.
          expect(COLUMNS.filter((column) => join.wins(column))).toEqual([]);
        }
      }),
      { seed: 14, numRuns: 2_000 },
    );
  });

  it("agrees with a record that never forgets", () => {
    fc.assert(
      fc.property(changes, (list) => {
        const merged = list.map(messageOf).reduce(merge, FIRST);
        const births = [{ hlc: 5, origin: 1 }, ...list.flatMap((it) => (it.kind === "birth" ? [it.stamp] : []))];
        const deaths = list.flatMap((it) => (it.kind === "death" ? [it.stamp] : it.kind === "birth" ? [it.prior] : []));
        const death = deaths.sort(order.compare).at(-1) ?? UNSTAMPED;
        const living = births.filter((birth) => order.compare(birth, death) > 0).sort(order.compare);
        expect(isLiving(merged.state)).toBe(living.length > 0);
        if (living.length === 0) return;
        const lives = living.map(({ hlc, origin, age }: Birth) =>
          age === undefined ? { hlc, origin } : age === 0 ? UNSTAMPED : { hlc: age, origin: ANY_ORIGIN },
        );
        expect(lifeOf(merged.state)).toEqual(lives.sort(order.compare)[0]);
        for (const column of COLUMNS) {
          const edits = list.flatMap((it) => (it.kind === "edit" && it.column === column ? [it.stamp] : []));
          const winner = [...edits, living.at(-1)!].sort(order.compare).at(-1)!;
          expect(columnStamp(merged.state, column)).toEqual(winner);
          expect(merged.values.get(column)).toBe(`${winner.hlc}/${winner.origin}`);
        }
      }),
      { seed: 13, numRuns: 2_000 },
    );
  });

  it("lets a delete beat the edits that it raced with, and keeps younger ones for a later life", () => {
    const dead = merge(FIRST, messageOf({ kind: "death", stamp: { hlc: 20, origin: 2 } }));
    expect(merge(dead, messageOf({ kind: "edit", stamp: { hlc: 15, origin: 3 }, column: 1 })).state.columns.size).toBe(
      0,
    );
    const edited = merge(dead, messageOf({ kind: "edit", stamp: { hlc: 30, origin: 3 }, column: 1 }));
    expect(isLiving(edited.state)).toBe(false);
    const revived = merge(
      edited,
      messageOf({ kind: "birth", stamp: { hlc: 25, origin: 2 }, prior: { hlc: 20, origin: 2 } }),
    );
    expect([revived.values.get(1), revived.values.get(2)]).toEqual(["30/3", "25/2"]);
  });

  it("takes the library's value where neither side has a stamp, and only if it is told to", () => {
    const settled: RecordState = { births: [UNSTAMPED], death: UNSTAMPED, columns: new Map() };
    const wins = (ties: "none" | "unstamped" | "all") =>
      joinStates({ local: settled, incoming: settled, order, ties }).wins(1);
    expect([wins("none"), wins("unstamped"), wins("all")]).toEqual([false, true, true]);
    const stamped: RecordState = { births: [{ hlc: 9, origin: 1 }], death: UNSTAMPED, columns: new Map() };
    expect(joinStates({ local: stamped, incoming: stamped, order, ties: "unstamped" }).wins(1)).toBe(false);
    expect(joinStates({ local: stamped, incoming: stamped, order, ties: "all" }).wins(1)).toBe(true);
  });
});

/** All that a state says, in a form that can be compared. */
function written({ births, death, columns }: RecordState): unknown {
  return {
    births: births.map(({ hlc, origin, age = hlc }) => [hlc, origin, age]),
    death: [death.hlc, death.origin],
    columns: [...columns].map(([column, { hlc, origin }]) => [column, hlc, origin]).sort(),
  };
}

const living = (...births: readonly Birth[]): RecordState => ({ births, death: UNSTAMPED, columns: new Map() });
const edit = (column: number, at: Stamp): RecordState => ({
  births: [],
  death: UNSTAMPED,
  columns: new Map([[column, at]]),
});

describe("a join", () => {
  it("tells whether the state is another one than before", () => {
    fc.assert(
      fc.property(changes, (list) => {
        let { state } = FIRST;
        for (const { state: incoming } of [...list, ...list].map(messageOf)) {
          const join = joinStates({ local: state, incoming, order });
          expect(join.changed).toBe(JSON.stringify(written(join.state)) !== JSON.stringify(written(state)));
          expect(joinStates({ local: join.state, incoming, order }).changed).toBe(false);
          state = join.state;
        }
      }),
      { seed: 14, numRuns: 500 },
    );
  });

  it("takes the earlier one of two ages of the same birth", () => {
    const joined = (mine: number | undefined, theirs: number | undefined) => {
      const birth = (age: number | undefined): Birth => ({ hlc: 20, origin: 1, ...(age !== undefined && { age }) });
      const { state, changed } = joinStates({ local: living(birth(mine)), incoming: living(birth(theirs)), order });
      return [state.births, changed];
    };
    expect(joined(8, 5)).toEqual([[{ hlc: 20, origin: 1, age: 5 }], true]);
    expect(joined(5, 8)).toEqual([[{ hlc: 20, origin: 1, age: 5 }], false]);
    expect(joined(undefined, 8)).toEqual([[{ hlc: 20, origin: 1, age: 8 }], true]);
    expect(joined(8, undefined)).toEqual([[{ hlc: 20, origin: 1, age: 8 }], false]);
  });

  it("keeps a life from before the floor until any death comes", () => {
    expect(isLiving(joinStates({ local: SETTLED, incoming: UNKNOWN, order }).state)).toBe(true);
    expect(isLiving(joinStates({ local: UNKNOWN, incoming: SETTLED, order }).state)).toBe(true);
    const death = diedLocally({ hlc: 1, origin: 1 });
    expect(isLiving(joinStates({ local: SETTLED, incoming: death, order }).state)).toBe(false);
    expect(isLiving(joinStates({ local: death, incoming: SETTLED, order }).state)).toBe(false);
  });

  it("keeps no birth at its death, and no stamp of a column at its birth", () => {
    const at = { hlc: 20, origin: 1 };
    expect(isLiving(joinStates({ local: living(at), incoming: diedLocally(at), order }).state)).toBe(false);
    expect(joinStates({ local: living(at), incoming: edit(1, at), order }).state.columns.size).toBe(0);
  });

  it("gives nothing to a column that did not come", () => {
    const join = joinStates({ local: SETTLED, incoming: edit(1, { hlc: 9, origin: 1 }), order, ties: "all" });
    expect([join.wins(1), join.wins(2)]).toEqual([true, false]);
  });

  it("takes no value from a life that is over", () => {
    const dead = diedLocally({ hlc: 30, origin: 2 });
    const wins = (at: Stamp) => joinStates({ local: dead, incoming: edit(1, at), order }).wins(1);
    expect(
      [
        { hlc: 29, origin: 2 },
        { hlc: 30, origin: 2 },
        { hlc: 31, origin: 2 },
      ].map(wins),
    ).toEqual([false, false, true]);
  });

  it("takes a value without a stamp only where nothing is known that its sender could not have forgotten", () => {
    const wins = (local: RecordState, forgotten: number, ties: "none" | "unstamped") =>
      joinStates({ local, incoming: SETTLED, order, ties, forgotten }).wins(1);
    expect(wins(UNKNOWN, 0, "none")).toBe(true);
    const dead = diedLocally({ hlc: 30, origin: 2 });
    expect([wins(dead, 0, "none"), wins(dead, 29, "none"), wins(dead, 30, "none")]).toEqual([false, false, true]);
    const born = living({ hlc: 10, origin: 2 });
    expect([wins(born, 9, "unstamped"), wins(born, 10, "unstamped"), wins(born, 10, "none")]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it("lets no stamp win against a younger one, whatever ties do and the sender may have forgotten", () => {
    const local = living({ hlc: 10, origin: 2 });
    const incoming = living({ hlc: 8, origin: 2 });
    for (const forgotten of [0, 10]) {
      expect(joinStates({ local, incoming, order, ties: "all", forgotten }).wins(1)).toBe(false);
    }
  });
});

describe("what somebody tells", () => {
  const upTo = (floor: number) => (stamp: Stamp) => stamp.hlc > 0 && stamp.hlc <= floor;
  const after = (known: number) => (stamp: Stamp) => stamp.hlc > known;
  const column = new Map([[1, { hlc: 40, origin: 2 }]]);

  it("is seen without the births that are forgotten, and then without the death that is", () => {
    const told: RecordState = {
      births: [
        { hlc: 10, origin: 1 },
        { hlc: 20, origin: 2 },
      ],
      death: { hlc: 5, origin: 2 },
      columns: column,
    };
    expect(beyondFloor(told, upTo(15))).toEqual({
      births: [UNSTAMPED, { hlc: 20, origin: 2 }],
      death: UNSTAMPED,
      columns: column,
    });
    expect(beyondFloor(told, upTo(20)).births).toEqual([UNSTAMPED]);
    // A death that is not forgotten counts, whatever is forgotten beside it.
    expect(beyondFloor(told, ({ hlc }) => hlc === 10).death).toEqual(told.death);
  });

  it("is seen as it is where none of its births is forgotten", () => {
    const told = living({ hlc: 20, origin: 2 });
    expect(beyondFloor(told, upTo(19))).toBe(told);
    const dead = diedLocally({ hlc: 5, origin: 2 });
    expect(beyondFloor(dead, upTo(19))).toBe(dead);
    expect(beyondFloor(SETTLED, upTo(19))).toBe(SETTLED);
    const settledAbove: RecordState = { ...SETTLED, death: { hlc: 5, origin: 2 } };
    expect(beyondFloor(settledAbove, upTo(4))).toBe(settledAbove);
    expect(beyondFloor(settledAbove, upTo(5))).toEqual(SETTLED);
  });

  it("is cut down to what is new", () => {
    const birth = { hlc: 20, origin: 1 };
    const told: RecordState = {
      births: [UNSTAMPED, birth],
      death: { hlc: 15, origin: ANY_ORIGIN },
      columns: new Map([...column, [2, { hlc: 30, origin: 1 }]]),
    };
    expect(newsOf(told, after(0))).toEqual({ ...told, births: [birth] });
    expect(newsOf(told, after(20))).toEqual({ births: [], death: UNSTAMPED, columns: told.columns });
    expect(newsOf(told, after(30))).toEqual({ births: [], death: UNSTAMPED, columns: column });
    expect(newsOf(told, after(40))).toBeNull();
    expect(newsOf(SETTLED, () => true)).toBeNull();
    const edits: RecordState = { births: [], death: UNSTAMPED, columns: told.columns };
    expect(newsOf(edits, after(30))).toEqual({ ...edits, columns: column });
  });

  it("is left whole where all of it is new", () => {
    for (const told of [
      living({ hlc: 20, origin: 1 }),
      edit(1, { hlc: 20, origin: 1 }),
      diedLocally({ hlc: 20, origin: 1 }),
    ]) {
      expect(newsOf(told, after(19))).toBe(told);
      expect(newsOf(told, after(20))).toBeNull();
    }
  });

  it("tells no floor as the death of somebody, but the death that a new birth stands on", () => {
    const floor = { hlc: 15, origin: ANY_ORIGIN };
    expect(newsOf(diedLocally(floor), () => true)).toBeNull();
    const born: RecordState = { ...living({ hlc: 20, origin: 1 }), death: floor };
    expect(newsOf(born, after(19))).toEqual(born);
    expect([...stampsOf(born)]).toEqual(born.births);
    expect([...stampsOf(diedLocally({ hlc: 15, origin: 1 }))]).toEqual([{ hlc: 15, origin: 1 }]);
    const edited: RecordState = { births: [], death: { hlc: 5, origin: 1 }, columns: column };
    expect(newsOf(edited, after(10))).toEqual(edit(1, { hlc: 40, origin: 2 }));
  });
});

describe("a change that meets another one", () => {
  const mine = (hlc: number) => ({ hlc, origin: 1 });
  const theirs = (hlc: number) => ({ hlc, origin: 2 });
  const dies = diedLocally;
  const loses = (local: RecordState, incoming: RecordState) => losesTo({ member: 1, local, incoming, order });
  const overrides = (local: RecordState, incoming: RecordState, heard = 0) =>
    overridesUnheard({ maker: 2, member: 1, heard, local, incoming, order });
  const withEdit = (birth: Stamp, column: Stamp): RecordState => ({
    ...living(birth),
    columns: new Map([[1, column]]),
  });

  it("loses to a younger one of the same column, of this device only", () => {
    const local = withEdit(theirs(5), mine(30));
    expect([loses(local, edit(1, theirs(20))), loses(local, edit(1, theirs(40)))]).toEqual([true, false]);
    expect(loses(local, edit(1, mine(30)))).toBe(false);
    expect(loses(local, edit(2, theirs(20)))).toBe(false);
    expect(loses(withEdit(theirs(5), { hlc: 30, origin: 3 }), edit(1, theirs(20)))).toBe(false);
  });

  it("loses as a whole to a younger birth", () => {
    const local = living(mine(30));
    expect([loses(local, living(theirs(20))), loses(local, living(theirs(40)))]).toEqual([true, false]);
    expect([loses(local, dies(theirs(20))), loses(local, dies(theirs(40)))]).toEqual([true, false]);
    // The death that comes with a creation is none of its own, and an edit brings none.
    expect(loses(local, { ...living(theirs(40)), death: theirs(20) })).toBe(false);
    expect(loses(local, UNKNOWN)).toBe(false);
  });

  it("loses to a delete of this device, unless it brings a younger life", () => {
    const dead = dies(mine(30));
    expect([loses(dead, edit(1, theirs(20))), loses(dead, edit(1, theirs(40)))]).toEqual([true, true]);
    expect([loses(dead, living(theirs(20))), loses(dead, living(theirs(40)))]).toEqual([true, false]);
    expect(loses(dead, dies(theirs(20)))).toBe(false);
    expect(loses(dies(theirs(30)), edit(1, theirs(20)))).toBe(false);
  });

  it("takes the place of one that its maker had not heard of", () => {
    const local = withEdit(theirs(5), mine(30));
    expect([29, 30].map((heard) => overrides(local, edit(1, theirs(40)), heard))).toEqual([true, false]);
    expect(overrides(local, edit(1, theirs(20)))).toBe(false);
    expect(overrides(local, edit(1, { hlc: 40, origin: 3 }))).toBe(false);
    expect(overrides(local, edit(2, theirs(40)))).toBe(false);
    expect(overrides(withEdit(theirs(5), { hlc: 30, origin: 3 }), edit(1, theirs(40)))).toBe(false);
  });

  it("takes the place of a whole record by a birth or a delete", () => {
    const local = living(mine(30));
    expect([overrides(local, living(theirs(40))), overrides(local, living(theirs(20)))]).toEqual([true, false]);
    expect(overrides(withEdit(theirs(5), mine(30)), living(theirs(40)))).toBe(false);
    expect(overrides(local, dies(theirs(40)))).toBe(true);
    expect(overrides(local, dies({ hlc: 40, origin: 3 }))).toBe(false);
    expect(overrides(local, dies(theirs(40)), 30)).toBe(false);
    expect(overrides(withEdit(theirs(5), mine(50)), dies(theirs(40)))).toBe(true);
    expect(overrides(withEdit(theirs(5), theirs(6)), dies(theirs(40)))).toBe(false);
    expect(overrides(dies(mine(30)), dies(theirs(40)))).toBe(false);
  });
});

describe("a record of which no stamp is left", () => {
  it("lives if it is here, and does not if nothing is known", () => {
    expect([isLiving(SETTLED), isLiving(UNKNOWN)]).toEqual([true, false]);
    expect([newestBirth(SETTLED), newestBirth(UNKNOWN)]).toEqual([UNSTAMPED, UNSTAMPED]);
    expect([lifeOf(SETTLED), lifeOf(UNKNOWN)]).toEqual([UNSTAMPED, UNSTAMPED]);
    expect([SETTLED.death, UNKNOWN.death]).toEqual([UNSTAMPED, UNSTAMPED]);
  });
});

describe("local changes", () => {
  it("start a life that inherits nothing from one that is known or lies below the floor", () => {
    const born = bornLocally(UNKNOWN, { hlc: 50, origin: 1 }, 40, order);
    expect(born.death).toEqual({ hlc: 40, origin: ANY_ORIGIN });
    const again = bornLocally(
      { births: [{ hlc: 45, origin: 2 }], death: UNSTAMPED, columns: new Map() },
      { hlc: 50, origin: 1 },
      40,
      order,
    );
    expect(again.death).toEqual({ hlc: 45, origin: 2 });
    expect(newestBirth(again)).toEqual({ hlc: 50, origin: 1 });
  });

  it("stamp the columns that they name", () => {
    const edited = editedLocally(FIRST.state, [2], { hlc: 60, origin: 1 });
    expect(columnStamp(edited, 2)).toEqual({ hlc: 60, origin: 1 });
    expect(columnStamp(edited, 1)).toEqual({ hlc: 5, origin: 1 });
  });
});

describe("stamps", () => {
  it("are ordered by time, then by origin id; a floor is above every origin of its time", () => {
    expect(order.compare({ hlc: 1, origin: 3 }, { hlc: 2, origin: 1 })).toBeLessThan(0);
    expect(order.compare({ hlc: 2, origin: 1 }, { hlc: 2, origin: 3 })).toBeLessThan(0);
    expect(order.compare({ hlc: 2, origin: ANY_ORIGIN }, { hlc: 2, origin: 3 })).toBeGreaterThan(0);
    expect(order.compare(UNSTAMPED, { hlc: 0, origin: 2 })).toBe(0);
    const floor = { hlc: 2, origin: ANY_ORIGIN };
    expect(order.compare(floor, { ...floor })).toBe(0);
  });

  it("of references count only if they are younger than the life of their target", () => {
    const reference = { hlc: 20, origin: 1 };
    expect(referenceHolds({ reference, life: UNSTAMPED, order })).toBe(true);
    expect(referenceHolds({ reference: UNSTAMPED, life: UNSTAMPED, order })).toBe(true);
    expect(referenceHolds({ reference, life: reference, order })).toBe(false);
    expect(referenceHolds({ reference, life: { hlc: 19, origin: 2 }, order })).toBe(true);
    expect(referenceHolds({ reference, life: { hlc: 21, origin: 2 }, order })).toBe(false);
  });
});
