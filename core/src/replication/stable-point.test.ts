import Database from "better-sqlite3";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Members } from "../storage/members.js";
import { migrateSyncTables } from "../storage/schema.js";
import { REMOVAL_KNOWN, REMOVAL_SETTLED, raiseVector, removalOf } from "../storage/vectors.js";
import {
  anybodyHasTheLibrary,
  hasTheLibrary,
  isSettledByAll,
  mostStable,
  reaches,
  stableTime,
} from "./stable-point.js";

interface Facts {
  /** Own number; null for a device that is no member. */
  readonly self?: number | null;
  readonly hlc?: number;
  readonly floor?: number;
  readonly ready?: boolean;
  /** By number, from 1. `join: null`: heard of, not counted. `settled`: of a removed one. */
  readonly members: readonly {
    readonly join: number | null;
    readonly removed?: true;
    readonly settled?: number;
    /** By number. */
    readonly sponsor?: number;
  }[];
  /** Member → origin → entry. */
  readonly vectors: Readonly<Record<number, Readonly<Record<number, number>>>>;
}

/** A device as its sync tables tell it. */
function device({ self = 1, hlc = 100, floor = 0, ready = true, members, vectors }: Facts) {
  const db = new Database(":memory:");
  migrateSyncTables({ db, logId: "log" });
  db.prepare("UPDATE tidemark_state SET self = ?, hlc = ?, floor = ?, ready = ?").run(self, hlc, floor, Number(ready));
  const add = db.prepare(
    `INSERT INTO tidemark_member (origin, device, name, join_hlc, sponsor, removed_kind, removed_hlc, removed_by, settled_hlc)
     VALUES (:origin, :origin, :origin, :join, :sponsor, :kind, :hlc, :by, :settled)`,
  );
  members.forEach(({ join, removed = false, settled = null, sponsor: by = null }, index) => {
    const reason = removed ? { kind: "removed", hlc: 50, by: "origin-1" } : { kind: null, hlc: null, by: null };
    const sponsor = by === null ? null : `origin-${by}`;
    add.run({ origin: `origin-${index + 1}`, join, settled, sponsor, ...reason });
  });
  for (const [member, vector] of Object.entries(vectors)) raiseVector(db, Number(member), vectorOf(vector));
  const known = new Members();
  known.load(db);
  return { db, members: known };
}

const vectorOf = (entries: Readonly<Record<number, number>>) =>
  new Map(Object.entries(entries).map(([origin, hlc]) => [Number(origin), hlc]));

function stable(facts: Facts): { readonly hlc: number; readonly heldBackBy: readonly (readonly [number, unknown])[] } {
  const { db, members } = device(facts);
  const { hlc, heldBackBy } = stableTime(db, members);
  db.close();
  return { hlc, heldBackBy: heldBackBy.map(({ member, entry }) => [member.num, entry]) };
}

const THREE = [{ join: 1 }, { join: 2 }, { join: 3 }];
const everything = { 1: 100, 2: 100, 3: 100 };

