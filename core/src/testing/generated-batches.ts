// Batches as they come from peers, drawn from a seed: every kind of operation, with and without references.

import type {
  AppliedBatch,
  ApplyBatch,
  BatchCounts,
  Operation,
  OperationReference,
  Random,
  ReplicationPhase,
} from "@tidemark/plugin-api";
import { createBatch, targetsOfOperations } from "../kernel/batch.js";

const PHASES: readonly ReplicationPhase[] = ["backfill", "catch-up", "live"];
const NO_COUNTS: BatchCounts = {
  applied: 0,
  superseded: 0,
  parked: 0,
  quarantined: 0,
  rejected: 0,
  deferred: 0,
  conflicts: 0,
};

/** A batch of up to `maxOperations` operations; an empty one now and then. */
export function generateBatch({
  random,
  id,
  maxOperations = 40,
}: {
  readonly random: Random;
  readonly id: number;
  readonly maxOperations?: number;
}): ApplyBatch {
  const below = (limit: number): number => Math.floor(random.next() * limit);
  const identity = (): string => Buffer.from(random.bytes(16)).toString("hex");
  const reference = (column: string, required: boolean): OperationReference => ({
    column,
    targetModel: "Folder",
    identity: identity(),
    required,
  });
  const operation = (operationId: number): Operation => {
    const upsert = below(4) > 0;
    const references = upsert ? [reference("folder", true), reference("linkedFrom", false)].slice(0, below(3)) : [];
    return {
      id: operationId,
      model: references.length > 0 ? "Entry" : "Folder",
      record: identity(),
      kind: upsert ? "upsert" : "delete",
      values: upsert
        ? {
            name: `name ${operationId}`,
            sizeBytes: below(2 ** 32),
            note: null,
            ...Object.fromEntries(references.map(({ column, identity }) => [column, identity])),
          }
        : {},
      references,
    };
  };
  const peer = identity();
  const phase = PHASES[below(PHASES.length)]!;
  // Ids are unique, not dense: a plugin must not take them for indexes.
  const operations = Array.from({ length: below(maxOperations + 1) }, (_, index) => operation(index * 3 + 1));
  return createBatch({ id, peer, phase, operations: () => operations, targets: () => targetsOfOperations(operations) });
}

/** What the kernel would say of `batch` after its commit, had everything been applied that was not set aside. */
export function appliedOf({ id, peer, phase, operations, deferred, rejected }: ApplyBatch): AppliedBatch {
  const counts = {
    ...NO_COUNTS,
    applied: operations.length,
    deferred: deferred.length,
    quarantined: rejected.length,
  };
  const models = Object.fromEntries(
    [...new Set(operations.map(({ model }) => model))].map((model) => [
      model,
      { ...NO_COUNTS, applied: operations.filter((operation) => operation.model === model).length },
    ]),
  );
  return { id, peer, phase, counts, models, durationMs: 1, referenceLookups: 0, vectorMoved: true };
}
