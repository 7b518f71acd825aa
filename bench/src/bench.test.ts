import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench } from "./bench.js";
import { allCases } from "./cases/all-cases.js";
import { isMet, resultOf } from "./results.js";
import { runCases } from "./run-bench.js";

/** The harness itself, at sizes that say nothing about speed. `npm test` builds before it runs the tests. */
const PROCESS = fileURLToPath(new URL("../dist/processes/device-process.js", import.meta.url));

describe("the benchmark", { timeout: 60_000 }, () => {
  let work: string;

  beforeEach(async () => {
    expect(existsSync(PROCESS), "run `npm run build` first").toBe(true);
    work = await mkdtemp(join(tmpdir(), "tidemark-bench-test-"));
  });

  afterEach(() => rm(work, { recursive: true, force: true }));

  it("measures: what one backfill feeds, two kinds of processes, and an even pace", async () => {
    const said: string[] = [];
    const bench = new Bench({
      scale: "tiny",
      runs: 1,
      workDirectory: work,
      profileDirectory: null,
      say: (what) => said.push(what),
    });
    const names = ["backfill", "lookups", "live", "capture", "responsiveness", "memory", "disk", "wire"];
    const cases = allCases.filter(({ name }) => names.includes(name));
    const results = await runCases(bench, cases);
    expect(Object.keys(results)).toEqual(names);
    for (const [name, { parts }] of Object.entries(results)) {
      for (const [part, { value, baseline, ratio, runs }] of Object.entries(parts)) {
        expect(Number.isFinite(value), `${name}: ${part}`).toBe(true);
        expect(baseline, `${name}: ${part}`).toBeGreaterThan(0);
        expect(ratio, `${name}: ${part}`).toBe(value / baseline);
        expect(runs, `${name}: ${part}`).toEqual([{ value, baseline }]);
      }
    }
    expect(results.live?.parts.lost?.value).toBe(0);
    expect(results.wire?.value).toBeGreaterThan(10);
    expect(said.filter((what) => what.startsWith("backfill,"))).toEqual(["backfill, run 1 of 1"]);
  });

  it("writes a profile of each process where it is asked to", async () => {
    const profiles = join(work, "profiles");
    const bench = new Bench({
      scale: "tiny",
      runs: 1,
      workDirectory: work,
      profileDirectory: profiles,
      say: () => undefined,
    });
    const rows = bench.rows("rows");
    expect((await rows.ask("gzippedJson", { entries: 20, ids: "random" })).rows).toBeGreaterThan(20);
    await rows.end();
    expect(await readdir(profiles)).toEqual(["1-rows.cpuprofile"]);
  });

  it("tells what a process said before it ended", async () => {
    const bench = new Bench({
      scale: "tiny",
      runs: 1,
      workDirectory: work,
      profileDirectory: null,
      say: () => undefined,
    });
    const device = bench.device("lost");
    await expect(device.ask("start", { deviceId: "x", role: "found", listen: false, peers: [] })).rejects.toThrow(
      /process 1-lost: .*the database is not open/,
    );
    await bench.endAll();
  });
});

describe("the table", () => {
  it("names every figure and its target", () => {
    expect(new Set(allCases.map(({ name }) => name)).size).toBe(allCases.length);
    for (const { name, work, parts } of allCases) {
      expect([name, work], name).not.toContain("");
      expect(parts.length, name).toBeGreaterThan(0);
      for (const { unit, target } of parts) expect([unit, target.text], name).not.toContain("");
    }
  });
});

describe("a result", () => {
  const aCase = {
    name: "it",
    work: "work",
    parts: [{ name: "time", unit: "ms", target: { text: "≤ 2", met: ({ ratio }: { ratio: number }) => ratio <= 2 } }],
    run: async () => [],
  };

  it("compares medians, and tells all runs", () => {
    const runs = [
      { time: { value: 30, baseline: 10 } },
      { time: { value: 10, baseline: 20 } },
      { time: { value: 20, baseline: 5 } },
    ];
    const result = resultOf(aCase, runs);
    expect(result).toMatchObject({ value: 20, baseline: 10, ratio: 2, unit: "ms", target: "≤ 2", met: true });
    expect(result.runs).toEqual(runs.map(({ time }) => time));
    expect(isMet(result)).toBe(true);
    expect(isMet(resultOf(aCase, [{ time: { value: 3, baseline: 1 } }]))).toBe(false);
  });
});
