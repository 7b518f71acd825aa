import type { Tidemark } from "@tidemark/core";
import { ackPruningControl } from "@tidemark/plugin-ack-pruning";
import type { Clock } from "@tidemark/plugin-api";

/** What was left when the wait for an empty log was over. */
export interface Forgotten {
  /** 0: everybody has acknowledged everything, and it has been pruned. */
  readonly logEntries: number;
  /** The devices whose acknowledgement is missing. */
  readonly heldBackBy: readonly string[];
}

/**
 * Waits until the log is empty, looking at it whenever something has been pruned. Gives up when nothing has been for
 * `patienceMs`. Prunes nothing itself: that is the plugin's work, which this only watches.
 */
export async function untilForgotten({
  tidemark: { events, services, status },
  clock,
  patienceMs,
  signal,
}: {
  readonly tidemark: Pick<Tidemark, "events" | "services" | "status">;
  readonly clock: Pick<Clock, "setTimeout">;
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}): Promise<Forgotten> {
  let wake: (pruned: boolean) => void = () => undefined;
  const listening = events.on("logPruned", () => wake(true));
  const stop = () => wake(false);
  signal.addEventListener("abort", stop);
  try {
    for (;;) {
      // Before the look, so that nothing is missed in between.
      const pruned = new Promise<boolean>((resolve) => {
        wake = resolve;
      });
      signal.throwIfAborted();
      const { logEntries } = await status();
      if (logEntries === 0) return { logEntries, heldBackBy: [] };
      const timer = clock.setTimeout(stop, patienceMs);
      const goesOn = await pruned;
      timer.dispose();
      signal.throwIfAborted();
      if (goesOn) continue;
      const { heldBackBy } = await services.get(ackPruningControl).dryRun();
      return { logEntries: (await status()).logEntries, heldBackBy: heldBackBy.map(({ name }) => name) };
    }
  } finally {
    listening.dispose();
    signal.removeEventListener("abort", stop);
  }
}
