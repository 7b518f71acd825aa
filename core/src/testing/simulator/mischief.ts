// A plugin that misbehaves when it is told to, in every hook. It stands for all plugins that third parties may write.

import { type AnyPlugin, API_VERSION, type ApplyBatch, definePlugin } from "@tidemark/plugin-api";

/**
 * - `good`: it looks on.
 * - `throws`: every handler throws.
 * - `hangs`: no handler comes to an end.
 * - `rubbish`: operations vanish, are doubled, or are no batch at all.
 * - `defers`, `rejects`: it names every second operation.
 */
export type Mood = "good" | "throws" | "hangs" | "rubbish" | "defers" | "rejects";

export const MOODS: readonly Mood[] = ["good", "throws", "hangs", "rubbish", "defers", "rejects"];

/** A plugin whose mood is asked for at each call. */
export function mischief(mood: () => Mood): AnyPlugin {
  const act = <T>(good: T, rubbish: unknown): T | Promise<T> => {
    switch (mood()) {
      case "throws":
        throw new Error("this plugin has lost its temper");
      case "hangs":
        return new Promise<T>(() => {});
      case "rubbish":
        return rubbish as T;
      default:
        return good;
    }
  };
  return definePlugin({
    manifest: { id: "mischief", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap((batch) => {
        const now = mood();
        if (now === "defers" || now === "rejects") return withheld(batch, now);
        return act<ApplyBatch | undefined>(undefined, { ...batch, operations: batch.operations.slice(1) });
      });
      hooks.afterBatch.tap(() => act<void>(undefined, 17));
      hooks.onCatchUpFailure.tap(() => act(undefined, { action: "sing" }));
      hooks.onPoolPressure.tap(() => act(undefined, { maxSliceRecords: Number.NaN }));
    },
  });
}

function withheld(batch: ApplyBatch, mood: "defers" | "rejects"): ApplyBatch {
  const named = batch.operations.filter(({ id }) => id % 2 === 1).map(({ id }) => ({ id, reason: "as a test" }));
  const operations = batch.operations.filter(({ id }) => id % 2 === 0);
  return mood === "defers"
    ? { ...batch, operations, deferred: [...batch.deferred, ...named] }
    : { ...batch, operations, rejected: [...batch.rejected, ...named] };
}
