// What a batch has to have looked up, and the batch with the answers in it. It asks nobody, and changes nothing of an
// operation but the resolutions of its references.

import type { ApplyBatch, Operation, OperationReference } from "@tidemark/plugin-api";
import type { LocalKeyOutcome } from "./reference-resolver.js";
import type { BatchResolution } from "./resolver-counts.js";

/** Outcomes by identity, by model. */
export type Outcomes = ReadonlyMap<string, ReadonlyMap<string, LocalKeyOutcome>>;

/**
 * The identities to look up, by the model that they belong to, each once, whatever columns they come from. A null is no
 * reference, and a deleted record needs none of its targets. Targets that come in the same batch are asked for too: they
 * may have been here before.
 */
export function wantedTargets({ operations }: ApplyBatch): ReadonlyMap<string, ReadonlySet<string>> {
  const wanted = new Map<string, Set<string>>();
  for (const operation of operations) {
    for (const reference of operation.references) {
      if (!isWanted(operation, reference)) continue;
      const { targetModel, identity } = reference;
      const identities = wanted.get(targetModel);
      if (identities === undefined) wanted.set(targetModel, new Set([identity]));
      else identities.add(identity);
    }
  }
  return wanted;
}

/** The batch with all that was found out, and counts of it. Operations without news stay the same objects. */
export function withOutcomes(
  batch: ApplyBatch,
  outcomes: Outcomes,
): { readonly batch: ApplyBatch; readonly resolution: BatchResolution } {
  const own = recordsOf(batch);
  let references = 0;
  let missing = 0;
  let lookupsSaved = 0;
  let leftToKernel = 0;
  const resolve = (operation: Operation): Operation => {
    let news = false;
    const resolved = operation.references.map((reference) => {
      if (!isWanted(operation, reference)) return reference;
      const { targetModel, identity } = reference;
      const resolution = outcomes.get(targetModel)?.get(identity);
      if (resolution === undefined) {
        leftToKernel += 1;
        return reference;
      }
      news = true;
      references += 1;
      if (resolution.kind === "missing") missing += 1;
      if (!own.get(targetModel)?.has(identity)) lookupsSaved += 1;
      return { ...reference, resolution };
    });
    return news ? { ...operation, references: resolved } : operation;
  };
  return {
    batch: { ...batch, operations: batch.operations.map(resolve) },
    resolution: { references, missing, lookupsSaved, leftToKernel },
  };
}

/** Not what somebody else has resolved already. */
function isWanted({ kind }: Operation, { resolution }: OperationReference): boolean {
  return kind === "upsert" && resolution === undefined;
}

/** The identities of the records in the batch, by model. */
function recordsOf({ operations }: ApplyBatch): ReadonlyMap<string, ReadonlySet<string>> {
  const records = new Map<string, Set<string>>();
  for (const { model, record } of operations) {
    const identities = records.get(model);
    if (identities === undefined) records.set(model, new Set([record]));
    else identities.add(record);
  }
  return records;
}
