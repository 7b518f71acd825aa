// Resolves the references of one batch, within a limit of time. A resolution only saves work: without it the kernel looks
// up by itself, on the connection that it holds anyway. So neither a failed query nor a crowded pool may fail a batch.

import type { ApplyBatch, ApplyBatchChange, Clock, Logger, Subscription } from "@tidemark/plugin-api";
import { resolutionOf } from "./batch-references.js";
import type { LocalKeyOutcome, ReferenceResolver } from "./reference-resolver.js";
import type { ResolverCounts } from "./resolver-counts.js";

export interface BatchResolverDeps {
  readonly resolver: Pick<ReferenceResolver, "localKeysFor">;
  readonly counts: ResolverCounts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxWaitMs: number;
}

/**
 * What could be found out in time; `undefined` when there is nothing to find out. Targets that come in the same batch are
 * asked for too: they may have been here before. Never rejects.
 */
export async function resolveBatch(
  batch: Pick<ApplyBatch, "id" | "peer" | "targets">,
  deps: BatchResolverDeps,
): Promise<Pick<ApplyBatchChange, "resolutions"> | undefined> {
  const { targets } = batch;
  if (targets.length === 0) return undefined;
  const { resolver, counts, clock, logger, maxWaitMs } = deps;
  const outcomes = new Map<string, ReadonlyMap<string, LocalKeyOutcome>>();
  const limit = timeLimit(clock, maxWaitMs);
  // One model after the other: side by side they would take connections that others wait for.
  const ask = async (): Promise<void> => {
    for (const { targetModel, references } of targets) {
      const found = await resolver.localKeysFor({ model: targetModel, identities: [...references.keys()] });
      if (limit.over) return;
      outcomes.set(targetModel, found);
    }
  };
  const left = (reason: unknown): void =>
    logger.warn("References are left to the kernel, one look-up each", { batch: batch.id, peer: batch.peer, reason });
  try {
    const asked = ask().then(() => "asked" as const);
    // After the limit nobody waits for it any more; its failure is nobody's then.
    asked.catch(() => {});
    if ((await Promise.race([asked, limit.reached])) !== "asked") left(`nothing came within ${maxWaitMs} ms`);
  } catch (error) {
    left(error);
  } finally {
    limit.timer.dispose();
  }
  counts.resolved(resolutionOf(batch, outcomes));
  return { resolutions: outcomes };
}

/** A limit of time; `over` stays false when the timer is disposed of before. */
function timeLimit(
  clock: Clock,
  ms: number,
): { readonly reached: Promise<"reached">; readonly over: boolean; readonly timer: Subscription } {
  let over = false;
  let reach: (value: "reached") => void = () => {};
  const reached = new Promise<"reached">((resolve) => {
    reach = resolve;
  });
  const timer = clock.setTimeout(() => {
    over = true;
    reach("reached");
  }, ms);
  return {
    reached,
    timer,
    get over() {
      return over;
    },
  };
}
