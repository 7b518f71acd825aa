// The batch that transforms are given. Its operations are made when somebody looks at them: a first backfill has hundreds
// of thousands, and what most transforms want to know of it are the targets of its references.

import type {
  ApplyBatch,
  BatchResolutions,
  BatchTargets,
  Operation,
  OperationOutcome,
  ReplicationPhase,
} from "@tidemark/plugin-api";

export interface BatchParts {
  readonly id: number;
  readonly peer: string;
  readonly phase: ReplicationPhase;
  readonly operations: () => readonly Operation[];
  readonly targets: () => readonly BatchTargets[];
  readonly resolutions?: BatchResolutions;
  readonly deferred?: readonly OperationOutcome[];
  readonly rejected?: readonly OperationOutcome[];
}

/** A frozen batch. `operations` and `targets` are properties of its own, so that a copy of the batch has them too. */
export function createBatch({
  id,
  peer,
  phase,
  operations,
  targets,
  resolutions,
  deferred,
  rejected,
}: BatchParts): ApplyBatch {
  const batch = {
    id,
    peer,
    phase,
    get operations() {
      return madeOperations();
    },
    get targets() {
      return madeTargets();
    },
    // One of its own: a plugin that wrote into a common one would speak of all batches to come.
    resolutions: resolutions ?? new Map(),
    deferred: deferred ?? [],
    rejected: rejected ?? [],
  };
  const madeOperations = once(operations);
  const madeTargets = once(targets);
  return Object.freeze(batch);
}

/** The operations with the resolutions of their references; those without any stay the same objects. */
export function withResolutions(operations: readonly Operation[], resolutions: BatchResolutions): readonly Operation[] {
  if (resolutions.size === 0) return operations;
  return operations.map((operation) => {
    let news = false;
    const references = operation.references.map((reference) => {
      const resolution = resolutions.get(reference.targetModel)?.get(reference.identity);
      if (resolution === undefined || reference.resolution !== undefined) return reference;
      news = true;
      return { ...reference, resolution };
    });
    return news ? { ...operation, references } : operation;
  });
}

/** The targets of which nothing is known yet; models that have none left are not named. */
export function withoutResolved(
  targets: readonly BatchTargets[],
  resolutions: BatchResolutions,
): readonly BatchTargets[] {
  if (resolutions.size === 0) return targets;
  return targets.flatMap(({ targetModel, references, inBatch }) => {
    const known = resolutions.get(targetModel);
    if (known === undefined) return [{ targetModel, references, inBatch }];
    const left = new Map([...references].filter(([identity]) => !known.has(identity)));
    return left.size === 0 ? [] : [{ targetModel, references: left, inBatch }];
  });
}

/** What the references of the operations go to. A deleted record needs none of its targets. */
export function targetsOfOperations(operations: readonly Operation[]): readonly BatchTargets[] {
  const counts = new Map<string, Map<string, number>>();
  const records = new Map<string, Set<string>>();
  for (const { model, record, kind, references } of operations) {
    const own = records.get(model);
    if (own === undefined) records.set(model, new Set([record]));
    else own.add(record);
    if (kind === "delete") continue;
    for (const { targetModel, identity, resolution } of references) {
      if (resolution !== undefined) continue;
      const targets = counts.get(targetModel) ?? new Map<string, number>();
      counts.set(targetModel, targets.set(identity, (targets.get(identity) ?? 0) + 1));
    }
  }
  return [...counts].map(([targetModel, references]) => {
    const own = records.get(targetModel);
    return { targetModel, references, inBatch: new Set([...references.keys()].filter((it) => own?.has(it) === true)) };
  });
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