describe("the stable time", () => {
  it("is the smallest entry of all vectors, and names whose vector it is", () => {
    const vectors = { 1: { 2: 50, 3: 60 }, 2: { 1: 40, 2: 50, 3: 55 }, 3: { 1: 70, 2: 45, 3: 60 } };
    expect(stable({ members: THREE, vectors })).toEqual({ hlc: 40, heldBackBy: [[2, 40]] });
  });

  it("names the origin that is silent, and not those who have all of it", () => {
    const vectors = { 1: { 2: 90, 3: 30 }, 2: { 1: 90, 2: 90, 3: 30 }, 3: { 1: 80, 2: 80, 3: 30 } };
    expect(stable({ members: THREE, vectors })).toEqual({ hlc: 30, heldBackBy: [[3, 30]] });
  });

  it("names both who is silent and who has not all of somebody else", () => {
    const vectors = { 1: { 2: 90, 3: 30 }, 2: { 1: 30, 2: 90, 3: 30 }, 3: { 1: 80, 2: 80, 3: 30 } };
    expect(stable({ members: THREE, vectors }).heldBackBy).toEqual([
      [2, 30],
      [3, 30],
    ]);
  });

  it("is held by nobody when all have everything", () => {
    const vectors = { 1: { 2: 100, 3: 100 }, 2: everything, 3: everything };
    expect(stable({ members: THREE, vectors })).toEqual({ hlc: 100, heldBackBy: [] });
  });

  it("stands still at the floor while a member has said nothing", () => {
    const vectors = { 1: { 2: 90, 3: 90 }, 2: { 1: 80, 2: 90, 3: 90 } };
    expect(stable({ floor: 20, members: THREE, vectors })).toEqual({ hlc: 20, heldBackBy: [[3, null]] });
  });

  it("never goes back", () => {
    const vectors = { 1: { 2: 90, 3: 90 }, 2: { 1: 80, 2: 90, 3: 90 }, 3: { 1: 40, 2: 90, 3: 90 } };
    expect(stable({ floor: 30, members: THREE, vectors }).hlc).toBe(40);
    expect(stable({ floor: 60, members: THREE, vectors }).hlc).toBe(60);
  });

  it("does not count a vector that knows more than this device", () => {
    const ahead = (entry: number) => ({
      1: { 2: 90, 3: 60 },
      2: { 1: 95, 2: 90, 3: entry },
      3: { 1: 80, 2: 70, 3: 60 },
    });
    expect(stable({ members: THREE, vectors: ahead(60) }).hlc).toBe(60);
    expect(stable({ members: THREE, vectors: ahead(61) })).toMatchObject({ hlc: 0, heldBackBy: [[2, null]] });
  });

  it("takes an origin without an entry to be known up to its join", () => {
    const vectors = { 1: { 2: 90, 3: 90 }, 2: { 1: 80, 2: 90 }, 3: { 1: 80, 2: 85, 3: 90 } };
    const members = [{ join: 1 }, { join: 2 }, { join: 33 }];
    expect(stable({ members, vectors })).toEqual({ hlc: 33, heldBackBy: [[2, 33]] });
  });

  it("leaves out origins whose join has not been counted", () => {
    const vectors = { 1: { 2: 90 }, 2: { 1: 80, 2: 90 } };
    expect(stable({ members: [{ join: 1 }, { join: 2 }, { join: null }], vectors }).hlc).toBe(80);
  });

  it.each<[string, Partial<Facts>]>([
    ["is no member", { self: null }],
    ["has not the whole library", { ready: false }],
    ["has been removed", { members: [{ join: 1, removed: true }, { join: 2 }, { join: 3 }] }],
  ])("is the floor on a device that %s, and nobody is blamed", (_, facts) => {
    const vectors = { 1: { 2: 90, 3: 90 }, 2: { 1: 80, 2: 90, 3: 90 }, 3: { 1: 70, 2: 90, 3: 90 } };
    expect(stable({ floor: 7, members: THREE, vectors, ...facts })).toEqual({ hlc: 7, heldBackBy: [] });
    expect(stable({ floor: 7, members: THREE, vectors }).hlc).toBe(70);
  });

  it("is the only member's own time", () => {
    expect(stable({ members: [{ join: 1 }], vectors: {} })).toEqual({ hlc: 100, heldBackBy: [] });
  });
});

describe("a removed origin", () => {
  const removedThird = [{ join: 1 }, { join: 2 }, { join: 3, removed: true as const, settled: 30 }];
  const vectors = (said: Readonly<Record<number, number>>) => ({
    1: { 2: 90, 3: 30 },
    2: { 1: 80, 2: 90, 3: 30, ...said },
    3: { 1: 25, 2: 25, 3: 30 },
  });

  it.each([
    ["has not heard of the removal", {}],
    ["knows of the removal", { [removalOf(3)]: REMOVAL_KNOWN }],
  ])("holds the time still while a member %s", (_, said) => {
    expect(stable({ members: removedThird, vectors: vectors(said) })).toMatchObject({
      hlc: 25,
      heldBackBy: [[3, 25]],
    });
  });

  it("does so while it is not settled here", () => {
    const members = [{ join: 1 }, { join: 2 }, { join: 3, removed: true as const }];
    expect(stable({ members, vectors: vectors({ [removalOf(3)]: REMOVAL_SETTLED }) }).hlc).toBe(25);
  });

  it("is out of it once every member has settled the removal", () => {
    expect(stable({ members: removedThird, vectors: vectors({ [removalOf(3)]: REMOVAL_SETTLED }) })).toEqual({
      hlc: 80,
      heldBackBy: [[2, 80]],
    });
  });
});

describe("what no stable time can be above", () => {
  const most = (facts: Facts) => {
    const { db, members } = device(facts);
    return mostStable(db, members);
  };

  it("is the lowest entry of the own vector, whatever others tell", () => {
    const vectors = { 1: { 2: 50, 3: 60 }, 2: everything, 3: { 1: 1, 2: 1, 3: 1 } };
    expect(most({ members: THREE, vectors })).toBe(50);
    expect(most({ members: THREE, vectors: { ...vectors, 1: { 3: 60 } } })).toBe(2);
    expect(most({ hlc: 40, members: THREE, vectors })).toBe(40);
  });

  it("counts a removed origin until its removal is settled here, and not as long as others may count it", () => {
    const vectors = { 1: { 2: 50, 3: 30 } };
    const third = (settled: object) => [{ join: 1 }, { join: 2 }, { join: 3, removed: true as const, ...settled }];
    expect(most({ members: third({}), vectors })).toBe(30);
    expect(most({ members: third({ settled: 30 }), vectors })).toBe(50);
  });
});

