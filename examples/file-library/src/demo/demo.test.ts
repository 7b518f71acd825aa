import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildScratchTree } from "../mutations/scratch-tree.js";
import type { DeviceFigures } from "./figures.js";
import { PLUGIN_NAMES } from "./plugin-names.js";

/**
 * The demo as a person runs it, in small: the built program, two real processes, a real directory. `npm test` builds
 * before it runs the tests.
 */
const MAIN = fileURLToPath(new URL("../../dist/demo/main.js", import.meta.url));
/** A run takes some 5 s on an idle machine. The demo gives up by itself first, and says why. */
const SETTLE_SECONDS = 45;
const RUN_TIMEOUT_MS = 150_000;

interface ModelFigures {
  readonly rows: number;
  readonly rowsB: number;
  readonly digestA: string;
  readonly digestB: string;
  readonly independentDigestA: string;
  readonly independentDigestB: string;
}

interface Run {
  /** Null: ended by a signal. */
  readonly exitCode: number | string | null | undefined;
  readonly json: {
    readonly converged: boolean;
    readonly faults: readonly string[];
    readonly models: Readonly<Record<string, ModelFigures>>;
    readonly foreignKeyViolations: number;
    readonly durationMs: Readonly<Record<string, number>>;
    readonly syncTableBytes: { readonly A: number; readonly B: number };
    readonly kills: readonly unknown[];
    readonly plugins: Readonly<Record<string, { readonly on: boolean }>>;
    readonly figures: Readonly<Record<"A" | "B", DeviceFigures>>;
    readonly forgotten: Readonly<Record<"A" | "B", { readonly logEntries: number } | null>>;
    readonly logEntries: Readonly<Record<"A" | "B", number>>;
    readonly parked: Readonly<Record<"A" | "B", Readonly<Record<string, number>>>>;
  };
  readonly log: string;
}

describe("the demo", { timeout: RUN_TIMEOUT_MS + 20_000 }, () => {
  let work: string;

  beforeEach(async () => {
    expect(existsSync(MAIN), "run `npm run build` first").toBe(true);
    work = await mkdtemp(join(tmpdir(), "file-library-demo-"));
  });

  afterEach(() => rm(work, { recursive: true, force: true }));

  async function demo(...args: string[]): Promise<Run> {
    const directory = join(work, "tree");
    await buildScratchTree({ root: directory, seed: "demo", files: 600 });
    const fixed = ["--quick", "--json", "--dir", directory, "--work-dir", work];
    const all = [MAIN, ...fixed, "--settle-timeout", String(SETTLE_SECONDS), ...args];
    return new Promise((resolve, reject) => {
      // At the time-out it is asked to stop, so that it ends its own two processes.
      execFile(process.execPath, all, { timeout: RUN_TIMEOUT_MS }, (error, stdout, log) => {
        try {
          const json = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Run["json"];
          resolve({ exitCode: error === null ? 0 : error.code, json, log });
        } catch (cause) {
          reject(new Error(`the demo ended without a result:\n${log}`, { cause: error ?? cause }));
        }
      });
    });
  }

  function expectInStep({ exitCode, json, log }: Run): void {
    expect(json, log).toMatchObject({ converged: true, faults: [], foreignKeyViolations: 0 });
    expect(exitCode).toBe(0);
    for (const [name, model] of Object.entries(json.models)) {
      const { rows, digestA, independentDigestA } = model;
      expect(model, name).toMatchObject({ rowsB: rows, digestB: digestA, independentDigestB: independentDigestA });
      for (const digest of [digestA, independentDigestA]) expect(digest, name).toMatch(/^[0-9a-f]{16,}$/);
    }
    // 600 files and two scratch trees of 120, less what the rounds delete.
    expect(json.models.Entry?.rows).toBeGreaterThan(700);
    for (const name of ["Tag", "UserMetadata", "Entry.tags", "ContentIdentity"]) {
      expect(json.models[name]?.rows, name).toBeGreaterThan(5);
    }
    expect(json.models.Device?.rows).toBe(2);
    expect(json.durationMs.total).toBeGreaterThan(0);
    expect(json.syncTableBytes.A).toBeGreaterThan(0);
  }

  it("brings two devices into step with all plugins, tells what they did, and leaves nothing behind", async () => {
    const run = await demo("--seed", "calm");
    expectInStep(run);
    const { plugins, figures, forgotten, logEntries, syncTableBytes, parked, durationMs } = run.json;
    expect(Object.keys(plugins)).toEqual(PLUGIN_NAMES);
    for (const [name, { on }] of Object.entries(plugins)) expect(on, name).toBe(true);
    const nothing = { hidden: 0, dead: 0, quarantined: 0, deferred: 0, foreign: 0 };
    expect(parked).toEqual({ A: nothing, B: nothing });
    expect(durationMs.forget).toBeGreaterThan(0);
    for (const name of ["A", "B"] as const) {
      const { references, log, pool, health, received } = figures[name];
      expect(received, name).toBeGreaterThan(100);
      expect(references.spared, name).toBeGreaterThan(references.queries);
      expect(references.lookups, name).toBeLessThan(references.spared);
      expect(forgotten[name], name).toMatchObject({ logEntries: 0 });
      expect(logEntries[name], name).toBe(0);
      expect(syncTableBytes[name], name).toBeLessThan(1024 * 1024);
      expect(log.prunedEntries, name).toBeGreaterThan(500);
      expect(log.largestEntries, name).toBeGreaterThan(0);
      expect(log.largestBytes, name).toBeGreaterThan(syncTableBytes[name]);
      expect(pool, name).toMatchObject({ limit: 30, timeouts: 0 });
      expect(pool?.peak, name).toBeGreaterThan(0);
      expect(health?.now, name).toMatch(/^(ok|degraded|failing)$/);
    }
    expect(run.log).toContain("less than 1 MiB");
    expect(await readdir(work)).toEqual(["tree"]);
  });

  it("does so without any of them, plainly", async () => {
    const run = await demo("--seed", "calm", "--without", "all");
    expectInStep(run);
    const { plugins, figures, forgotten, logEntries } = run.json;
    for (const [name, { on }] of Object.entries(plugins)) expect(on, name).toBe(false);
    expect(forgotten).toEqual({ A: null, B: null });
    for (const name of ["A", "B"] as const) {
      const { references, log, pool, health } = figures[name];
      expect(references, name).toMatchObject({ spared: 0, queries: 0 });
      expect(references.lookups, name).toBeGreaterThan(100);
      expect(log.prunedEntries, name).toBe(0);
      expect(logEntries[name], name).toBeGreaterThan(500);
      expect([pool, health], name).toEqual([null, null]);
    }
    expect(run.log).toContain("off: the log stays at");
  });

  it("does so while processes are killed", async () => {
    const run = await demo("--seed", "rough", "--kill-seed", "rough");
    expectInStep(run);
    expect(run.json.kills.length, run.log).toBeGreaterThan(1);
  });
});
