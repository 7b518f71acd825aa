import {
  type ApplyBatch,
  type CatchUpFailure,
  type Hooks,
  isTidemarkError,
  type Operation,
  TidemarkError,
} from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { appliedOf, generateBatch } from "../testing/generated-batches.js";
import { type KernelFixture, kernelFixture, pluginOf } from "../testing/kernel-fixture.test-support.js";
import { SeededRandom } from "../testing/seeded-random.js";

const batch = generateBatch({ random: new SeededRandom(7), id: 1 });
const applied = appliedOf(batch);
const failure: CatchUpFailure = {
  peer: "peer",
  phase: "catch-up",
  failures: 1,
  error: new TidemarkError({ code: "TIDEMARK_X", what: "a", why: "b", advice: "c" }),
  retryable: true,
};
const pressure = { active: 1, idle: 0, waiting: 1, limit: 2, longestWaitMs: 5, holders: [] };

/** A kernel with one plugin for each function, `a`, `b`, …, activated in this order. */
async function withHooks(...taps: readonly ((hooks: Hooks) => void)[]): Promise<KernelFixture> {
  const fixture = kernelFixture(
    ...taps.map((tap, index) => pluginOf({ id: String.fromCharCode(97 + index) }, ({ hooks }) => tap(hooks))),
  );
  await fixture.activate();
  return fixture;
}

function throwing(): never {
  throw new Error("no luck");
}

const never = (): Promise<never> => new Promise(() => {});

describe("the order of handlers", () => {
  it("is pre, normal, post, and within them that of activation, whenever they tapped", async () => {
    const called: string[] = [];
    const note = (name: string) => () => void called.push(name);
    let tapLater = (): void => {};
    const { hooks } = await withHooks(
      (own) => {
        own.afterBatch.tap(note("a post"), { order: "post" });
        own.afterBatch.tap(note("a normal 1"));
        own.afterBatch.tap(note("a normal 2"));
        tapLater = () => own.afterBatch.tap(note("a later"));
      },
      (own) => {
        own.afterBatch.tap(note("b normal"));
        own.afterBatch.tap(note("b pre"), { order: "pre" });
      },
    );
    tapLater();
    await hooks.observeBatch(applied);
    expect(called).toEqual(["b pre", "a normal 1", "a normal 2", "a later", "b normal", "a post"]);
  });

  it("leaves a run that is under way as it began when a handler is added or removed", async () => {
    const called: string[] = [];
    const { hooks } = await withHooks((own) => {
      const second = { dispose: () => {} };
      own.onCatchUpFailure.tap(() => {
        called.push("first");
        second.dispose();
        own.onCatchUpFailure.tap(() => void called.push("third"));
      });
      second.dispose = own.onCatchUpFailure.tap(() => void called.push("second")).dispose;
    });
    await hooks.decideCatchUp(failure);
    expect(called).toEqual(["first", "second"]);
  });
});

