import { describe, expect, it } from "vitest";
import { type DeviceFigures, NO_FIGURES } from "./figures.js";
import type { Comparison, DeviceStatus, ParkedRecords } from "./messages.js";
import { type DemoOutcome, faultsOf, toJson } from "./result.js";
import { coloursFor } from "./ui/colours.js";
import { summary } from "./ui/summary.js";

const parked = (change: Partial<ParkedRecords> = {}): ParkedRecords => ({
  hidden: 2,
  dead: 0,
  quarantined: 0,
  deferred: 0,
  foreign: 0,
  ...change,
});
const status = (change: Partial<DeviceStatus> = {}): DeviceStatus => ({
  idle: true,
  readyPeers: 1,
  backfilling: false,
  outbox: 0,
  logEntries: 12,
  syncTableBytes: 123_456,
  parked: parked({ hidden: 0 }),
  rows: {},
  ...change,
});
const comparison = (digest = "abcdef0123456789", foreignKeyViolations = 0): Comparison => ({
  models: {
    Tag: { rows: 3, digest, independentDigest: "i" },
    Entry: { rows: 123_456, digest: "fedcba", independentDigest: "j" },
  },
  foreignKeyViolations,
});
const figuresOfA: DeviceFigures = {
  received: 5,
  references: { lookups: 4, spared: 9_000, queries: 36 },
  log: { largestEntries: 1_234, largestBytes: 2_000_000, prunedEntries: 182_530, erasedRecords: 7 },
  catchUps: { failed: 3, decidedByBackoff: 3, decidedByKernel: 0, fullBackfills: 1, givenUp: 0, longestDelayMs: 1_500 },
  backfill: { pages: 11, records: 20_000, durationMs: 2_500 },
  pool: { limit: 30, peak: 3, longestWaitMs: 12, timeouts: 0 },
  health: { now: "ok", worst: "degraded", reason: "Device B lags 400 s behind" },
};
const outcome = (change: Partial<DemoOutcome> = {}): DemoOutcome => ({
  directory: "/somewhere",
  seed: "seed",
  phases: {
    "index and join": { durationMs: 2_000, work: [{ what: "A indexed", unit: "items", count: 10_000 }] },
    compare: { durationMs: 10, work: [] },
  },
  comparison: { A: comparison(), B: comparison() },
  status: { A: status(), B: status() },
  plugins: { "fk-batching": true, "ack-pruning": true, backoff: true, metrics: true, "parallel-backfill": true },
  figures: { A: figuresOfA, B: NO_FIGURES },
  forgotten: { A: { logEntries: 0, heldBackBy: [] }, B: { logEntries: 0, heldBackBy: [] } },
  problems: { A: 1, B: 0 },
  kills: [{ phase: "compare", device: "B" }],
  kept: null,
  ...change,
});

