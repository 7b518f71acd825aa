import { expect, it } from "vitest";
import { killRuns } from "./kill-runs.js";

// The killed processes run what was built: `npm test` builds first. `npm run crash -- --kills 2000` kills many more.
it("loses nothing that was committed when its process is killed, whatever it was doing", {
  timeout: 300_000,
}, async () => {
  const { kills, committed, problems } = await killRuns({ kills: 50, seed: 1 });
  expect(problems).toEqual([]);
  expect(Object.values(kills).reduce((sum, count) => sum + count, 0)).toBe(50);
  for (const scene of ["set-up", "backfill", "writes", "pruning", "recovery"] as const)
    expect(kills[scene]).toBeGreaterThan(0);
  expect(committed).toBeGreaterThan(0);
});
