// The plugin in real kernels: two devices on real SQLite files, a network in memory, a clock that the test moves.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, it } from "node:test";
import {
  createTestKernel,
  InMemoryNetwork,
  ManualClock,
  RecordingLogger,
  SeededRandom,
  type TestKernel,
  type TestKernelOptions,
} from "@tidemark/core/testing";
import { API_VERSION, definePlugin } from "@tidemark/plugin-api";
import { EntitySchema } from "typeorm";
import flightRecorder, { type FlightRecorderSettings, flightRecording, type RecordedEntry } from "./index.js";

const notes = new EntitySchema<{ id: string; text: string }>({
  name: "Note",
  columns: { id: { type: "varchar", primary: true }, text: { type: "text" } },
});

/** Drops the first batch that it is handed, and needs time for the others. */
function clumsyPlugin(clock: ManualClock) {
  return definePlugin({
    manifest: { id: "clumsy", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      let calls = 0;
      hooks.beforeApplyBatch.tap(() => {
        calls += 1;
        if (calls === 1) throw new Error("dropped it");
        return new Promise<void>((resolve) => {
          clock.setTimeout(resolve, 80);
        });
      });
    },
  });
}

/** Fails until nobody calls it any more. */
const broken = definePlugin({
  manifest: { id: "broken", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks, clock: time }) {
    hooks.afterBatch.tap(async () => {
      await new Promise<void>((resolve) => {
        time.setTimeout(resolve, 10);
      });
      throw new Error("of no use");
    });
  },
});

/** Gives up at once. */
const impatient = definePlugin({
  manifest: { id: "impatient", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks }) {
    hooks.onCatchUpFailure.tap(() => ({ action: "give-up", reason: "life is short" }));
  },
});

let clock: ManualClock;
let network: InMemoryNetwork;
let directory: string;
let kernels: TestKernel[];
beforeEach(() => {
  clock = new ManualClock();
  network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  directory = mkdtempSync(join(tmpdir(), "flight-recorder-"));
  kernels = [];
});
afterEach(async () => {
  for (const kernel of kernels.reverse()) await kernel.dispose();
  rmSync(directory, { recursive: true });
});

async function started(device: string, options: Partial<TestKernelOptions>): Promise<TestKernel> {
  const kernel = await createTestKernel({
    device,
    entities: [notes],
    declarations: [{ entity: notes, ownership: { kind: "shared" } }],
    network,
    clock,
    ...options,
  });
  kernels.push(kernel);
  await kernel.tidemark.start();
  return kernel;
}

/** The device that has the notes, and runs nothing but the kernel. */
async function source(): Promise<TestKernel> {
  const a = await started("a", {});
  await a.dataSource.getRepository(notes).save([
    { id: "one", text: "first" },
    { id: "two", text: "second" },
  ]);
  return a;
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    if (await holds()) return;
    await clock.advance(100);
  }
  throw new Error(`it did not come to pass that ${what}`);
}

async function equal(...devices: readonly TestKernel[]): Promise<boolean> {
  const digests = await Promise.all(devices.map(async ({ tidemark }) => (await tidemark.digest("Note")).digest));
  return new Set(digests).size === 1;
}

const recordingOf = ({ tidemark }: TestKernel) => tidemark.services.get(flightRecording);
const settings = (own: FlightRecorderSettings) => ({ plugins: { "flight-recorder": { settings: own } } });

it("sees batches, failures, what is decided about them, pressure on the pool, and hook times", async () => {
  const a = await source();
  const b = await started("b", {
    dial: ["a"],
    plugins: [flightRecorder, clumsyPlugin(clock)],
    // One writer and one reader.
    settings: { pool: { size: 2 }, ...settings({ slowHookMs: 80 }) },
  });
  await until("both have the same notes", () => equal(a, b));
  assert.equal(await b.dataSource.getRepository(notes).count(), 2);
  // Two who read at the same time: one of them has to wait.
  await Promise.all([b.tidemark.digest("Note"), b.tidemark.digest("Note")]);

  const { peer } = b.recordedOf("batchApplied").at(0)!;
  const recording = recordingOf(b);
  const of = <Kind extends RecordedEntry["kind"]>(kind: Kind) =>
    recording.entries().filter((entry): entry is RecordedEntry & { kind: Kind } => entry.kind === kind);
  assert.deepEqual(
    of("batch").map(({ peer: from, phase, counts }) => [from, phase, counts.applied]),
    [[peer, "backfill", 2]],
  );
  assert.deepEqual(
    of("failure").map(({ peer: from, failures, code }) => [from, failures, code]),
    [[peer, 1, "TIDEMARK_HOOK_FAILED"]],
  );
  assert.deepEqual(
    of("decision").map(({ peer: about, action, delayMs, decidedBy }) => [about, action, delayMs, decidedBy]),
    [[peer, "retry", 5_000, "kernel"]],
  );
  assert.deepEqual(
    of("pressure").map(({ limit, waiting, holders, advisedBy }) => [limit, waiting, holders, advisedBy]),
    [[2, 1, ["digest of Note"], []]],
  );
  assert.deepEqual(
    of("hook").map(({ plugin, hook, outcome, durationMs }) => [plugin, hook, outcome, durationMs]),
    [
      ["clumsy", "beforeApplyBatch", "failed", 0],
      ["clumsy", "beforeApplyBatch", "ok", 80],
    ],
  );
  assert.deepEqual(
    recording.hookTimes().map(({ plugin, hook, failures, longestMs }) => ({ plugin, hook, failures, longestMs })),
    [
      { plugin: "clumsy", hook: "beforeApplyBatch", failures: 1, longestMs: 80 },
      { plugin: "flight-recorder", hook: "afterBatch", failures: 0, longestMs: 0 },
    ],
  );
  // The failure stands before what was decided about it, and both before the batch that came through.
  const order = recording.entries().map(({ kind }) => kind);
  assert.ok(order.indexOf("failure") < order.indexOf("decision"));
  assert.ok(order.indexOf("decision") < order.indexOf("batch"));
});

