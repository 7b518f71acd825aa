import { expect, it } from "vitest";
import { damageRuns } from "./damage-runs.js";

// `npm run crash -- --wals 10000` damages many more.
it("opens whatever a damaged write-ahead log leaves, and comes into step with what it has lost", {
  timeout: 120_000,
}, async () => {
  const { truncated, torn, flipped, compared, regressed, problems } = await damageRuns({
    wals: 100,
    seed: 10,
    compareEvery: 4,
  });
  expect(problems).toEqual([]);
  expect(truncated + torn + flipped).toBe(100);
  for (const count of [truncated, torn, flipped]) expect(count).toBeGreaterThan(0);
  expect(compared).toBe(25);
  expect(regressed).toBeGreaterThan(0);
});