describe("beforeApplyBatch", () => {
  it("returns the very batch when nobody listens, or nobody changes it", async () => {
    expect(await kernelFixture().hooks.transformBatch(batch)).toBe(batch);
    const { hooks } = await withHooks((own) => own.beforeApplyBatch.tap(() => {}));
    expect(await hooks.transformBatch(batch)).toBe(batch);
  });

  it("hands each handler what the one before has returned, and waits for it", async () => {
    const defer = (count: number) => async (value: ApplyBatch) => {
      const [first, ...operations] = value.operations;
      return { ...value, operations, deferred: [...value.deferred, { id: first!.id, reason: `by ${count}` }] };
    };
    const { hooks } = await withHooks(
      (own) => own.beforeApplyBatch.tap(defer(1)),
      (own) => own.beforeApplyBatch.tap(defer(2)),
    );
    const result = await hooks.transformBatch(batch);
    expect(result.deferred.map(({ reason }) => reason)).toEqual(["by 1", "by 2"]);
    expect(result.operations).toEqual(batch.operations.slice(2));
  });

  it.each([
    ["throws", throwing],
    ["rejects", async () => throwing()],
  ])(
    "fails, naming plugin and hook and keeping the cause, when a handler %s; no later one is called",
    async (_, bad) => {
      let later = false;
      const { hooks } = await withHooks(
        (own) => own.beforeApplyBatch.tap(bad),
        (own) =>
          own.beforeApplyBatch.tap(() => {
            later = true;
          }),
      );
      await expect(hooks.transformBatch(batch)).rejects.toMatchObject({
        code: "TIDEMARK_HOOK_FAILED",
        what: 'The plugin "a" has failed in beforeApplyBatch',
        details: { pluginId: "a", hook: "beforeApplyBatch" },
        cause: { message: "no luck" },
      });
      expect(later).toBe(false);
    },
  );

  it("fails when a handler takes too long, and is not quarantined however often it does", async () => {
    const { hooks, clock } = await withHooks((own) => own.beforeApplyBatch.tap(never, { timeoutMs: 100 }));
    for (let time = 0; time < 4; time++) {
      const result = expect(hooks.transformBatch(batch)).rejects.toMatchObject({ code: "TIDEMARK_HOOK_TIMED_OUT" });
      await clock.advance(100);
      await result;
    }
    expect(hooks.reportOf("a")).toMatchObject([{ calls: 4, failures: 4, timeouts: 4, quarantined: false }]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("fails when a handler that never lets go of the loop takes too long", async () => {
    let nowMs = 0;
    const fixture = await withHooks((own) =>
      own.beforeApplyBatch.tap(() => {
        nowMs += 5_001;
      }),
    );
    fixture.clock.monotonicMs = () => nowMs;
    await expect(fixture.hooks.transformBatch(batch)).rejects.toMatchObject({ code: "TIDEMARK_HOOK_TIMED_OUT" });
  });

  it("names the plugin whose batch does not add up, not the one after it", async () => {
    const { hooks } = await withHooks(
      (own) => own.beforeApplyBatch.tap((value) => ({ ...value, operations: value.operations.slice(1) })),
      (own) => own.beforeApplyBatch.tap((value) => ({ ...value })),
    );
    await expect(hooks.transformBatch(batch)).rejects.toMatchObject({
      code: "TIDEMARK_HOOK_UNACCOUNTED",
      details: { pluginId: "a" },
    });
    expect(hooks.reportOf("a")).toMatchObject([{ failures: 1 }]);
  });

  it.each<[string, (value: ApplyBatch) => void]>([
    ["an operation", (value) => void Object.assign(value.operations[0]!, { record: "another" })],
    ["the list of operations", (value) => void (value.operations as Operation[]).pop()],
  ])("finds out who writes into %s in place", async (_, write) => {
    const { hooks } = await withHooks(
      (own) => own.beforeApplyBatch.tap(() => {}),
      (own) => own.beforeApplyBatch.tap(write),
    );
    const own = generateBatch({ random: new SeededRandom(7), id: 2 });
    await expect(hooks.transformBatch(own)).rejects.toMatchObject({
      code: "TIDEMARK_HOOK_UNACCOUNTED",
      details: { pluginId: "b" },
    });
  });
});

describe("afterBatch", () => {
  it("calls all handlers side by side and waits for all of them", async () => {
    const order: string[] = [];
    let release = (): void => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { hooks } = await withHooks(
      (own) =>
        own.afterBatch.tap(async () => {
          order.push("a begins");
          await slow;
          order.push("a ends");
        }),
      (own) =>
        own.afterBatch.tap(() => {
          order.push("b");
          release();
        }),
    );
    await hooks.observeBatch(applied);
    expect(order).toEqual(["a begins", "b", "a ends"]);
  });

  it("isolates and logs a failure; after three in a row it calls the handler no more, and says so once", async () => {
    let calls = 0;
    let others = 0;
    const fixture = await withHooks(
      (own) =>
        own.afterBatch.tap(async () => {
          calls++;
          throwing();
        }),
      (own) => own.afterBatch.tap(() => void others++),
    );
    const quarantined = fixture.record("hookHandlerQuarantined");
    for (let time = 0; time < 5; time++) await fixture.hooks.observeBatch(applied);
    expect([calls, others]).toEqual([3, 5]);
    expect(quarantined).toMatchObject([{ pluginId: "a", hook: "afterBatch", error: { code: "TIDEMARK_HOOK_FAILED" } }]);
    expect(fixture.logger.at("warn")).toHaveLength(3);
    expect(fixture.logger.at("error")).toMatchObject([{ fields: { plugin: "a", hook: "afterBatch" } }]);
    expect(fixture.hooks.reportOf("a")).toMatchObject([{ calls: 3, failures: 3, quarantined: true }]);
  });

  it("forgets failures when a call succeeds", async () => {
    let calls = 0;
    const { hooks } = await withHooks((own) => own.afterBatch.tap(() => (++calls % 3 === 0 ? undefined : throwing())));
    for (let time = 0; time < 9; time++) await hooks.observeBatch(applied);
    expect(hooks.reportOf("a")).toMatchObject([{ calls: 9, failures: 6, quarantined: false }]);
  });

  it("counts a time-out as a failure, and aborts the call's signal", async () => {
    let reason: unknown;
    const { hooks, clock } = await withHooks((own) =>
      own.afterBatch.tap((_, { signal }) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
        });
        return never();
      }),
    );
    const observed = hooks.observeBatch(applied);
    await clock.advance(4_999);
    expect(reason).toBeUndefined();
    await clock.advance(1);
    await observed;
    expect(isTidemarkError(reason, "TIDEMARK_HOOK_TIMED_OUT")).toBe(true);
    expect(hooks.reportOf("a")).toMatchObject([{ failures: 1, timeouts: 1 }]);
  });

  it("gives a signal that is aborted already to who looks at it after the time-out", async () => {
    let late: (() => AbortSignal) | undefined;
    const { hooks, clock } = await withHooks((own) =>
      own.afterBatch.tap((_, call) => {
        late = () => call.signal;
        return never();
      }),
    );
    const observed = hooks.observeBatch(applied);
    await clock.advance(5_000);
    await observed;
    expect(late?.().aborted).toBe(true);
  });

  it("ignores what a handler does after its time-out, a rejection included", async () => {
    let reject = (_: Error): void => {};
    const { hooks, clock } = await withHooks((own) =>
      own.afterBatch.tap(
        () =>
          new Promise<void>((_, fail) => {
            reject = fail;
          }),
      ),
    );
    const observed = hooks.observeBatch(applied);
    await clock.advance(5_000);
    await observed;
    reject(new Error("late"));
    await clock.settle();
    expect(hooks.reportOf("a")).toMatchObject([{ calls: 1, failures: 1 }]);
  });
});

