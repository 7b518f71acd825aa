import { describe, expect, it } from "vitest";
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
  parked: parked(),
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
const outcome = (change: Partial<DemoOutcome> = {}): DemoOutcome => ({
  directory: "/somewhere",
  seed: "seed",
  phases: {
    "index and join": { durationMs: 2_000, work: [{ what: "A indexed", unit: "items", count: 10_000 }] },
    compare: { durationMs: 10, work: [] },
  },
  comparison: { A: comparison(), B: comparison() },
  status: { A: status(), B: status() },
  problems: { A: 1, B: 0 },
  kills: [{ phase: "compare", device: "B" }],
  kept: null,
  ...change,
});

describe("the outcome of the demo", () => {
  it("has no faults when both are equal, though both hide the same", () => {
    expect(faultsOf(outcome())).toEqual([]);
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
      { status: { A: status({ parked: parked({ quarantined: 1 }) }), B: status() } },
      "1 records on A are in quarantine",
    ],
    [
      "what is hidden",
      { status: { A: status(), B: status({ parked: parked({ hidden: 0 }) }) } },
      "2 records are hidden on A, 0 on B",
    ],
    [
      "what waits",
      { status: { A: status(), B: status({ parked: parked({ deferred: 3 }) }) } },
      "3 records on B wait for a later try",
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
    });
  });

  it("is told in tables that line up, without colours where there is no terminal", () => {
    const text = summary(outcome(), coloursFor({ isTerminal: false, env: {} }));
    expect(text).not.toContain("\u001b");
    const lines = text.split("\n");
    const tables = lines.filter((line) => /^[│┌├└]/.test(line));
    expect(tables.length).toBeGreaterThan(15);
    // All lines of one table are equally wide.
    for (let i = 1; i < lines.length; i++) {
      if (/^[│├└]/.test(lines[i]!)) expect(lines[i]).toHaveLength(lines[i - 1]!.length);
    }
    expect(text).toMatch(/│ Entry +│ 123,456 │ 123,456 │ fedcba +│ fedcba +│ equal +│/);
    expect(text).toMatch(/A indexed +│ +10,000 items │ +5,000\/s/);
    expect(text).toContain("123 kB");
    expect(text).toContain("In step");
    expect(text).toContain("B in “compare”");
  });

  it("respects NO_COLOR on a terminal", () => {
    const paint = (env: Record<string, string>) => coloursFor({ isTerminal: true, env }).green("x");
    expect(paint({})).toBe("\u001b[32mx\u001b[39m");
    expect(paint({ NO_COLOR: "1" })).toBe("x");
  });
});
