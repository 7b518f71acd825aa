// Waiting no longer than so long, on an injected clock. What is waited for goes on by itself: only the wait ends.

import type { Clock } from "@tidemark/plugin-api";

/** Thenables of any library, and nothing else. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    "then" in value &&
    typeof value.then === "function"
  );
}

/**
 * Resolves and rejects as `pending` does; rejects with `timedOut()` if that takes longer than `timeoutMs`. What `pending`
 * does afterwards is ignored, a rejection included.
 */
export function withTimeLimit<T>({
  pending,
  timeoutMs,
  clock,
  timedOut,
}: {
  readonly pending: PromiseLike<T>;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly timedOut: () => unknown;
}): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.setTimeout(() => reject(timedOut()), timeoutMs);
    pending.then(
      (value) => {
        timer.dispose();
        resolve(value);
      },
      (error: unknown) => {
        timer.dispose();
        reject(error);
      },
    );
  });
}
