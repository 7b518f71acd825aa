// The kind of a hook decides what its handlers may return. Compiled, never run: each @ts-expect-error is a test.

import type { ApplyBatch, Hooks } from "@tidemark/plugin-api";

export function transforms({ beforeApplyBatch }: Hooks): void {
  beforeApplyBatch.tap((batch) => batch);
  beforeApplyBatch.tap(
    async (batch): Promise<ApplyBatch> => ({ ...batch, rejected: [{ id: 1, reason: "too large" }] }),
  );
  beforeApplyBatch.tap(() => {});
  beforeApplyBatch.tap((_batch, { signal }) => signal.throwIfAborted(), { order: "pre", timeoutMs: 100 });

  // @ts-expect-error A transform returns a batch, not a part of one.
  beforeApplyBatch.tap((batch) => batch.operations);
  // @ts-expect-error An operation is not withheld without a reason.
  beforeApplyBatch.tap((batch): ApplyBatch => ({ ...batch, deferred: [{ id: 1 }] }));
  // @ts-expect-error There are three orders, and no numbers.
  beforeApplyBatch.tap((batch) => batch, { order: 5 });
  beforeApplyBatch.tap(({ operations }) => {
    // @ts-expect-error What came is not changed in place.
    operations[0]!.model = "Other";
  });
}

export function observes({ afterBatch }: Hooks): void {
  afterBatch.tap((batch) => void batch.counts.applied);
  afterBatch.tap(async () => {});

  // @ts-expect-error What an observer finds changes nothing, so it can't promise anything either.
  afterBatch.tap(async () => 5);
  // @ts-expect-error After the commit there is nothing to decide: counts instead of operations.
  afterBatch.tap((batch) => void batch.operations);
}

export function decides({ onCatchUpFailure }: Hooks): void {
  onCatchUpFailure.tap(({ failures }) => ({ action: "retry", delayMs: failures * 1_000 }));
  onCatchUpFailure.tap(async () => ({ action: "give-up", reason: "enough" }));
  onCatchUpFailure.tap(() => {});

  // @ts-expect-error A retry says when.
  onCatchUpFailure.tap(() => ({ action: "retry" }));
  // @ts-expect-error Three answers are known.
  onCatchUpFailure.tap(() => ({ action: "shrug", delayMs: 1 }));
}

export function collects({ onPoolPressure }: Hooks): void {
  onPoolPressure.tap(({ waiting }) => ({ pauseMs: waiting * 10 }));
  onPoolPressure.tap(() => ({}));
  onPoolPressure.tap(() => {});

  // @ts-expect-error Advice is a number of milliseconds.
  onPoolPressure.tap(() => ({ pauseMs: "a while" }));
}
