import fc from "fast-check";
import { expect, it } from "vitest";
import { type BackoffFormula, backoffDelayMs, MIN_DELAY_MS, plainDelayMs } from "./backoff-delay.js";
import { backoffSettings } from "./settings.js";

const defaults = backoffSettings.parse({});
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

it("doubles from 10 s to 160 s and stays at the cap of 300 s", () => {
  expect(upTo(8).map((failures) => plainDelayMs(defaults, failures))).toEqual([
    10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000,
  ]);
});

it("stays at the cap however long it goes on", () => {
  expect(plainDelayMs(defaults, 100_000)).toBe(300_000);
  expect(plainDelayMs({ ...defaults, factor: 1 }, 100_000)).toBe(10_000);
});

it("lets chance lengthen and shorten a delay by a tenth, the one at the cap too", () => {
  expect([0, 0.5, 0.9999999].map((chance) => backoffDelayMs(defaults, 1, chance))).toEqual([9_000, 10_000, 11_000]);
  expect([0, 0.9999999].map((chance) => backoffDelayMs(defaults, 9, chance))).toEqual([270_000, 330_000]);
});

it("never comes down to nothing, even where chance may take all of a delay", () => {
  expect(backoffDelayMs({ ...defaults, jitter: 1 }, 1, 0)).toBe(MIN_DELAY_MS);
});

it("keeps within its bounds for all settings, failures and chance, and never gets shorter with more failures", () => {
  const formula: fc.Arbitrary<BackoffFormula> = fc
    .record({
      baseMs: fc.integer({ min: MIN_DELAY_MS, max: 604_800_000 }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      capMs: fc.integer({ min: MIN_DELAY_MS, max: 604_800_000 }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    .filter(({ baseMs, capMs }) => baseMs <= capMs);
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(formula, fc.integer({ min: 1, max: 2_000 }), chance, (settings, failures, drawn) => {
      const plain = plainDelayMs(settings, failures);
      const delay = backoffDelayMs(settings, failures, drawn);
      expect(plain).toBeGreaterThanOrEqual(settings.baseMs);
      expect(plain).toBeLessThanOrEqual(settings.capMs);
      expect(plainDelayMs(settings, failures + 1)).toBeGreaterThanOrEqual(plain);
      expect(delay).toBeGreaterThanOrEqual(Math.max(MIN_DELAY_MS, Math.round(plain * (1 - settings.jitter)) - 1));
      expect(delay).toBeLessThanOrEqual(Math.round(plain * (1 + settings.jitter)) + 1);
      // What Node's timers can wait.
      expect(delay).toBeLessThan(2 ** 31);
    }),
    { seed: 3, numRuns: 500 },
  );
});
