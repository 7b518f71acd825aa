import { once } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { systemClock } from "./system-clock.js";
import { systemRandom } from "./system-random.js";

describe("the system's clock", () => {
  it("tells the time, and durations that never go back", () => {
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1_000);
    const before = systemClock.monotonicMs();
    expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(before);
  });

  it("fires timers and immediates, unless they were disposed of", async () => {
    const fired: string[] = [];
    systemClock.setTimeout(() => fired.push("disposed timer"), 0).dispose();
    systemClock.setImmediate(() => fired.push("disposed immediate")).dispose();
    const target = new EventTarget();
    const over = once(target, "over");
    systemClock.setImmediate(() => {
      fired.push("immediate");
      systemClock.setTimeout(() => {
        fired.push("timer");
        target.dispatchEvent(new Event("over"));
      }, 1);
    });
    await over;
    expect(fired).toEqual(["immediate", "timer"]);
  });

  it("keeps delays that are longer than the system's timers can be", () => {
    vi.useFakeTimers();
    try {
      const days = 60 * 86_400_000;
      let fired = 0;
      systemClock.setTimeout(() => fired++, days);
      vi.advanceTimersByTime(days - 1);
      expect(fired).toBe(0);
      vi.advanceTimersByTime(1);
      expect(fired).toBe(1);
      const disposed = systemClock.setTimeout(() => fired++, days);
      vi.advanceTimersByTime(days / 2);
      disposed.dispose();
      vi.advanceTimersByTime(days);
      expect(fired).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("the system's randomness", () => {
  it("gives numbers below one and bytes that differ", () => {
    const number = systemRandom.next();
    expect(number).toBeGreaterThanOrEqual(0);
    expect(number).toBeLessThan(1);
    expect(systemRandom.bytes(16)).toHaveLength(16);
    expect(Buffer.from(systemRandom.bytes(16)).equals(systemRandom.bytes(16))).toBe(false);
  });
});
