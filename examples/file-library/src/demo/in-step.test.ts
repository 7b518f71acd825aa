import { describe, expect, it } from "vitest";
import { untilInStep } from "./in-step.js";
import type { Comparison, DeviceStatus } from "./messages.js";

const status = (change: Partial<DeviceStatus> = {}): DeviceStatus => ({
  idle: true,
  readyPeers: 1,
  backfilling: false,
  outbox: 0,
  logEntries: 0,
  syncTableBytes: 0,
  parked: { hidden: 0, dead: 0, quarantined: 0, deferred: 0, foreign: 0 },
  rows: { tag: 1 },
  ...change,
});
const digest = (text: string, independent = text): Comparison => ({
  models: { Tag: { rows: 1, digest: text, independentDigest: independent } },
  foreignKeyViolations: 0,
});

interface Scenario {
  readonly a: readonly DeviceStatus[];
  readonly b: readonly DeviceStatus[];
  readonly digests: readonly [Comparison, Comparison][];
  readonly comparisonMs?: number;
}

/** Two devices that go through states, one a look; a look takes a second. */
function scenario({ a, b, digests, comparisonMs = 0 }: Scenario) {
  let look = 0;
  let comparisons = 0;
  const at = <T>(list: readonly T[], index: number) => list[Math.min(index, list.length - 1)]!;
  const wait = untilInStep({
    devices: [
      { status: async () => at(a, look), compare: async () => at(digests, comparisons++)[0] },
      { status: async () => at(b, look), compare: async () => at(digests, comparisons - 1)[1] },
    ],
    clock: { monotonicMs: () => look * 1_000 + comparisons * comparisonMs },
    nextLook: async () => {
      look++;
    },
    stallMs: 10_000,
  });
  return { wait, looks: () => look, comparisons: () => comparisons };
}

describe("waiting until two devices are in step", () => {
  it("compares digests only once both are idle and have as many rows", async () => {
    const run = scenario({
      a: [status()],
      b: [status({ idle: false }), status({ rows: { tag: 0 } }), status()],
      digests: [[digest("x"), digest("x")]],
    });
    await run.wait;
    expect([run.looks(), run.comparisons()]).toEqual([2, 1]);
  });

  it("goes on while either digest differs", async () => {
    const run = scenario({
      a: [status()],
      b: [status()],
      digests: [
        [digest("x"), digest("y")],
        [digest("x", "1"), digest("x", "2")],
        [digest("x"), digest("x")],
      ],
    });
    await run.wait;
    expect(run.comparisons()).toBe(3);
  });

  it("waits as long as something moves, and gives up when nothing does", async () => {
    const moving = Array.from({ length: 50 }, (_, index) => status({ rows: { tag: index } }));
    const run = scenario({
      a: [status({ rows: { tag: 99 } })],
      b: moving,
      digests: [[digest("x"), digest("y")]],
    });
    await expect(run.wait).rejects.toMatchObject({ code: "FILE_LIBRARY_NOT_IN_STEP" });
    expect(run.looks()).toBe(60);
  });

  it("says what differs when it gives up, and what each device has put aside", async () => {
    const parked = { hidden: 0, dead: 0, quarantined: 1, deferred: 2, foreign: 0 };
    const { wait } = scenario({ a: [status()], b: [status({ parked })], digests: [[digest("x"), digest("y")]] });
    await expect(wait).rejects.toMatchObject({
      code: "FILE_LIBRARY_NOT_IN_STEP",
      why: [
        "nothing has moved for 11 s (A: 0 unstamped changes, 1 peers in step",
        "B: 0 unstamped changes, 1 peers in step, 1 quarantined, 2 deferred",
        "these differ: Tag: 1 rows each, unlike by Tidemark's digest and unlike by plain SQL)",
      ].join("; "),
    });
  });

  it("does not give up on two devices that have become equal since the last of their long comparisons", async () => {
    const run = scenario({
      a: [status()],
      b: [status()],
      digests: [
        [digest("x"), digest("y")],
        [digest("x"), digest("x")],
      ],
      comparisonMs: 5_000,
    });
    await run.wait;
    expect([run.looks(), run.comparisons()]).toEqual([6, 2]);
  });

  it("compares once when it gives up on a device that is never idle", async () => {
    const run = scenario({
      a: [status()],
      b: [status({ idle: false, outbox: 3 })],
      digests: [[digest("x"), digest("x")]],
    });
    await expect(run.wait).rejects.toMatchObject({
      why: expect.stringMatching(/B: 3 unstamped changes, 1 peers in step; the records are the same\)$/),
    });
    expect(run.comparisons()).toBe(1);
  });
});
