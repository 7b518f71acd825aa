import { expect, it, vi } from "vitest";
import type * as StablePoint from "../../replication/stable-point.js";
import { shortestFailure, simulate } from "./simulate.js";

// A kernel that forgets whatever it has itself, as one would who had not thought about it.
vi.mock("../../replication/stable-point.js", async (original) => {
  const { stableTime } = await original<typeof StablePoint>();
  return {
    stableTime: (...parameters: Parameters<typeof stableTime>) => ({
      ...stableTime(...parameters),
      hlc: parameters[0].prepare("SELECT hlc FROM tidemark_state").pluck().get() as number,
    }),
  };
});

it("finds a kernel that forgets what others lack, and the shortest way to show it", { timeout: 120_000 }, async () => {
  const failed = await simulate({ seed: 1, profile: "calm" });
  expect(failed.violation?.invariant).toBe("the stable point overtakes nobody");
  const shortest = await shortestFailure(failed);
  expect(shortest.violation?.invariant).toBe("the stable point overtakes nobody");
  expect(shortest.steps).toBeLessThanOrEqual(failed.steps);
  expect((await simulate({ seed: 1, profile: "calm", steps: shortest.steps - 1 })).violation).toBeNull();
});
