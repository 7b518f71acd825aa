// The acceptance suite of plugins: whoever writes one runs it against their own. It puts the plugin into a real kernel
// without storage, and knows nothing of what the plugin is for.

import assert from "node:assert/strict";
import {
  type AnyPlugin,
  API_VERSION,
  type CatchUpFailure,
  type KernelEvents,
  type PoolPressure,
  TidemarkError,
} from "@tidemark/plugin-api";
import { createTidemarkWith } from "../kernel/create-tidemark.js";
import { checkPlugin } from "../kernel/manifest.js";
import type { PluginReport } from "../kernel/plugin-host.js";
import type { Tidemark } from "../kernel/tidemark.js";
import { FakeEngine } from "./fake-engine.js";
import { appliedOf, generateBatch } from "./generated-batches.js";
import { RecordingLogger } from "./recording-logger.js";
import { SeededRandom } from "./seeded-random.js";
import { TimerLedger } from "./timer-ledger.js";

/** What the suite is to test, and in which test framework. */
export interface PluginContractOptions {
  readonly plugin: AnyPlugin;
  /** The plugin's own settings. Default: none, so that its defaults apply. */
  readonly settings?: unknown;
  /** Plugins that it depends on, or stand-ins that provide the services it asks for. */
  readonly companions?: readonly AnyPlugin[];
  /** How many batches its hooks are given. Default 50. */
  readonly batches?: number;
  /** Default 1. Repeats a run. */
  readonly seed?: number;
  /** The test framework's own functions; those of vitest, node:test and mocha fit. */
  readonly runner: {
    describe(name: string, body: () => void): unknown;
    it(name: string, body: () => Promise<void>): unknown;
  };
}

/**
 * Declares the tests that every plugin must pass: a usable manifest; clean activation and stop, twice; nothing left
 * behind, no timer either; hooks that account for every operation, answer what can be used, and keep within their
 * time-outs; listeners that don't throw; no harm from a neighbour that fails.
 *
 * @example
 * import { describe, it } from "vitest";
 *
 * testPluginContract({ plugin: batchLog, settings: { level: "debug" }, runner: { describe, it } });
 */
export function testPluginContract({
  plugin,
  settings,
  companions = [],
  batches = 50,
  seed = 1,
  runner: { describe, it },
}: PluginContractOptions): void {
  const id = plugin.manifest?.id;
  /** A test that is handed kernels with the plugin in them, which are stopped at its end, come what may. */
  const kernels =
    (body: (start: (more?: readonly AnyPlugin[]) => Promise<Run>) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const runs: Run[] = [];
      try {
        await body(async (more = []) => {
          const run = await Run.start({ plugin, settings, companions: [...companions, ...more], seed });
          runs.push(run);
          return run;
        });
      } finally {
        for (const run of runs) await run.tidemark.stop();
      }
    };

  describe(`the plugin contract: ${id}`, () => {
    it("has a manifest that can be used", async () => {
      checkPlugin(plugin, "the plugin");
    });

    it(
      "is activated, provides what its manifest says, and gives everything back",
      kernels(async (start) => {
        const run = await start();
        const active = run.reportOf(id);
        await run.tidemark.stop();
        assert.equal(active.state, "active");
        assert.deepEqual([...active.services].sort(), [...(plugin.manifest.provides ?? [])].sort());
        const stopped = run.reportOf(id);
        assert.equal(stopped.state, "stopped");
        assert.deepEqual(stopped.hooks, []);
        assert.deepEqual(stopped.services, []);
        assert.deepEqual(run.logger.at("error"), []);
      }),
    );

    it(
      "can be started again in another kernel, while the first one still runs and after it has stopped",
      kernels(async (start) => {
        const first = await start();
        const second = await start();
        await first.tidemark.stop();
        await second.exercise({ batches: 1 });
        await second.tidemark.stop();
        const third = await start();
        await third.exercise({ batches: 1 });
        await third.tidemark.stop();
        assert.deepEqual([...first.logger.at("error"), ...second.logger.at("error"), ...third.logger.at("error")], []);
      }),
    );

    it(
      "keeps no timer after it has stopped",
      kernels(async (start) => {
        const ledger = new TimerLedger();
        try {
          const run = await start();
          await run.exercise({ batches: 1 });
          await run.tidemark.stop();
          assert.deepEqual(ledger.open, []);
        } finally {
          ledger.release();
        }
      }),
    );

    it(
      "accounts for every operation, answers what can be used, and keeps within its time-outs",
      kernels(async (start) => {
        const run = await start();
        await run.exercise({ batches });
        const { hooks } = run.reportOf(id);
        await run.tidemark.stop();
        for (const { hook, failures, timeouts, quarantined } of hooks) {
          assert.deepEqual(
            { hook, failures, timeouts, quarantined },
            { hook, failures: 0, timeouts: 0, quarantined: false },
          );
        }
        assert.deepEqual([...run.logger.at("warn"), ...run.logger.at("error")], []);
      }),
    );

    it(
      "goes on when its neighbours throw",
      kernels(async (start) => {
        const run = await start([troublemaker]);
        await run.exercise({ batches: 5 });
        const report = run.reportOf(id);
        await run.tidemark.stop();
        assert.equal(report.state, "active");
        assert.deepEqual(
          report.hooks.map(({ failures }) => failures),
          report.hooks.map(() => 0),
        );
      }),
    );
  });
}

