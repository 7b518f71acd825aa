import type { Tidemark } from "@tidemark/core";
import type { KernelEvents } from "@tidemark/plugin-api";
import { type ReferenceResolver, referenceResolver } from "@tidemark/plugin-fk-batching";
import { type HistorySample, type MetricsReader, metricsReader } from "@tidemark/plugin-metrics";
import { describe, expect, it } from "vitest";
import { FigureCounter } from "./figure-counter.js";
import { NO_FIGURES } from "./figures.js";

/** A Tidemark that only tells; its services are there while it runs. */
function fakeTidemark(services: ReadonlyMap<unknown, unknown> = new Map()) {
  const listeners: { readonly name: string; readonly listener: (event: never) => void }[] = [];
  let running = false;
  const tidemark = {
    events: { on: (name: string, listener: (event: never) => void) => void listeners.push({ name, listener }) },
    services: { find: (token: unknown) => (running ? services.get(token) : undefined) },
  } as unknown as Tidemark;
  const emit = <Name extends keyof KernelEvents>(name: Name, event: Partial<KernelEvents[Name]>) => {
    for (const one of listeners) if (one.name === name) one.listener(event as never);
  };
  return {
    tidemark,
    emit,
    start() {
      running = true;
      emit("kernelStateChanged", { state: "running" });
    },
    stop() {
      running = false;
      emit("kernelStateChanged", { state: "stopped" });
    },
  };
}

const counts = { applied: 3, superseded: 1, parked: 0, quarantined: 0, rejected: 0, deferred: 0, conflicts: 0 };

describe("the counter of figures", () => {
  it("counts what events tell, also before the kernel runs, over several kernels", () => {
    let nowMs = 0;
    const counter = new FigureCounter({ monotonicMs: () => nowMs });
    const pass = (ms: number) => {
      nowMs += ms;
    };
    expect(counter.read()).toEqual(NO_FIGURES);
    for (const decidedBy of ["backoff", "kernel"]) {
      const { tidemark, emit, start, stop } = fakeTidemark();
      counter.begin(tidemark);
      emit("backfillStarted", {});
      pass(200);
      emit("batchApplied", { counts, referenceLookups: 4, phase: "backfill" });
      start();
      pass(50);
      emit("batchApplied", { counts, referenceLookups: 1, phase: "backfill" });
      pass(5);
      emit("backfillCompleted", {});
      pass(10_000);
      emit("batchApplied", { counts, referenceLookups: 0, phase: "live" });
      emit("logPruned", { stamps: 20, hiddenRecords: 2 });
      emit("catchUpFailed", {});
      emit("catchUpDecided", { decidedBy, decision: { action: "retry", delayMs: 700 } });
      emit("catchUpFailed", {});
      emit("catchUpDecided", { decidedBy, decision: { action: "full-backfill", delayMs: 300 } });
      emit("catchUpFailed", {});
      emit("catchUpDecided", { decidedBy, decision: { action: "give-up", reason: "no use" } });
      counter.sized({ logEntries: 70, syncTableBytes: 800 });
      counter.sized({ logEntries: 60, syncTableBytes: 900 });
      stop();
      counter.end();
    }
    expect(counter.read()).toEqual({
      received: 18,
      references: { lookups: 10, spared: 0, queries: 0 },
      log: { largestEntries: 70, largestBytes: 900, prunedEntries: 40, erasedRecords: 4 },
      catchUps: {
        failed: 6,
        decidedByBackoff: 3,
        decidedByKernel: 3,
        fullBackfills: 2,
        givenUp: 2,
        longestDelayMs: 700,
      },
      backfill: { pages: 4, records: 16, durationMs: 510 },
      pool: null,
      health: null,
    });
  });

  it("asks the plugins, also when the kernel that offered them has stopped", () => {
    const stats = { batches: 2, references: 90, missing: 1, queries: 6, lookupsSaved: 80, leftToKernel: 0 };
    const resolver: Pick<ReferenceResolver, "stats"> = { stats: () => stats };
    let health: ReturnType<MetricsReader["health"]> = { status: "ok", reasons: [] };
    const sample = (name: string, series: readonly object[]) => ({ name, kind: "counter", unit: "1", series });
    const reader = {
      health: () => health,
      history: () => [{ health: "failing" }] as unknown as readonly HistorySample[],
      snapshot: () => ({
        version: 1,
        atMs: 0,
        health,
        metrics: [
          sample("db.client.connection.max", [{ attributes: {}, value: 30 }]),
          sample("tidemark.pool.peak", [{ attributes: {}, value: 3 }]),
          sample("db.client.connection.wait_time", [
            { attributes: { kind: "reader" }, count: 2, sum: 0.2, min: 0, max: 0.125 },
            { attributes: { kind: "writer" }, count: 2, sum: 0.4, min: 0, max: 0.25 },
          ]),
          sample("db.client.connection.timeouts", [
            { attributes: { kind: "reader" }, value: 1 },
            { attributes: { kind: "writer" }, value: 2 },
          ]),
        ],
      }),
    } as unknown as MetricsReader;
    const { tidemark, start, stop } = fakeTidemark(
      new Map<unknown, unknown>([
        [referenceResolver, resolver],
        [metricsReader, reader],
      ]),
    );
    const counter = new FigureCounter({ monotonicMs: () => 0 });
    counter.begin(tidemark);
    start();
    const reason = {
      code: "lagMs",
      status: "degraded",
      value: 1,
      threshold: 0,
      text: "B lags 1 s behind",
    } as const;
    health = { status: "degraded", reasons: [reason] };
    counter.read();
    health = { status: "ok", reasons: [] };
    stop();
    counter.end();
    expect(counter.read()).toMatchObject({
      references: { lookups: 0, spared: 80, queries: 6 },
      pool: { limit: 30, peak: 3, longestWaitMs: 250, timeouts: 3 },
      health: { now: "ok", worst: "failing", reason: "B lags 1 s behind" },
    });
  });
});
