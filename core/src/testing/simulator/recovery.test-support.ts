// What all files of simulated runs do with a seed. Several files, so that they run side by side.

import { describe, expect, it } from "vitest";
import type { ProfileName } from "./profiles.js";
import { simulate } from "./simulate.js";

/** A run that takes longer hangs; most take less than a second. */
export const RUN_LIMIT_MS = 120_000;

/** Of each profile; `npm run simulate` looks at more. */
const SEEDS_EACH = 34;

export async function expectRecovery(profile: ProfileName, seed: number): Promise<void> {
  const { violation, story } = await simulate({ seed, profile });
  expect(violation, `--seed ${seed} --profile ${profile}\n${story.join("\n")}`).toBeNull();
}

export function testRecovery(...profiles: readonly ProfileName[]): void {
  describe.each(profiles)("a simulated library with the faults of profile %s", { timeout: RUN_LIMIT_MS }, (profile) => {
    it.each(Array.from({ length: SEEDS_EACH }, (_, index) => index + 1))("recovers, seed %i", (seed) =>
      expectRecovery(profile, seed),
    );
  });
}
