import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Request } from "./messages.js";
import { faultsOf } from "./result.js";
import { type DemoOptions, runDemo } from "./run-demo.js";
import { systemClock } from "./system-clock.js";
import type { ProgressDisplay, TaskProgress } from "./ui/progress.js";

describe("the course of the demo", () => {
  let work: string;
  let shown: string[];
  let tasks: Map<string, TaskProgress>;
  let stops: number;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), "file-library-course-"));
    shown = [];
    tasks = new Map();
    stops = 0;
  });

  afterEach(() => rm(work, { recursive: true, force: true }));

  function run(change: Partial<DemoOptions> = {}, signal = new AbortController().signal) {
    const display: ProgressDisplay = {
      phase: (title) => shown.push(title),
      update: (task) => tasks.set(task.name, task),
      note: (text) => shown.push(text),
      stop: () => stops++,
    };
    return runDemo(
      {
        directory: "/somewhere",
        workDirectory: work,
        seed: "seed",
        maxFiles: null,
        scratchFiles: 5,
        fileChanges: 3,
        recordChanges: 4,
        stallMs: 20_000,
        without: [],
        killSeed: null,
        kept: null,
        ...change,
      },
      {
        clock: systemClock,
        random: { next: () => 0.5, bytes: (length) => Buffer.alloc(length, 1) },
        display,
        deviceScript: fileURLToPath(new URL("./fake-library.test-support.mjs", import.meta.url)),
        signal,
      },
    );
  }

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await setImmediate();
  }

  async function commandsOf(name: "a" | "b"): Promise<Request[]> {
    const text = await readFile(join(work, `${name}.sqlite`), "utf8");
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Request);
  }

  const kindsOf = (commands: readonly Request[]) =>
    commands.map(({ kind }) => kind).filter((kind) => !["status", "report", "compare"].includes(kind));

  it("leads both devices through all phases, and tells what they did", async () => {
    const outcome = await run();
    const a = await commandsOf("a");
    const b = await commandsOf("b");
    expect(kindsOf(a)).toEqual([
      ...["open", "index", "scratch", "index", "round", "index", "round", "index", "forget", "close"],
    ]);
    expect(kindsOf(b)).toEqual([
      ...["open", "scratch", "index", "round", "index", "offline", "round", "index", "online", "forget", "close"],
    ]);
    expect(b[0]).toMatchObject({
      kind: "open",
      setup: { role: "join", peers: ["ws://127.0.0.1:4711"], listenPort: null, without: [] },
    });
    // The databases may lie below the directory, and must not be indexed.
    expect(a[1]).toMatchObject({ kind: "index", root: "/somewhere", skip: [work] });
    expect(Object.keys(outcome.phases)).toEqual([
      ...["index and join", "catch up", "change together", "catch up again", "change apart", "come back", "forget"],
      "compare",
    ]);
    expect(outcome.phases["change together"]?.work).toContainEqual({ what: "A changed", unit: "changes", count: 7 });
    expect(outcome.problems).toEqual({ A: 2, B: 1 });
    expect(faultsOf(outcome)).toEqual([]);
    expect(shown).toContain("A passed over secret: no permission to read it");
    expect([...tasks.keys()].sort()).toEqual(["A index", "A records", "A round", "B index", "B records", "B round"]);
  });

  it("books what a device has received in the phase in which it came", async () => {
    const { phases, figures } = await run();
    const received = Object.values(phases).map(({ work }) =>
      ["A received", "B received"].map((wanted) => work.find(({ what }) => what === wanted)?.count ?? 0),
    );
    // In the fake, ten records come with each indexing and each round.
    expect(received).toEqual([
      [20, 10],
      [0, 0],
      [20, 20],
      [0, 0],
      [20, 20],
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect([figures.A.received, figures.B.received]).toEqual([60, 50]);
  });

  it("hands on which plugins are off, and waits for nobody to forget without ack-pruning", async () => {
    const outcome = await run({ without: ["ack-pruning", "metrics"] });
    expect(outcome.plugins).toEqual({
      "fk-batching": true,
      "ack-pruning": false,
      backoff: true,
      metrics: false,
      "parallel-backfill": true,
    });
    expect(outcome.forgotten).toEqual({ A: null, B: null });
    expect(Object.keys(outcome.phases)).not.toContain("forget");
    expect(kindsOf(await commandsOf("a"))).not.toContain("forget");
    expect(faultsOf(outcome)).toEqual([]);
  });

  it("comes to the same end when processes are killed", async () => {
    const outcome = await run({ killSeed: "k1" });
    expect(outcome.kills.length).toBeGreaterThan(1);
    expect(new Set(outcome.kills.map(({ device }) => device)).size).toBe(2);
    expect(faultsOf(outcome)).toEqual([]);
    expect(shown.filter((text) => / is back$/.test(text))).toHaveLength(outcome.kills.length);
    const opens = [...(await commandsOf("a")), ...(await commandsOf("b"))].filter(({ kind }) => kind === "open");
    expect(opens).toHaveLength(2 + outcome.kills.length);
    // The figures of all processes together: each has told of 10 references at its end, if it got so far.
    const { A, B } = outcome.figures;
    expect(A.references.spared + B.references.spared).toBeGreaterThan(20);
    expect(A.log.largestEntries).toBe(9);
  });

  it("ends both processes when it is interrupted", async () => {
    const controller = new AbortController();
    const interrupted = new Error("interrupted");
    const ended = run({}, controller.signal);
    await until(() => shown.length > 0);
    controller.abort(interrupted);
    // At once, and nothing after it.
    expect(shown.at(-1)).toMatch(/^Stopping/);
    await expect(ended).rejects.toBe(interrupted);
    expect(shown.at(-1)).toMatch(/^Stopping/);
    expect(stops).toBeGreaterThan(0);
  });
});