describe("onCatchUpFailure", () => {
  it("takes the first answer, names who gave it, and asks nobody after", async () => {
    let asked = false;
    const { hooks } = await withHooks(
      (own) => own.onCatchUpFailure.tap(() => {}),
      (own) => own.onCatchUpFailure.tap(async () => ({ action: "retry", delayMs: 10 })),
      (own) =>
        own.onCatchUpFailure.tap(() => {
          asked = true;
        }),
    );
    expect(await hooks.decideCatchUp(failure)).toEqual({ decision: { action: "retry", delayMs: 10 }, decidedBy: "b" });
    expect(asked).toBe(false);
  });

  it("says null when nobody has an opinion", async () => {
    const { hooks } = await withHooks((own) => own.onCatchUpFailure.tap(async () => undefined));
    expect(await hooks.decideCatchUp(failure)).toBeNull();
  });

  it("takes a throw and a time-out for no opinion, logs them, and never quarantines", async () => {
    const { hooks, clock, logger } = await withHooks(
      (own) => own.onCatchUpFailure.tap(throwing),
      (own) => own.onCatchUpFailure.tap(never, { timeoutMs: 10 }),
      (own) => own.onCatchUpFailure.tap(() => ({ action: "give-up", reason: "enough" })),
    );
    for (let time = 0; time < 4; time++) {
      const decided = hooks.decideCatchUp(failure);
      await clock.advance(10);
      expect(await decided).toMatchObject({ decidedBy: "c" });
    }
    expect(logger.at("warn")).toHaveLength(8);
    expect(hooks.reportOf("a")).toMatchObject([{ calls: 4, failures: 4, quarantined: false }]);
    expect(hooks.reportOf("b")).toMatchObject([{ calls: 4, timeouts: 4, quarantined: false }]);
  });

  it.each([
    [{ action: "retry", delayMs: Number.NaN }],
    [{ action: "retry", delayMs: -1 }],
    [{ action: "full-backfill" }],
    [{ action: "give-up" }],
    [{ action: "shrug" }],
    ["retry"],
  ])("takes an answer that can't be acted on for no opinion: %o", async (answer) => {
    const { hooks, logger } = await withHooks((own) => own.onCatchUpFailure.tap(() => answer as never));
    expect(await hooks.decideCatchUp(failure)).toBeNull();
    expect(logger.at("warn")).toMatchObject([{ fields: { error: { code: "TIDEMARK_HOOK_INVALID_ANSWER" } } }]);
    expect(hooks.reportOf("a")).toMatchObject([{ failures: 1 }]);
  });
});

