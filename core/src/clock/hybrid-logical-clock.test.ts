import { isTidemarkError } from "@tidemark/plugin-api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromPhysicalMs, HybridLogicalClock, physicalMs } from "./hybrid-logical-clock.js";

const NOVEMBER_2026 = Date.UTC(2026, 10, 22);
const wallTimes = fc.oneof(
  fc.integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(2088, 0, 1) }),
  fc.double({ min: 0, max: Date.UTC(2088, 0, 1), noNaN: true }),
  fc.constant(Number.NaN),
  fc.constant(-1),
);
const hlcs = fc.integer({ min: 0, max: (Date.UTC(2088, 0, 1) - Date.UTC(2020, 0, 1)) * 4096 });

describe("hybrid logical clock", () => {
  it("follows the wall clock while that moves on", () => {
    const clock = new HybridLogicalClock({ now: () => NOVEMBER_2026, highWater: 0 });
    expect(clock.tick()).toBe((NOVEMBER_2026 - Date.UTC(2020, 0, 1)) * 4096);
    expect(clock.tickAt(NOVEMBER_2026 + 7.9)).toBe(fromPhysicalMs(NOVEMBER_2026 + 7));
  });

  it("counts where the wall clock stands still, and carries into the millisecond", () => {
    const clock = new HybridLogicalClock({ now: () => NOVEMBER_2026, highWater: 0 });
    const first = clock.tick();
    let last = first;
    for (let count = 0; count < 4096; count++) last = clock.tick();
    expect(last).toBe(first + 4096);
    expect(physicalMs(last)).toBe(NOVEMBER_2026 + 1);
    expect(clock.highWater).toBe(last);
  });

  it("rises strictly, exactly and past everything received, whatever the wall clock does", () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ wallMs: wallTimes }),
        fc.record({ received: hlcs }),
        // Just before where the clock stands, or just behind.
        fc.record({ near: fc.integer({ min: -5_000, max: 5_000 }) }),
        fc.record({ at: wallTimes }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(hlcs, steps, (highWater, sequence) => {
        let wall = 0;
        const clock = new HybridLogicalClock({ now: () => wall, highWater });
        let highest = highWater;
        for (const step of sequence) {
          if ("received" in step || "near" in step) {
            const received =
              "near" in step
                ? Math.min(Math.max(0, highest + step.near), Number.MAX_SAFE_INTEGER - 100)
                : step.received;
            clock.receive(received);
            highest = Math.max(highest, received);
          } else {
            if ("wallMs" in step) wall = step.wallMs;
            const hlc = "at" in step ? clock.tickAt(step.at) : clock.tick();
            expect(hlc).toBeGreaterThan(highest);
            expect(Number.isSafeInteger(hlc)).toBe(true);
            highest = hlc;
          }
          expect(clock.highWater).toBe(highest);
        }
      }),
      { seed: 20261122 },
    );
  });

  it("agrees with a clock that keeps milliseconds and counter apart, and carries by hand", () => {
    const EPOCH = Date.UTC(2020, 0, 1);
    const steps = fc.array(
      // Near each other, so that the wall clock stands still, steps back and catches up again.
      fc.record({ deltaMs: fc.integer({ min: -3, max: 3 }), times: fc.constantFrom(1, 1, 2, 4_095, 4_096, 4_097) }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(steps, (sequence) => {
        let wall = NOVEMBER_2026;
        const clock = new HybridLogicalClock({ now: () => wall, highWater: 0 });
        let ms = EPOCH;
        let counter = 0;
        for (const { deltaMs, times } of sequence) {
          wall += deltaMs;
          for (let count = 0; count < times; count++) {
            if (wall > ms) [ms, counter] = [wall, 0];
            else if (counter < 4_095) counter += 1;
            else [ms, counter] = [ms + 1, 0];
            const hlc = clock.tick();
            if (hlc !== (ms - EPOCH) * 4_096 + counter || physicalMs(hlc) !== ms) expect([hlc, ms]).toEqual([counter]);
          }
        }
        expect(clock.highWater).toBe((ms - EPOCH) * 4_096 + counter);
      }),
      { seed: 20261122, numRuns: 200 },
    );
  });

  it("keeps the millisecond of every time from 2020 on", () => {
    fc.assert(
      fc.property(fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2089, 0, 1) }), (ms) => {
        expect(physicalMs(fromPhysicalMs(ms))).toBe(ms);
        expect(fromPhysicalMs(ms)).toBeLessThan(2 ** 53);
      }),
      { seed: 20261122 },
    );
    expect(fromPhysicalMs(0)).toBe(0);
  });

  it("refuses to stamp from 2089 on, and goes on when the clock is right again", () => {
    const clock = new HybridLogicalClock({ now: () => NOVEMBER_2026, highWater: 5 });
    for (const wallMs of [Date.UTC(3000, 0, 1), Number.POSITIVE_INFINITY]) {
      expect(() => clock.tickAt(wallMs)).toThrow(
        expect.toSatisfy((error) => isTidemarkError(error, "TIDEMARK_CLOCK_OUT_OF_RANGE")),
      );
    }
    expect(clock.highWater).toBe(5);
    expect(clock.tick()).toBe(fromPhysicalMs(NOVEMBER_2026));
  });

  it("counts up to the last integer that is exact, and says where the wall clock stands when there is none left", () => {
    const clock = new HybridLogicalClock({ now: () => 1_234, highWater: Number.MAX_SAFE_INTEGER - 1 });
    expect(clock.tick()).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => clock.tick()).toThrow(/stands at 1234 ms/);
  });

  it("receives nothing that is not a time", () => {
    const clock = new HybridLogicalClock({ now: () => 0, highWater: 5 });
    for (const hlc of [-1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
      expect(() => clock.receive(hlc)).toThrow(
        expect.toSatisfy((error) => isTidemarkError(error, "TIDEMARK_CLOCK_NOT_AN_HLC")),
      );
    }
    expect(() => clock.receive(-7)).toThrow(/^.*-7 is not an integer/);
    expect(clock.highWater).toBe(5);
  });
});