describe("a removal is settled by all", () => {
  const settledByAll = (join: number | null, vectors: Facts["vectors"], settled?: number) => {
    const third = { join, removed: true as const, ...(settled !== undefined && { settled }) };
    const { db, members } = device({ members: [{ join: 1 }, { join: 2 }, third], vectors });
    return isSettledByAll(db, members, members.byNumber(3));
  };
  const said = (how: number) => ({ 2: { [removalOf(3)]: how } });

  it("once it is settled here, and every other member has said that it is there", () => {
    expect(settledByAll(3, said(REMOVAL_SETTLED), 30)).toBe(true);
    expect(settledByAll(3, said(REMOVAL_KNOWN), 30)).toBe(false);
    expect(settledByAll(3, {}, 30)).toBe(false);
    expect(settledByAll(3, said(REMOVAL_SETTLED))).toBe(false);
  });

  it("whatever the removed one says itself", () => {
    expect(settledByAll(3, { ...said(REMOVAL_SETTLED), 3: { 1: 5 } }, 30)).toBe(true);
  });

  it("at once if nobody has heard of its join: then it has left nothing", () => {
    expect(settledByAll(null, {})).toBe(true);
  });
});

describe("a member is known to have the library", () => {
  /** The first has founded it, and has vouched for the second, and that one for the third. */
  const joined: Facts["members"] = [{ join: 1 }, { join: 2, sponsor: 1 }, { join: 3, sponsor: 2 }];
  const has = (vectors: Facts["vectors"], members: Facts["members"] = joined) => {
    const known = device({ members, vectors });
    return members.map((_, index) => hasTheLibrary(known.db, known.members, known.members.byNumber(index + 1)));
  };

  it("if it has founded it or has vouched for another, though it has said nothing", () => {
    expect(has({})).toEqual([true, true, false]);
    expect(has({}, [{ join: 1 }])).toEqual([true]);
  });

  it("if it has told something of another", () => {
    expect(has({ 3: { 3: 50 } })).toEqual([true, true, false]);
    expect(has({ 3: { [removalOf(2)]: REMOVAL_KNOWN } })).toEqual([true, true, false]);
    expect(has({ 3: { 3: 50, 1: 40 } })).toEqual([true, true, true]);
  });

  it("and anybody has it if one of those does who are left", () => {
    const anybody = (members: Facts["members"], vectors: Facts["vectors"] = {}) => {
      const known = device({ members, vectors });
      return anybodyHasTheLibrary(known.db, known.members);
    };
    const gone = joined.map((member) => ({ ...member, removed: true as const }));
    const left = [...gone.slice(0, 2), joined[2]!];
    expect(anybody(left)).toBe(false);
    expect(anybody(left, { 3: { 1: 40 } })).toBe(true);
    expect(anybody([...left, { join: 4, sponsor: 3 }])).toBe(true);
    expect(anybody(gone)).toBe(false);
  });
});

describe("a vector is reached", () => {
  const members = device({ members: [{ join: 1 }, { join: 20 }, { join: null }], vectors: {} }).members;
  const reached = (own: Readonly<Record<number, number>>, theirs: Readonly<Record<number, number>>) =>
    reaches(vectorOf(own), vectorOf(theirs), members);

  it("in every entry or not at all", () => {
    expect(reached({ 1: 10, 2: 30 }, { 1: 10, 2: 30 })).toBe(true);
    expect(reached({ 1: 10, 2: 30 }, { 1: 11, 2: 30 })).toBe(false);
    expect(reached({ 1: 10, 2: 30 }, { 1: 9, 2: 31 })).toBe(false);
  });

  it("never while it tells nothing", () => {
    expect(reached({ 1: 10 }, {})).toBe(false);
  });

  it("up to the join of an origin of which nothing is here, and of one not counted only at 0", () => {
    expect(reached({}, { 2: 20 })).toBe(true);
    expect(reached({}, { 2: 21 })).toBe(false);
    expect(reached({}, { 3: 0 })).toBe(true);
    expect(reached({}, { 3: 1 })).toBe(false);
  });

  it("only with the removals that it tells of, however far they have come", () => {
    const told = { 1: 5, [removalOf(2)]: REMOVAL_SETTLED };
    expect(reached({ 1: 10 }, told)).toBe(false);
    expect(reached({ 1: 10, [removalOf(2)]: REMOVAL_KNOWN }, told)).toBe(true);
  });

  it("by the pointwise maximum of both", () => {
    const entries = fc.dictionary(fc.constantFrom("1", "2"), fc.integer({ min: 0, max: 40 }), { minKeys: 1 });
    fc.assert(
      fc.property(entries, entries, (a, b) => {
        const both: Record<string, number> = { ...a };
        for (const [origin, hlc] of Object.entries(b)) both[origin] = Math.max(both[origin] ?? 0, hlc);
        expect([reached(both, a), reached(both, b)]).toEqual([true, true]);
      }),
      { seed: 20261122 },
    );
  });
});
