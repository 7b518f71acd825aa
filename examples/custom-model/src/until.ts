import type { Tidemark } from "@tidemark/core";
import type { KernelEvents } from "@tidemark/plugin-api";

/** After these it is worth looking again: what is here has changed, or what is known of the other one. */
const NEWS = [
  "changesFolded",
  "batchApplied",
  "roundCompleted",
  "backfillCompleted",
  "peerStateChanged",
  "vectorAcknowledged",
  "logPruned",
] as const satisfies readonly (keyof KernelEvents)[];

/**
 * Resolves once `holds` says so, which is asked now and whenever one of the devices has news. Rejects, saying what it
 * waited for, when `signal` is aborted before.
 */
export async function until({
  what,
  holds,
  devices,
  signal,
}: {
  readonly what: string;
  readonly holds: () => Promise<boolean>;
  readonly devices: readonly { readonly tidemark: Pick<Tidemark, "events"> }[];
  readonly signal: AbortSignal;
}): Promise<void> {
  let seen = false;
  let look = (): void => {};
  const onNews = (): void => {
    seen = false;
    look();
  };
  const listening = devices.flatMap(({ tidemark }) => NEWS.map((name) => tidemark.events.on(name, onNews)));
  signal.addEventListener("abort", onNews);
  try {
    while (!(await nowHolds())) {
      if (signal.aborted) throw new Error(`Gave up waiting until ${what}`, { cause: signal.reason });
      if (seen) {
        await new Promise<void>((resolve) => {
          look = resolve;
        });
      }
    }
  } finally {
    signal.removeEventListener("abort", onNews);
    for (const subscription of listening) subscription.dispose();
  }

  async function nowHolds(): Promise<boolean> {
    // Before the question: what is news while it is being answered calls for another one.
    seen = true;
    return await holds();
  }
}