describe("onPoolPressure", () => {
  it("takes the most careful advice field by field, and names those whose advice it was", async () => {
    const { hooks } = await withHooks(
      (own) => own.onPoolPressure.tap(() => ({ maxSliceRecords: 100, pauseMs: 5 })),
      (own) => own.onPoolPressure.tap(async () => ({ maxSliceRecords: 50, maxConcurrency: 2 })),
      (own) => own.onPoolPressure.tap(() => ({ maxConcurrency: 2, pauseMs: 1 })),
    );
    expect(await hooks.collectPoolAdvice(pressure)).toEqual({
      advice: { maxSliceRecords: 50, pauseMs: 5, maxConcurrency: 2 },
      advisedBy: ["b", "a"],
    });
  });

  it.each([[throwing], [() => ({ maxSliceRecords: 0 })], [() => ({ pauseMs: -1 })], [() => ({ maxConcurrency: 1.5 })]])(
    "takes a failure for no advice: %s",
    async (bad) => {
      const { hooks } = await withHooks(
        (own) => own.onPoolPressure.tap(bad),
        (own) => own.onPoolPressure.tap(() => ({ pauseMs: 3 })),
      );
      expect(await hooks.collectPoolAdvice(pressure)).toEqual({ advice: { pauseMs: 3 }, advisedBy: ["b"] });
      expect(hooks.reportOf("a")).toMatchObject([{ failures: 1 }]);
    },
  );

  it("takes a time-out for no advice", async () => {
    const { hooks, clock } = await withHooks((own) => own.onPoolPressure.tap(never));
    const collected = hooks.collectPoolAdvice(pressure);
    await clock.advance(5_000);
    expect(await collected).toEqual({ advice: {}, advisedBy: [] });
  });
});

describe("the runner", () => {
  it("tells of every call with its outcome and duration", async () => {
    const fixture = await withHooks(
      (own) => own.afterBatch.tap(() => {}),
      (own) => own.afterBatch.tap(throwing),
      (own) => own.afterBatch.tap(never, { timeoutMs: 20 }),
    );
    const completed = fixture.record("hookCompleted");
    const observed = fixture.hooks.observeBatch(applied);
    await fixture.clock.advance(20);
    await observed;
    expect(completed).toEqual([
      { pluginId: "a", hook: "afterBatch", durationMs: 0, outcome: "ok" },
      { pluginId: "b", hook: "afterBatch", durationMs: 0, outcome: "failed" },
      { pluginId: "c", hook: "afterBatch", durationMs: 20, outcome: "timed-out" },
    ]);
  });

  it("sets no timer for a handler that returns at once", async () => {
    const { hooks, clock } = await withHooks((own) => own.afterBatch.tap(() => expect(clock.pendingTimers).toBe(0)));
    await hooks.observeBatch(applied);
    expect(clock.pendingTimers).toBe(0);
    expect(hooks.reportOf("a")).toMatchObject([{ failures: 0 }]);
  });

  it("waits for nobody once it is stopped: transforms fail, the rest has no opinion, nobody is blamed", async () => {
    const signals: AbortSignal[] = [];
    const hang = (_: unknown, { signal }: { readonly signal: AbortSignal }): Promise<never> => {
      signals.push(signal);
      return never();
    };
    const { hooks, clock } = await withHooks((own) => {
      own.beforeApplyBatch.tap(hang);
      own.afterBatch.tap(hang);
      own.onCatchUpFailure.tap(hang);
      own.onPoolPressure.tap(hang);
    });
    const transformed = expect(hooks.transformBatch(batch)).rejects.toMatchObject({ code: "TIDEMARK_HOOK_STOPPED" });
    const others = Promise.all([
      hooks.observeBatch(applied),
      hooks.decideCatchUp(failure),
      hooks.collectPoolAdvice(pressure),
    ]);
    hooks.stop();
    await transformed;
    expect(await others).toEqual([undefined, null, { advice: {}, advisedBy: [] }]);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true, true]);
    expect(hooks.reportOf("a").map(({ failures }) => failures)).toEqual([0, 0, 0, 0]);
    expect(clock.pendingTimers).toBe(0);
    await expect(hooks.transformBatch(batch)).rejects.toMatchObject({ code: "TIDEMARK_HOOK_STOPPED" });
    await hooks.observeBatch(applied);
    expect(signals).toHaveLength(4);
  });

  it.each([
    [undefined, undefined, "its handler is not a function"],
    [() => {}, { order: "first" }, '"first" is no order'],
    [() => {}, { timeoutMs: 0 }, "its time-out is not a number above 0"],
    [() => {}, { timeoutMs: "5s" }, "its time-out is not a number above 0"],
  ])("refuses a tap that is none (%#)", async (handler, options, why) => {
    await expect(withHooks((own) => own.afterBatch.tap(handler as never, options as never))).rejects.toMatchObject({
      cause: { code: "TIDEMARK_HOOK_INVALID_TAP", why },
    });
  });
});
