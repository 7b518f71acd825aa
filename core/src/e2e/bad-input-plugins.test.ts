import { type AnyPlugin, API_VERSION, type ApplyBatch, definePlugin, type Hooks } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { RecordingLogger } from "../testing/recording-logger.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { digests, fill, Tag, testDevice } from "./bad-input.support.js";

function plugin(id: string, activate: (hooks: Hooks) => void): AnyPlugin {
  return definePlugin({
    manifest: { id, version: "1.0.0", apiVersion: API_VERSION },
    activate: ({ hooks }) => activate(hooks),
  });
}

interface Three {
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
  readonly a: TestKernel;
  readonly b: TestKernel;
  /** Knows `b` alone: what comes here was relayed. */
  readonly c: TestKernel;
}

/** `a` ← `b` ← `c`, in step; the plugins run on `b`. */
async function inStep(...plugins: readonly AnyPlugin[]): Promise<Three> {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const a = await testDevice("a", { clock, network });
  await a.tidemark.start();
  await fill(a);
  const b = await testDevice("b", { clock, network, dial: ["a"], plugins, logger });
  let done = b.next("roundCompleted");
  await b.tidemark.start();
  await done;
  const c = await testDevice("c", { clock, network, dial: ["b"] });
  done = c.next("roundCompleted");
  await c.tidemark.start();
  await done;
  await settled(clock);
  return { clock, logger, a, b, c };
}

async function settled(clock: ManualClock): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await clock.settle();
}

const write = ({ dataSource }: TestKernel, uuid: string) =>
  dataSource.getRepository(Tag).save({ uuid, name: uuid, weight: null });
const has = ({ dataSource }: TestKernel, uuid: string) => dataSource.getRepository(Tag).existsBy({ uuid });

describe("a plugin in beforeApplyBatch", () => {
  const faults: readonly (readonly [string, (batch: ApplyBatch) => unknown, string])[] = [
    [
      "that throws",
      () => {
        throw new Error("out of order");
      },
      "TIDEMARK_HOOK_FAILED",
    ],
    ["that rejects", () => Promise.reject(new Error("out of order")), "TIDEMARK_HOOK_FAILED"],
    ["that never answers", () => new Promise(() => {}), "TIDEMARK_HOOK_TIMED_OUT"],
    ["that answers rubbish", () => 42, "TIDEMARK_HOOK_UNACCOUNTED"],
    ["that loses an operation", (batch) => ({ ...batch, operations: [] }), "TIDEMARK_HOOK_UNACCOUNTED"],
    [
      "that rejects without a reason",
      (batch) => ({ ...batch, operations: [], rejected: batch.operations.map(({ id }) => ({ id, reason: "" })) }),
      "TIDEMARK_HOOK_UNACCOUNTED",
    ],
    [
      "that resolves a reference to rubbish",
      (batch) => ({ ...batch, operations: batch.operations.map((it) => ({ ...it, record: "another" })) }),
      "TIDEMARK_HOOK_UNACCOUNTED",
    ],
  ];
  it.each(faults)("%s fails the round, applies nothing, and loses nothing", async (_, fault, code) => {
    let broken = false;
    const { clock, a, b, c } = await inStep(
      plugin("broken", (hooks) =>
        hooks.beforeApplyBatch.tap((batch) => (broken ? (fault(batch) as never) : undefined)),
      ),
    );
    broken = true;
    const failed = b.next("catchUpFailed");
    await write(a, "t2");
    await settled(clock);
    await clock.advance(5_100);
    expect(await failed).toMatchObject({ code, failures: 1 });
    expect(await has(b, "t2")).toBe(false);
    expect(c.recordedOf("peerDisconnected")).toEqual([]);

    broken = false;
    const done = b.next("roundCompleted", ({ records }) => records > 0);
    await clock.advance(12_000);
    await done;
    await settled(clock);
    expect(await digests(b)).toEqual(await digests(a));
    expect(await digests(c)).toEqual(await digests(a));
    expect((await b.tidemark.status()).peers.find(({ deviceId }) => deviceId === "a")).toMatchObject({ failures: 0 });
  });

  it.each(["deferred", "rejected"] as const)(
    "that names operations %s keeps them aside, relays them, and stays in step",
    async (list) => {
      let withholding = true;
      const { clock, a, b, c } = await inStep(
        plugin("careful", (hooks) =>
          hooks.beforeApplyBatch.tap((batch) => {
            if (!withholding) return undefined;
            const named = batch.operations.filter(({ record }) => record === "t2");
            return {
              ...batch,
              operations: batch.operations.filter((operation) => !named.includes(operation)),
              [list]: named.map(({ id }) => ({ id, reason: "not on a Sunday" })),
            };
          }),
        ),
      );
      const relayed = c.next("roundCompleted", ({ records }) => records > 0);
      await write(a, "t2");
      await relayed;
      await settled(clock);
      expect(await has(b, "t2")).toBe(false);
      expect(await has(c, "t2")).toBe(true);
      expect((await b.tidemark.status()).parked).toMatchObject(
        list === "deferred" ? { deferred: 1, quarantined: 0 } : { deferred: 0, quarantined: 1 },
      );
      expect(b.recordedOf("batchApplied").at(-1)?.counts).toMatchObject(
        list === "deferred" ? { applied: 0, deferred: 1 } : { applied: 0, quarantined: 0, rejected: 1 },
      );
      // Others of its kind go their way, and do not take it along.
      await write(a, "t3");
      await settled(clock);
      expect(await has(b, "t3")).toBe(true);
      expect(await has(b, "t2")).toBe(false);

      // A newer change is asked about anew.
      withholding = false;
      await a.dataSource.getRepository(Tag).update({ uuid: "t2" }, { weight: 7 });
      await settled(clock);
      await clock.advance(120_000);
      await settled(clock);
      expect(await has(b, "t2")).toBe(true);
      expect((await b.tidemark.status()).parked).toMatchObject({ deferred: 0, quarantined: 0 });
      expect(await digests(b)).toEqual(await digests(a));
      expect(await digests(c)).toEqual(await digests(a));
    },
  );
});

