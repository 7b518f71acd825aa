import Database from "better-sqlite3";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { LogTransaction, readState } from "../storage/log-transaction.js";
import { Members } from "../storage/members.js";
import { migrateSyncTables } from "../storage/schema.js";
import { raiseVector } from "../storage/vectors.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { ownVector } from "./change-page.js";
import {
  adoptMembership,
  foundLibrary,
  fromWireVector,
  knownVectors,
  learnMembers,
  learnVectors,
  newId,
  sponsor,
  toWireVector,
  wireMembers,
} from "./membership.js";
import { stableTime } from "./stable-point.js";

// Devices that change things, exchange rounds in pairs, break some of them off, join through each other and acknowledge, in
// any order and with clocks that are off. The oracle knows who has which change, which no device does.

interface Change {
  readonly hlc: number;
  /** What its maker had at that time. */
  readonly seen: ReadonlySet<Change>;
}

const random = new SeededRandom(5);
const open: Database.Database[] = [];
afterAll(() => {
  for (const db of open) db.close();
});

/** A device without records: of a change it keeps nothing but that it has it. */
class Device {
  readonly db = new Database(":memory:");
  readonly members = new Members();
  readonly has = new Set<Change>();
  origin = "";
  readonly #now: () => number;

  constructor(
    readonly name: string,
    now: () => number,
  ) {
    open.push(this.db);
    this.#now = now;
    migrateSyncTables({ db: this.db, logId: name });
  }

  transaction<T>(body: (tx: LogTransaction) => T): T {
    const tx = new LogTransaction(this.db, this.#now);
    const result = body(tx);
    tx.save();
    return result;
  }

  get self(): number {
    return readState(this.db).self!;
  }

  get vector(): Record<string, number> {
    return toWireVector(ownVector(this.db), this.members);
  }

  change(): Change {
    const { hlc } = this.transaction((tx) => tx.tick());
    const change = { hlc, seen: new Set(this.has) };
    this.has.add(change);
    return change;
  }

  take(changes: Iterable<Change>): void {
    this.transaction((tx) => {
      for (const change of changes) {
        this.has.add(change);
        tx.receive(change.hlc);
      }
    });
  }

  /** As `catch-up.ts` does with the last page of a round. */
  endRound(from: Device): void {
    learnMembers(this.db, this.members, wireMembers(from.members));
    const vector = fromWireVector(from.vector, this.members);
    const sender = this.members.byOrigin(from.origin)!;
    raiseVector(this.db, sender.num, vector);
    vector.delete(this.self);
    raiseVector(this.db, this.self, vector);
    learnVectors(this.db, this.members, this.self, knownVectors(from.db, from.members, from.self));
  }

  /** As a hello, from a peer that is known. */
  hear(from: Device): void {
    const member = this.members.byOrigin(from.origin);
    if (member !== undefined) raiseVector(this.db, member.num, fromWireVector(from.vector, this.members));
  }

  stable(): number {
    return stableTime(this.db, this.members).hlc;
  }
}

type Step =
  | { readonly what: "change"; readonly who: number }
  | { readonly what: "round" | "broken" | "hello"; readonly from: number; readonly to: number; readonly part: number }
  | { readonly what: "join"; readonly who: number }
  | { readonly what: "forget"; readonly who: number };

const who = fc.nat({ max: 11 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ what: fc.constant("change" as const), who }) },
  {
    weight: 12,
    arbitrary: fc.record({
      what: fc.constantFrom("round" as const, "round" as const, "broken" as const, "hello" as const),
      from: who,
      to: who,
      part: fc.nat({ max: 0xffff }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("join" as const), who }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("forget" as const), who }) },
);

class World {
  readonly devices: Device[] = [];
  readonly changes: Change[] = [];
  /** The highest point that anybody has taken for stable. */
  highest = 0;
  /** How often a change lay below it, with several devices. */
  covered = 0;
  readonly #skewsMs: readonly number[];
  #elapsedMs = 0;

