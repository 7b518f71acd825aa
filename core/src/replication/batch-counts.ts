import type { BatchCounts } from "@tidemark/plugin-api";

/** Counts of one model, or of a whole batch, while they are added up. */
export type MutableCounts = { -readonly [Key in keyof BatchCounts]: BatchCounts[Key] };

function noCounts(): MutableCounts {
  return { applied: 0, superseded: 0, parked: 0, quarantined: 0, rejected: 0, deferred: 0, conflicts: 0 };
}

/** What is known of a model, to be added to. */
export function countsOf(models: Map<string, MutableCounts>, name: string): MutableCounts {
  let sum = models.get(name);
  if (sum === undefined) {
    sum = noCounts();
    models.set(name, sum);
  }
  return sum;
}

/** Adds to what is known of a model. */
export function addCounts(models: Map<string, MutableCounts>, name: string, counts: Partial<BatchCounts>): void {
  addTo(countsOf(models, name), counts);
}

export function totalOf(models: ReadonlyMap<string, BatchCounts>): BatchCounts {
  const sum = noCounts();
  for (const counts of models.values()) addTo(sum, counts);
  return sum;
}

function addTo(sum: MutableCounts, counts: Partial<BatchCounts>): void {
  for (const [key, count] of Object.entries(counts)) sum[key as keyof BatchCounts] += count;
}