/** Fails wherever a failure is isolated. */
const troublemaker: AnyPlugin = {
  $$type: "tidemark.plugin",
  manifest: { id: "contract-troublemaker", version: "1.0.0", apiVersion: API_VERSION },
  activate({ hooks, events, subscriptions }) {
    const fail = (): never => {
      throw new Error("trouble");
    };
    hooks.afterBatch.tap(fail, { order: "pre" });
    hooks.onCatchUpFailure.tap(fail, { order: "pre" });
    hooks.onPoolPressure.tap(fail, { order: "pre" });
    events.on("batchApplied", fail);
    subscriptions.push({ dispose: fail });
  },
};

const PRESSURE: PoolPressure = {
  active: 30,
  idle: 0,
  waiting: 2,
  limit: 30,
  longestWaitMs: 120,
  holders: ["backfill"],
};

/** One kernel with the plugin in it. */
class Run {
  readonly tidemark: Tidemark;
  readonly logger: RecordingLogger;
  readonly #engine: FakeEngine;
  readonly #random: SeededRandom;

  private constructor(tidemark: Tidemark, logger: RecordingLogger, engine: FakeEngine, random: SeededRandom) {
    this.tidemark = tidemark;
    this.logger = logger;
    this.#engine = engine;
    this.#random = random;
  }

  static async start({
    plugin,
    settings,
    companions,
    seed,
  }: {
    readonly plugin: AnyPlugin;
    readonly settings: unknown;
    readonly companions: readonly AnyPlugin[];
    readonly seed: number;
  }): Promise<Run> {
    const engine = new FakeEngine();
    const logger = new RecordingLogger();
    const random = new SeededRandom(seed);
    const tidemark = createTidemarkWith(engine.factory)({
      // The engine is the only one to open it, and this one doesn't.
      dataSource: { initialize() {} } as never,
      plugins: [...companions, plugin],
      settings: {
        library: { id: "plugin-contract", secret: "the plugin contract", role: "found" },
        device: { id: "contract", name: "Contract" },
        plugins: { [plugin.manifest.id]: { enabled: true, ...(settings !== undefined && { settings }) } },
      },
      logger,
      random,
      env: {},
    });
    await tidemark.start();
    return new Run(tidemark, logger, engine, random);
  }

  reportOf(id: string): PluginReport {
    const report = this.tidemark.report().plugins.find((plugin) => plugin.id === id);
    assert.ok(report);
    return report;
  }

  /** Does to the plugin what replication would. Rejects when a transform fails. */
  async exercise({ batches }: { readonly batches: number }): Promise<void> {
    const { hooks, events } = this.#engine.deps;
    for (let index = 0; index < batches; index++) {
      const batch = generateBatch({ random: this.#random, id: index + 1 });
      const applied = appliedOf(await hooks.transformBatch(batch));
      await hooks.observeBatch(applied);
      events.emit("batchApplied", applied);
    }
    for (let failures = 1; failures <= 6; failures++) {
      for (const retryable of [true, false]) await hooks.decideCatchUp(failureOf({ failures, retryable }));
    }
    const { advice, advisedBy } = await hooks.collectPoolAdvice(PRESSURE);
    events.emit("poolPressure", { ...PRESSURE, advice, advisedBy });
    const told: { readonly [Name in keyof KernelEvents]?: KernelEvents[Name] } = {
      peerConnected: { peer: "peer", deviceId: "device", address: "memory://peer", clockDriftMs: 0 },
      peerStateChanged: { peer: "peer", state: "backfilling", previous: "uninitialized" },
      backfillStarted: { peer: "peer", models: { Folder: 2, Entry: 0 }, resumed: false },
      backfillProgress: { peer: "peer", model: "Folder", done: 2, total: 2, allDone: 2, allTotal: 2 },
      backfillCompleted: { peer: "peer", records: 2, durationMs: 10 },
      roundCompleted: { peer: "peer", phase: "live", records: 0, durationMs: 1 },
      catchUpFailed: { peer: "peer", phase: "catch-up", failures: 1, code: "TIDEMARK_X", reason: "lost" },
      peerDisconnected: { peer: "peer", reason: "lost" },
    };
    for (const name of Object.keys(told) as (keyof typeof told)[]) events.emit(name, told[name] as never);
    // Listeners may be asynchronous: their rejections come a little later.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function failureOf({
  failures,
  retryable,
}: {
  readonly failures: number;
  readonly retryable: boolean;
}): CatchUpFailure {
  const error = new TidemarkError({
    code: "TIDEMARK_CONTRACT_FAILURE",
    what: "A round has failed",
    why: "the contract suite says so",
    advice: "Answer as you would",
  });
  return { peer: "peer", phase: "catch-up", failures, error, retryable };
}
