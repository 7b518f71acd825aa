// Draws which faults a run meets, from its profile and its seed.

import { Chance } from "./chance.js";
import { type FaultFamily, PROFILES, type ProfileName } from "./profiles.js";

/**
 * A family that is drawn besides, from a stream of its own, so that the runs without it stay what they were before it was
 * there: in what part of the runs.
 */
const SOMETIMES: { readonly [Name in ProfileName]?: readonly [family: FaultFamily, probability: number] } = {
  members: ["crash", 0.4],
  all: ["members", 0.3],
};

/** What a run of a profile meets. */
export function drawFamilies({
  profile,
  seed,
  plan,
}: {
  readonly profile: ProfileName;
  readonly seed: number;
  readonly plan: Chance;
}): ReadonlySet<FaultFamily> {
  const families: readonly FaultFamily[] = PROFILES[profile];
  const some = families.filter(() => plan.happens(0.5));
  const [besides, probability] = SOMETIMES[profile] ?? [null, 0];
  return new Set([
    ...(profile !== "all" || some.length < 2 ? families : some),
    ...(besides !== null && Chance.of(seed, "besides").happens(probability) ? [besides] : []),
  ]);
}
