import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { RetryTimes } from "./retry-times.js";

const HOUR_MS = 3_600_000;

describe("the time until a peer is tried again", () => {
  it("passes as it was decided, whatever becomes of the wall clock meanwhile", async () => {
    for (const stepMs of [0, -HOUR_MS, HOUR_MS]) {
      const clock = new ManualClock();
      const times = new RetryTimes({ clock });
      const stored = { notBefore: clock.now() + 10_000, delayMs: 10_000 };
      expect(times.leftMs("a", stored)).toBe(10_000);
      await clock.advance(4_000);
      clock.setWallClock(clock.now() + stepMs);
      expect(times.leftMs("a", stored)).toBe(6_000);
      await clock.advance(6_000);
      expect(times.leftMs("a", stored)).toBeLessThanOrEqual(0);
    }
  });

  it("is what is left of it after a restart, and no longer than it was if the wall clock has been set back", () => {
    const clock = new ManualClock();
    const stored = { notBefore: clock.now() + 3_000, delayMs: 10_000 };
    expect(new RetryTimes({ clock }).leftMs("a", stored)).toBe(3_000);
    clock.setWallClock(clock.now() - HOUR_MS);
    expect(new RetryTimes({ clock }).leftMs("a", stored)).toBe(10_000);
  });

  it("begins anew with the next failure, and is kept for each peer", () => {
    const clock = new ManualClock();
    const times = new RetryTimes({ clock });
    const first = { notBefore: clock.now() + 1_000, delayMs: 1_000 };
    const next = { notBefore: clock.now() + 20_000, delayMs: 20_000 };
    expect(times.leftMs("a", first)).toBe(1_000);
    expect(times.leftMs("b", next)).toBe(20_000);
    expect(times.leftMs("a", next)).toBe(20_000);
    expect(times.leftMs("a", { notBefore: 0, delayMs: 0 })).toBe(0);
  });
});
