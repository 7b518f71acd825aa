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

/** Two devices that go through states, one a look; a look takes a second. */
function scenario({ a, b, digests }: { a: DeviceStatus[]; b: DeviceStatus[]; digests: [Comparison, Comparison][] }) {
  let look = 0;
  let comparisons = 0;
  const at = <T>(list: readonly T[], index: number) => list[Math.min(index, list.length - 1)]!;
  const wait = untilInStep({
    devices: [
      { status: async () => at(a, look), compare: async () => at(digests, comparisons++)[0] },
      { status: async () => at(b, look), compare: async () => at(digests, comparisons - 1)[1] },
    ],
    clock: { monotonicMs: () => look * 1_000 },
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
    const run = scenario({ a: [status({ rows: { tag: 99 } })], b: moving, digests: [] });
    await expect(run.wait).rejects.toMatchObject({
      code: "FILE_LIBRARY_NOT_IN_STEP",
      why: expect.stringContaining("tag: 99 and 49 rows"),
    });
    expect(run.looks()).toBe(60);
  });
});