describe("the outcome of the demo", () => {
  it("has no faults when both are equal, though both hide the same", () => {
    expect(faultsOf(outcome())).toEqual([]);
    const hiding = status({ parked: parked() });
    expect(faultsOf(outcome({ status: { A: hiding, B: hiding } }))).toEqual([]);
  });

  it("may keep a log of any size while nobody prunes", () => {
    const large = status({ logEntries: 182_530, syncTableBytes: 30_000_000 });
    expect(faultsOf(outcome({ status: { A: large, B: large }, forgotten: { A: null, B: null } }))).toEqual([]);
  });

  it.each<[string, Partial<DemoOutcome>, string]>([
    [
      "a digest",
      { comparison: { A: comparison(), B: comparison("other") } },
      "the records of the two devices differ (Tag: 3 rows each, unlike by Tidemark's digest)",
    ],
    ["a reference", { comparison: { A: comparison(), B: comparison(undefined, 2) } }, "2 references on B lead nowhere"],
    [
      "a quarantine",
      { status: { A: status({ parked: parked({ hidden: 0, quarantined: 1 }) }), B: status() } },
      "1 records on A are in quarantine",
    ],
    [
      "what is hidden",
      { status: { A: status({ parked: parked() }), B: status() } },
      "2 records are hidden on A, 0 on B",
    ],
    [
      "what waits",
      { status: { A: status(), B: status({ parked: parked({ hidden: 0, deferred: 3 }) }) } },
      "3 records on B wait for a later try",
    ],
    [
      "what is not forgotten",
      { forgotten: { A: { logEntries: 4, heldBackBy: ["Device B"] }, B: { logEntries: 0, heldBackBy: [] } } },
      "4 entries are left in the log of A, held back by Device B",
    ],
    [
      "sync tables that stay large",
      { status: { A: status(), B: status({ logEntries: 0, syncTableBytes: 1024 * 1024 }) } },
      "the sync tables of B hold 1048576 bytes though the log is empty",
    ],
  ])("fails on %s", (_, change, fault) => {
    expect(faultsOf(outcome(change))).toEqual([fault]);
    expect(toJson(outcome(change))).toMatchObject({ converged: false, faults: [fault] });
  });

  it("takes an engine that gives no digest at its word for nothing", () => {
    expect(faultsOf(outcome({ comparison: { A: comparison(""), B: comparison("") } }))).toHaveLength(1);
  });

  it("says in JSON what programs rely on", () => {
    const json = JSON.parse(JSON.stringify(toJson(outcome()))) as Record<string, unknown>;
    expect(json).toMatchObject({
      converged: true,
      models: { Tag: { rows: 3, digestA: "abcdef0123456789", digestB: "abcdef0123456789" } },
      foreignKeyViolations: 0,
      durationMs: { "index and join": 2_000, compare: 10, total: 2_010 },
      syncTableBytes: { A: 123_456, B: 123_456 },
      plugins: { "fk-batching": { on: true }, metrics: { on: true } },
      figures: { A: { references: { lookups: 4, spared: 9_000, queries: 36 } }, B: { received: 0 } },
      forgotten: { A: { logEntries: 0 } },
    });
  });

  it("is told in tables that line up, without colours where there is no terminal", () => {
    const text = plainSummary();
    expect(text).not.toContain("\u001b");
    expectTablesToLineUp(text);
    expect(text).toMatch(/│ Entry +│ 123,456 │ 123,456 │ fedcba +│ fedcba +│ equal +│/);
    expect(text).toMatch(/A indexed +│ +10,000 items │ +5,000\/s/);
    expect(text).toContain("In step");
    expect(text).toContain("B was killed and started again in “compare”.");
  });

  it("respects NO_COLOR on a terminal", () => {
    const paint = (env: Record<string, string>) => coloursFor({ isTerminal: true, env }).green("x");
    expect(paint({})).toBe("\u001b[32mx\u001b[39m");
    expect(paint({ NO_COLOR: "1" })).toBe("x");
  });

  it("tells what the plugins did", () => {
    const text = plainSummary();
    expectTablesToLineUp(text);
    expect(rowsOf(text)).toEqual(
      expect.arrayContaining([
        ["fk-batching", "look-ups without it, at least", "9,004", "0"],
        ["", "queries that were made instead", "40", "0"],
        ["", "saved", "8,964 (99.6 %)", "–"],
        ["ack-pruning", "log entries, at most → now", "1,234 → 12", "0 → 12"],
        ["", "sync tables, at most → now", "2.0 MB → 123 kB", "0 B → 123 kB"],
        ["", "log entries forgotten", "182,530", "0"],
        ["", "hidden records erased", "7", "0"],
        ["backoff", "failures to decide on", "3", "0"],
        ["", "longest delay before a retry", "1.5 s", "–"],
        ["", "full backfills decided on", "1", "0"],
        ["metrics", "connections in use at once, at most", "3 of 30", "–"],
        ["", "longest wait for a connection", "12 ms", "–"],
        ["", "waits that timed out", "0", "–"],
        ["", "health", "ok, once degraded", "–"],
        ["parallel-backfill", "backfill pages, side by side", "11", "–"],
        ["", "records in them", "20,000", "–"],
        ["", "time that they took", "2.5 s", "–"],
        ["", "records a second", "8,000/s", "–"],
      ]),
    );
    expect(text).toContain("A was degraded: Device B lags 400 s behind.");
    expect(text).toContain("the sync tables hold 123 kB on A and 123 kB on B, less than 1 MiB.");
    expect(text).toContain("--seed seed and --without all, or --without one of");
  });

  it("does not speak of delays where nothing has failed", () => {
    const text = plainSummary({ figures: { A: NO_FIGURES, B: NO_FIGURES } });
    expect(rowsOf(text)).toContainEqual(["backoff", "failures to decide on", "0", "0"]);
    expect(text).not.toContain("longest delay");
  });

  it("says plainly of each plugin that was off what that meant", () => {
    const text = plainSummary(withoutPlugins);
    expectTablesToLineUp(text);
    const rows = rowsOf(text);
    expect(rows.slice(rows.findIndex(([name]) => name === "fk-batching")).slice(0, 12)).toEqual([
      ["fk-batching", "off: look-ups, one reference at a time", "9,040", "0"],
      ["ack-pruning", "off: the log stays at", "182,530 entries", "1 entry"],
      ["", "the sync tables stay at", "30.0 MB", "123 kB"],
      ["backoff", "off: failures, retried after a fixed delay", "2", "0"],
      ["", "that delay", "250 ms", "–"],
      ["", "given up", "0", "0"],
      ["metrics", "off: nothing was measured", "–", "–"],
      ["parallel-backfill", "off: backfill pages, one after the other", "–", "7"],
      ["", "records in them", "–", "5,000"],
      ["", "time that they took", "–", "1.0 s"],
      ["", "records a second", "–", "5,000/s"],
      ["", "A", "B"],
    ]);
    expect(text).toContain("Nobody prunes: the sync tables keep 30.0 MB on A and 123 kB on B");
    expect(text).not.toContain("less than 1 MiB");
    expect(text).toContain("--seed seed and all plugins");
  });

  it("tells of hidden records what is true with pruning, and without", () => {
    const hiding = status({ parked: parked({ hidden: 1 }) });
    const both = { status: { A: hiding, B: hiding } };
    expect(plainSummary({ ...withoutPlugins, ...both })).toMatch(
      /Hidden: 1 record on either device[\s\S]*With ack-pruning they would go once/,
    );
    expect(plainSummary(both)).toMatch(/Hidden: 1 record on either device[\s\S]*They go once everybody/);
    expect(plainSummary()).toMatch(/Erased: 7 records on A and 0 on B[\s\S]*it is final/);
    expect(plainSummary({ figures: { A: NO_FIGURES, B: NO_FIGURES } })).not.toMatch(/Hidden:|Erased:/);
  });

  it("fits into 110 characters", () => {
    const hiding = status({ parked: parked({ hidden: 123_456 }) });
    for (const change of [{}, withoutPlugins, { status: { A: hiding, B: hiding } }]) {
      for (const line of plainSummary(change).split("\n")) expect(line.length, line).toBeLessThanOrEqual(110);
    }
  });
});

