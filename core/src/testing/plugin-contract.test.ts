import { type AnyPlugin, API_VERSION, createServiceToken, definePlugin } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { pluginOf } from "./kernel-fixture.test-support.js";
import { testPluginContract } from "./plugin-contract.js";

const limits = createServiceToken<{ readonly limit: number }>("limiter.limits");

const limiter = definePlugin({
  manifest: {
    id: "limiter",
    version: "1.0.0",
    apiVersion: API_VERSION,
    provides: [limits.id],
    configuration: z.object({ limit: z.number().default(5) }),
  },
  activate({ config, hooks, services, events, clock }) {
    services.provide(limits, { limit: config.limit });
    hooks.beforeApplyBatch.tap(async (batch) => ({
      ...batch,
      operations: batch.operations.slice(0, config.limit),
      deferred: [
        ...batch.deferred,
        ...batch.operations.slice(config.limit).map(({ id }) => ({ id, reason: "too many at once" })),
      ],
    }));
    hooks.onCatchUpFailure.tap(({ failures }) => ({ action: "retry", delayMs: failures * 10 }));
    events.on("batchApplied", () => void clock.setTimeout(() => {}, 60_000));
  },
});

testPluginContract({ plugin: limiter, settings: { limit: 3 }, runner: { describe, it } });

/** Runs the suite by hand; the names of the tests that failed. */
async function failuresOf(plugin: AnyPlugin): Promise<readonly string[]> {
  const tests: [string, () => Promise<void>][] = [];
  testPluginContract({
    plugin,
    batches: 20,
    runner: { describe: (_, body) => body(), it: (name, body) => tests.push([name, body]) },
  });
  const failed: string[] = [];
  for (const [name, body] of tests) await body().catch(() => failed.push(name));
  return failed;
}

const MANIFEST = "has a manifest that can be used";
const CLEAN = "is activated, provides what its manifest says, and gives everything back";
const TIMERS = "keeps no timer after it has stopped";
const ACCOUNTS = "accounts for every operation, answers what can be used, and keeps within its time-outs";

describe("the plugin contract", () => {
  it("passes a plugin that does nothing", async () => {
    expect(await failuresOf(pluginOf({ id: "nothing" }))).toEqual([]);
  });

  it("finds a manifest that can't be used", async () => {
    expect(await failuresOf(pluginOf({ id: "Not An Id" }))).toContain(MANIFEST);
  });

  it("finds a service that is declared and not provided", async () => {
    expect(await failuresOf(pluginOf({ id: "empty", provides: ["empty.promise"] }))).toContain(CLEAN);
  });

  it("finds a step of the disposal that throws", async () => {
    const plugin = pluginOf({ id: "messy" }, ({ subscriptions }) => {
      subscriptions.push({
        dispose() {
          throw new Error("no");
        },
      });
    });
    expect(await failuresOf(plugin)).toContain(CLEAN);
  });

  it("finds state that two kernels share", async () => {
    let running = false;
    const plugin = pluginOf({ id: "single" }, ({ subscriptions }) => {
      if (running) throw new Error("already running");
      running = true;
      subscriptions.push({
        dispose() {
          running = false;
        },
      });
    });
    expect(await failuresOf(plugin)).toEqual([
      "can be started again in another kernel, while the first one still runs and after it has stopped",
    ]);
  });

  it("finds a timer that goes past the context's clock", async () => {
    const timers: NodeJS.Timeout[] = [];
    const plugin = pluginOf({ id: "ticking" }, () => void timers.push(setInterval(() => {}, 60_000)));
    expect(await failuresOf(plugin)).toEqual([TIMERS]);
    for (const timer of timers) clearInterval(timer);
  });

  it("finds a transform that loses operations", async () => {
    const plugin = pluginOf({ id: "leaky" }, ({ hooks }) => {
      hooks.beforeApplyBatch.tap((batch) => ({ ...batch, operations: batch.operations.slice(0, 1) }));
    });
    expect(await failuresOf(plugin)).toContain(ACCOUNTS);
  });

  it("finds answers that can't be used, observers and listeners that throw, and handlers that take too long", async () => {
    const faults: ((...given: Parameters<AnyPlugin["activate"]>) => unknown)[] = [
      ({ hooks }) => hooks.onCatchUpFailure.tap(() => ({ action: "retry", delayMs: Number.NaN })),
      ({ hooks }) => hooks.onPoolPressure.tap(() => ({ maxSliceRecords: 0 })),
      ({ hooks }) =>
        hooks.afterBatch.tap(async () => {
          throw new Error("no");
        }),
      ({ hooks }) => hooks.afterBatch.tap(() => new Promise(() => {}), { timeoutMs: 5 }),
      ({ events }) =>
        events.on("backfillProgress", async () => {
          throw new Error("no");
        }),
    ];
    for (const fault of faults) {
      expect(await failuresOf(pluginOf({ id: "faulty" }, (context) => void fault(context as never)))).toContain(
        ACCOUNTS,
      );
    }
  });
});