it("writes the recording down when a peer is given up", { timeout: 60_000 }, async () => {
  const file = join(directory, "recording.jsonl");
  await source();
  const b = await started("b", {
    dial: ["a"],
    plugins: [flightRecorder, clumsyPlugin(clock), impatient],
    settings: settings({ file }),
  });
  while (!existsSync(file)) await clock.advance(100);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const last: RecordedEntry = JSON.parse(lines.at(-1)!);
  assert.ok(last.kind === "decision");
  assert.deepEqual([last.action, last.reason, last.decidedBy], ["give-up", "life is short", "impatient"]);
  assert.equal(b.tidemark.state, "running");
});

it("writes the recording down when a handler of any plugin is quarantined", { timeout: 60_000 }, async () => {
  const file = join(directory, "recording.jsonl");
  const a = await source();
  const b = await started("b", { dial: ["a"], plugins: [flightRecorder, broken], settings: settings({ file }) });
  for (let turn = 0; turn < 3; turn++) {
    await a.dataSource.getRepository(notes).update({ id: "one" }, { text: `turn ${turn}` });
    await until("both have the same notes", () => equal(a, b));
  }
  while (!existsSync(file)) await clock.advance(100);
  const [times] = readFileSync(file, "utf8").trimEnd().split("\n");
  const { hook, failures } = JSON.parse(times!);
  assert.deepEqual([hook, failures], ["afterBatch", 3]);
});

it("writes all of it down when the kernel stops, and stops no later for a file that can't be written", async () => {
  const file = join(directory, "recording.jsonl");
  const a = await source();
  const b = await started("b", { dial: ["a"], plugins: [flightRecorder], settings: settings({ file }) });
  await until("both have the same notes", () => equal(a, b));
  const entries = recordingOf(b).entries();
  await b.tidemark.stop();
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const read = lines.map((line) => JSON.parse(line));
  assert.equal(read[0].kind, "hook-times");
  assert.deepEqual(read.slice(1), entries);
  assert.deepEqual(readdirSync(directory), ["recording.jsonl"]);

  const logger = new RecordingLogger();
  const c = await started("c", {
    dial: ["a"],
    plugins: [flightRecorder],
    logger,
    settings: settings({ file: join(directory, "missing", "recording.jsonl") }),
  });
  await c.tidemark.stop();
  assert.equal(c.tidemark.state, "stopped");
  assert.deepEqual(
    logger.at("warn").map(({ message }) => message),
    ["the recording can't be written"],
  );
});

it("is turned off and on in the settings and in the operator's overlay file; the devices sync either way", async () => {
  const a = await source();
  const overlayFile = join(directory, "tidemark.json");
  const stateOf = ({ tidemark }: TestKernel) =>
    tidemark.report().plugins.find(({ id }) => id === "flight-recorder")!.state;

  const off = await started("b", {
    dial: ["a"],
    plugins: [flightRecorder],
    settings: { plugins: { "flight-recorder": false }, overlayFile },
  });
  await until("both have the same notes", () => equal(a, off));
  assert.equal(stateOf(off), "disabled");
  assert.equal(off.tidemark.services.find(flightRecording), undefined);
  await off.tidemark.stop();

  writeFileSync(
    overlayFile,
    JSON.stringify({ plugins: { "flight-recorder": { enabled: true, settings: { keep: 1 } } } }),
  );
  const on = await started("b", {
    database: off.database,
    role: "join",
    dial: ["a"],
    plugins: [flightRecorder],
    settings: { plugins: { "flight-recorder": false }, overlayFile },
  });
  await a.dataSource.getRepository(notes).save({ id: "three", text: "third" });
  await until("both have the same notes", () => equal(a, on));
  assert.equal(stateOf(on), "active");
  assert.equal(
    recordingOf(on)
      .entries()
      .filter(({ kind }) => kind === "batch").length,
    1,
  );
});
