import type { Clock } from "@tidemark/plugin-api";

/**
 * Lets at most one call through in `intervalMs`, always with the newest value; what was held back comes out with the next
 * call or with `flush`.
 */
export function throttled<Value>({
  clock,
  intervalMs,
  send,
}: {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly intervalMs: number;
  readonly send: (value: Value) => void;
}): { offer(value: Value): void; flush(): void } {
  let last = Number.NEGATIVE_INFINITY;
  let held: { readonly value: Value } | null = null;
  const release = () => {
    if (held === null) return;
    const { value } = held;
    held = null;
    last = clock.monotonicMs();
    send(value);
  };
  return {
    offer(value) {
      held = { value };
      if (clock.monotonicMs() - last >= intervalMs) release();
    },
    flush: release,
  };
}