  constructor(skewsMs: readonly number[]) {
    this.#skewsMs = skewsMs;
    const founder = this.#device();
    foundLibrary({
      db: founder.db,
      library: "library",
      device: { deviceId: founder.name, name: founder.name },
      hlc: fromPhysicalMs(this.#nowMs(0)),
      random,
    });
    this.#enter(founder);
  }

  do(step: Step): void {
    this.#elapsedMs += 1;
    switch (step.what) {
      case "change":
        this.changes.push(this.#at(step.who).change());
        expect(this.changes.at(-1)!.hlc).toBeGreaterThan(this.highest);
        break;
      case "join":
        if (this.devices.length < 4) this.#join(this.#at(step.who));
        break;
      case "forget":
        this.#at(step.who).transaction((tx) => tx.raiseFloor(this.#at(step.who).stable()));
        break;
      case "hello":
        this.#at(step.to).hear(this.#at(step.from));
        break;
      default:
        this.#round(
          this.#at(step.from),
          this.#at(step.to),
          step.what === "broken" ? step.part : null,
          step.part % 4 > 0,
        );
    }
    for (const device of this.devices) this.#check(device);
  }

  /** In calm everybody hears of everything, and of everybody's having heard of it. */
  comeToRest(): void {
    for (let round = 0; round < 3; round++) {
      for (const [from] of this.devices.entries()) {
        for (const [to] of this.devices.entries()) this.do({ what: "round", from, to, part: 0 });
      }
    }
  }

  /**
   * What is stable for a device, everybody has, and nobody makes again. And what it still lacks was made by somebody who
   * had all of that: which is why it may be forgotten.
   */
  #check(device: Device): void {
    const stable = device.stable();
    expect(stable).toBeGreaterThanOrEqual(readState(device.db).floor);
    this.highest = Math.max(this.highest, stable);
    for (const change of this.changes) {
      if (change.hlc > stable) continue;
      if (this.devices.length > 1) this.covered += 1;
      const lacking = this.devices.filter(({ has }) => !has.has(change));
      expect(lacking.map(({ name }) => name)).toEqual([]);
      const blind = this.changes.filter((later) => later.hlc > stable && !later.seen.has(change));
      expect(blind.filter((later) => !device.has.has(later))).toEqual([]);
    }
  }

  #round(from: Device, to: Device, part: number | null, answered: boolean): void {
    if (from === to) return;
    const news = [...from.has].filter((change) => !to.has.has(change));
    if (part !== null) {
      to.take(news.filter((_, index) => (part & (1 << (index % 16))) !== 0));
      return;
    }
    to.take(news);
    to.endRound(from);
    // Mostly the answer comes as well.
    if (answered) from.hear(to);
  }

  #join(through: Device): void {
    const joiner = this.#device();
    const { name } = joiner;
    const origin = newId(random);
    const { hlc } = through.transaction((tx) =>
      sponsor({ tx, members: through.members, device: { deviceId: name, name }, origin }),
    );
    adoptMembership({
      db: joiner.db,
      members: joiner.members,
      library: "library",
      device: { deviceId: name, name },
      origin,
      hlc,
      known: wireMembers(through.members),
      mode: "join",
      startedAt: 0,
    });
    this.#enter(joiner);
    // The backfill: everything that the sponsor has, then its vector and its floor.
    joiner.take(through.has);
    const vector = fromWireVector(through.vector, joiner.members);
    vector.delete(joiner.self);
    raiseVector(joiner.db, joiner.self, vector);
    joiner.transaction((tx) => tx.raiseFloor(readState(through.db).floor));
    joiner.db.exec("UPDATE tidemark_state SET ready = 1");
  }

  #device(): Device {
    const index = this.devices.length;
    return new Device(`d${index}`, () => this.#nowMs(index));
  }

  #enter(device: Device): void {
    device.members.load(device.db);
    device.origin = device.members.byNumber(device.self).origin;
    this.devices.push(device);
  }

  #at(index: number): Device {
    return this.devices[index % this.devices.length]!;
  }

  #nowMs(index: number): number {
    return Date.UTC(2026, 0, 1) + this.#elapsedMs + this.#skewsMs[index]!;
  }
}

describe("the stable point", () => {
  const skews = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 5, maxLength: 5 });

  it("is never above what every member has, nor above what anybody is still to make; and reaches it in the end", () => {
    let covered = 0;
    fc.assert(
      fc.property(skews, fc.array(step, { minLength: 20, maxLength: 80 }), (skewsMs, steps) => {
        const world = new World(skewsMs);
        for (let joined = 1; joined < 3; joined++) world.do({ what: "join", who: 0 });
        for (const it of steps) world.do(it);
        covered += world.covered;
        const last = Math.max(0, ...world.changes.map(({ hlc }) => hlc));
        world.comeToRest();
        for (const device of world.devices) expect(device.stable()).toBeGreaterThanOrEqual(last);
      }),
      { seed: 71, numRuns: 60, interruptAfterTimeLimit: 20_000 },
    );
    // It has moved in the midst of it all, or nothing was tested.
    expect(covered).toBeGreaterThan(20);
  });
});