const withoutPlugins: Partial<DemoOutcome> = {
  plugins: {
    "fk-batching": false,
    "ack-pruning": false,
    backoff: false,
    metrics: false,
    "parallel-backfill": false,
  },
  figures: {
    A: {
      ...NO_FIGURES,
      references: { lookups: 9_040, spared: 0, queries: 0 },
      catchUps: { ...NO_FIGURES.catchUps, failed: 2, decidedByKernel: 2, longestDelayMs: 250 },
    },
    B: { ...NO_FIGURES, backfill: { pages: 7, records: 5_000, durationMs: 1_000 } },
  },
  forgotten: { A: null, B: null },
  status: { A: status({ logEntries: 182_530, syncTableBytes: 30_000_000 }), B: status({ logEntries: 1 }) },
};

function plainSummary(change: Partial<DemoOutcome> = {}): string {
  return summary(outcome(change), coloursFor({ isTerminal: false, env: {} }));
}

/** The cells of all tables' rows. */
function rowsOf(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("│"))
    .map((line) =>
      line
        .slice(1, -1)
        .split("│")
        .map((cell) => cell.trim()),
    );
}

function expectTablesToLineUp(text: string): void {
  const lines = text.split("\n");
  expect(lines.filter((line) => /^[│┌├└]/.test(line)).length).toBeGreaterThan(15);
  // All lines of one table are equally wide.
  for (let i = 1; i < lines.length; i++) {
    if (/^[│├└]/.test(lines[i]!)) expect(lines[i]).toHaveLength(lines[i - 1]!.length);
  }
}