describe("a plugin in afterBatch", () => {
  it.each([
    [
      "throws",
      () => {
        throw new Error("no more paper");
      },
    ],
    ["never answers", () => new Promise<void>(() => {})],
  ])("that %s is quarantined after three times, and sync goes on", async (_, fault) => {
    let calls = 0;
    let broken = false;
    const { clock, a, b } = await inStep(
      plugin("broken", (hooks) =>
        hooks.afterBatch.tap(() => {
          if (!broken) return undefined;
          calls += 1;
          return fault();
        }),
      ),
    );
    broken = true;
    for (const uuid of ["t2", "t3", "t4", "t5", "t6"]) {
      await write(a, uuid);
      await settled(clock);
      await clock.advance(5_100);
    }
    expect(calls).toBe(3);
    expect(b.recordedOf("hookHandlerQuarantined")).toMatchObject([{ pluginId: "broken", hook: "afterBatch" }]);
    expect(b.recordedOf("catchUpFailed")).toEqual([]);
    expect(await digests(b)).toEqual(await digests(a));
  });
});

describe("a plugin in onCatchUpFailure", () => {
  it.each<readonly [string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("no idea");
      },
    ],
    ["never answers", () => new Promise(() => {})],
    ["answers rubbish", () => "soon"],
    ["answers with a delay that is none", () => ({ action: "retry", delayMs: Number.NaN })],
    ["gives up without a reason", () => ({ action: "give-up" })],
    ["has no opinion", () => undefined],
  ])("that %s leaves the decision to the kernel", async (_, fault) => {
    let broken = false;
    const { clock, a, b } = await inStep(
      plugin("broken", (hooks) => {
        hooks.beforeApplyBatch.tap(() => {
          if (broken) throw new Error("out of order");
        });
        hooks.onCatchUpFailure.tap(() => fault() as never);
      }),
    );
    broken = true;
    const decided = b.next("catchUpDecided");
    await write(a, "t2");
    await settled(clock);
    await clock.advance(5_100);
    expect(await decided).toMatchObject({ decision: { action: "retry", delayMs: 5_000 }, decidedBy: "kernel" });
    broken = false;
    await clock.advance(12_000);
    await settled(clock);
    expect(await digests(b)).toEqual(await digests(a));
  });

  it("that gives up pauses the peer, and the others go on", async () => {
    let broken = false;
    const { clock, a, b, c } = await inStep(
      plugin("strict", (hooks) => {
        hooks.beforeApplyBatch.tap((batch) => {
          if (broken && batch.operations.some(({ record }) => record === "t2")) throw new Error("out of order");
        });
        hooks.onCatchUpFailure.tap(() => ({ action: "give-up", reason: "enough" }));
      }),
    );
    broken = true;
    await write(a, "t2");
    await settled(clock);
    await clock.advance(3_600_000);
    expect(b.recordedOf("catchUpDecided")).toMatchObject([{ decision: { action: "give-up" }, decidedBy: "strict" }]);
    expect(b.recordedOf("catchUpFailed").length).toBe(1);
    expect((await b.tidemark.status()).peers.find(({ deviceId }) => deviceId === "a")).toMatchObject({
      state: "paused",
      connected: false,
    });
    await write(c, "t3");
    await settled(clock);
    expect(await has(b, "t3")).toBe(true);
  });

  it("that asks for a full backfill gets one, and the device is in step afterwards", async () => {
    let broken = false;
    const { clock, a, b, c } = await inStep(
      plugin("thorough", (hooks) => {
        hooks.beforeApplyBatch.tap(() => {
          if (broken) throw new Error("out of order");
        });
        hooks.onCatchUpFailure.tap(() => ({ action: "full-backfill", delayMs: 1_000 }));
      }),
    );
    broken = true;
    await write(a, "t2");
    await settled(clock);
    broken = false;
    const done = b.next("backfillCompleted");
    await clock.advance(2_000);
    await done;
    await clock.advance(2_000);
    await settled(clock);
    expect(await digests(b)).toEqual(await digests(a));
    expect(await digests(c)).toEqual(await digests(a));
  });
});

describe("a plugin in onPoolPressure", () => {
  it.each<readonly [string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("no idea");
      },
    ],
    ["answers rubbish", () => ({ maxSliceRecords: -5 })],
    ["never answers", () => new Promise(() => {})],
  ])("that %s counts as without advice, and sync goes on", async (_, fault) => {
    let asked = 0;
    const { clock, a, b } = await inStep(
      plugin("broken", (hooks) =>
        hooks.onPoolPressure.tap(() => {
          asked += 1;
          return fault() as never;
        }),
      ),
    );
    await b.dataSource.query("BEGIN");
    await write(a, "t2");
    await settled(clock);
    await clock.advance(36_000);
    await b.dataSource.query("COMMIT");
    await clock.advance(1_000);
    await settled(clock);
    expect(asked).toBeGreaterThan(0);
    expect(b.recordedOf("poolPressure")[0]).toMatchObject({ advice: {}, advisedBy: [] });
    expect(await digests(b)).toEqual(await digests(a));
  });
});
