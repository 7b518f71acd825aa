import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { LogTransaction } from "../storage/log-transaction.js";
import { Device } from "./apply.test-support.js";
import { covers, noteFirstPlan, noteFurtherPlan } from "./backfill-plan.js";
import { loadBackfill, saveBackfill } from "./backfill-store.js";
import type { LocalLibrary } from "./local-library.js";
import { beginBackfill } from "./membership.js";
import type { MessageOf } from "./messages.js";

/** Long after 2020. */
const NOON = 2 ** 40;
const at = (minutes: number) => fromPhysicalMs(NOON + Date.UTC(2020, 0, 1) + minutes * 60_000);

let device: Device;
let library: LocalLibrary;
let tx: LogTransaction;
beforeEach(() => {
  device = new Device();
  library = { deps: { members: device.members, clock: { now: () => 5 } } } as unknown as LocalLibrary;
  tx = new LogTransaction(device.db, () => 0);
  beginBackfill(device.db, "join", 3);
});
afterEach(() => void device.db.close());

/** What a server says to have of the two others, and what it has forgotten. */
const plan = (two: number, three: number, floor = 0): MessageOf<"backfill-plan"> => ({
  t: "backfill-plan",
  vector: { "origin-2": two, "origin-3": three },
  floor,
  totals: { folder: 3, file: 4 },
  members: [],
});
const stored = () => loadBackfill(device.db)!;

describe("what the servers of a backfill say that they have", () => {
  it("comes to what all of them have, whoever is first, and to the most that one of them has forgotten", () => {
    expect(noteFirstPlan(library, tx, plan(at(5), at(1), 7))).toMatchObject({
      noted: { "origin-2": at(5), "origin-3": at(1) },
      floor: 7,
      total: 7,
    });
    expect(noteFurtherPlan(library, tx, plan(at(2), at(4), 9))).toBe(true);
    expect(stored()).toMatchObject({ noted: { "origin-2": at(2), "origin-3": at(1) }, floor: 9 });
    expect(noteFurtherPlan(library, tx, plan(at(3), at(3), 5))).toBe(true);
    expect(stored()).toMatchObject({ noted: { "origin-2": at(2), "origin-3": at(1) }, floor: 9 });
  });

  it("is kept when a backfill goes on with another server, and so is what is open", () => {
    noteFirstPlan(library, tx, plan(at(5), at(1), 7));
    const cursors = { folder: { open: [["m", null]], done: 2 } } as const;
    saveBackfill(device.db, { ...stored(), cursors });
    noteFirstPlan(library, tx, plan(at(2), at(4), 3));
    expect(stored()).toMatchObject({ noted: { "origin-2": at(2), "origin-3": at(1) }, floor: 7, cursors });
  });

  it("says nothing of a member that one of them does not know", () => {
    noteFirstPlan(library, tx, plan(at(5), at(1)));
    const cursors = { folder: { open: [["m", null]], done: 2 } } as const;
    saveBackfill(device.db, { ...stored(), cursors });
    noteFirstPlan(library, tx, { ...plan(at(2), 0), vector: { "origin-2": at(2) } });
    expect(stored()).toMatchObject({ cursors });
    expect(stored().noted).toEqual({ "origin-2": at(2) });
  });

  it("begins anew with a server that has forgotten what an earlier one lacked", () => {
    noteFirstPlan(library, tx, plan(at(1), at(1)));
    saveBackfill(device.db, { ...stored(), cursors: { folder: { open: [["m", null]], done: 2 } } });
    noteFirstPlan(library, tx, plan(at(3), at(4), at(2)));
    expect(stored()).toMatchObject({
      mode: "join",
      noted: { "origin-2": at(3), "origin-3": at(4) },
      floor: at(2),
      cursors: {},
      startedAt: 5,
    });
  });

  it.each([
    ["has forgotten what another one lacks", plan(at(30), at(30), at(21))],
    ["lacks what another one has forgotten", plan(at(9), at(30))],
    ["lacks more than ten minutes of somebody", plan(at(20), at(30 - 10) - 4096)],
    ["knows nothing of a member that is known here", { ...plan(at(20), at(30)), vector: { "origin-2": at(20) } }],
  ])("leaves out a further server that %s", (_, further) => {
    noteFirstPlan(library, tx, plan(at(20), at(30), at(10)));
    const before = stored();
    expect(noteFurtherPlan(library, tx, further)).toBe(false);
    expect(stored()).toEqual(before);
  });

  it("takes one that lacks just ten minutes", () => {
    noteFirstPlan(library, tx, plan(at(20), at(30), at(10)));
    expect(noteFurtherPlan(library, tx, plan(at(20), at(20)))).toBe(true);
    expect(stored().noted).toEqual({ "origin-2": at(20), "origin-3": at(20) });
  });
});

it("covers what is forgotten where it lies nowhere below that; of this device itself nothing is asked", () => {
  const covered = (noted: Record<string, number> | null, floor: number) => covers(library, { noted, floor }, 1);
  expect(covered({ "origin-2": 5, "origin-3": 5 }, 5)).toBe(true);
  expect(covered({ "origin-2": 5, "origin-3": 4 }, 5)).toBe(false);
  // Whoever is not named is known up to the join.
  expect(covered({ "origin-2": 5 }, 1)).toBe(true);
  expect(covered({ "origin-2": 5 }, 2)).toBe(false);
  expect(covered(null, 1)).toBe(true);
});
