import { describe, expect, it } from "vitest";
import { ManualClock } from "./manual-clock.js";

describe("the manual clock", () => {
  it("fires timers in the order of their time, then of their setting, each at its own time", async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    clock.setTimeout(() => fired.push(`second at ${clock.monotonicMs()}`), 20);
    clock.setTimeout(() => fired.push(`first at ${clock.monotonicMs()}`), 10);
    clock.setTimeout(() => fired.push(`third at ${clock.monotonicMs()}`), 20);
    await clock.advance(19);
    expect(fired).toEqual(["first at 10"]);
    await clock.advance(1);
    expect(fired).toEqual(["first at 10", "second at 20", "third at 20"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("fires a timer that was set by another one and falls due in the same step", async () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    clock.setTimeout(() => clock.setTimeout(() => fired.push(clock.monotonicMs()), 5), 5);
    await clock.advance(10);
    expect(fired).toEqual([10]);
  });

  it("runs promises and immediates between two timers", async () => {
    const clock = new ManualClock();
    const order: string[] = [];
    clock.setTimeout(() => {
      clock.setImmediate(() => void Promise.resolve().then(() => order.push("after the first timer")));
    }, 1);
    clock.setTimeout(() => order.push("second timer"), 2);
    await clock.advance(2);
    expect(order).toEqual(["after the first timer", "second timer"]);
  });

  it("fires nothing that was disposed of", async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    clock.setTimeout(() => fired.push("timer"), 1).dispose();
    clock.setImmediate(() => fired.push("immediate")).dispose();
    await clock.advance(1);
    expect(fired).toEqual([]);
  });

  it("moves the wall clock with time, and by hand without touching timers", async () => {
    const clock = new ManualClock({ nowMs: 1_000 });
    let fired = false;
    clock.setTimeout(() => {
      fired = true;
    }, 50);
    await clock.advance(10);
    expect(clock.now()).toBe(1_010);
    clock.setWallClock(5);
    expect(clock.now()).toBe(5);
    expect(clock.monotonicMs()).toBe(10);
    await clock.advance(39);
    expect(fired).toBe(false);
    await clock.advance(1);
    expect(fired).toBe(true);
    expect(clock.now()).toBe(45);
  });
});
