// What was found out about the targets of one batch, and what that saves. It asks nobody.

import type { ApplyBatch } from "@tidemark/plugin-api";
import type { LocalKeyOutcome } from "./reference-resolver.js";
import type { BatchResolution } from "./resolver-counts.js";

/** Outcomes by identity, by model. */
export type Outcomes = ReadonlyMap<string, ReadonlyMap<string, LocalKeyOutcome>>;

/** Counts references, not targets: what the kernel would have looked up one by one. */
export function resolutionOf({ targets }: Pick<ApplyBatch, "targets">, outcomes: Outcomes): BatchResolution {
  let resolved = 0;
  let missing = 0;
  let lookupsSaved = 0;
  let leftToKernel = 0;
  for (const { targetModel, references, inBatch } of targets) {
    const known = outcomes.get(targetModel);
    for (const [identity, count] of references) {
      const outcome = known?.get(identity);
      if (outcome === undefined) {
        leftToKernel += count;
        continue;
      }
      resolved += count;
      if (outcome.kind === "missing") missing += count;
      // The kernel finds targets in the batch by itself.
      if (!inBatch.has(identity)) lookupsSaved += count;
    }
  }
  return { references: resolved, missing, lookupsSaved, leftToKernel };
}
