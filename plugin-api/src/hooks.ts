import type { AppliedBatch, ApplyBatch, ApplyBatchChange, ReplicationPhase } from "./batch.js";
import type { Subscription } from "./disposable.js";
import type { TidemarkError } from "./errors.js";

/** Position among the handlers of a hook; within one position, activation order. */
export type HookOrder = "pre" | "normal" | "post";

/** How a handler is called. */
export interface TapOptions {
  /** Default `normal`. */
  readonly order?: HookOrder;
  /** Milliseconds the handler may take; default 5,000. A handler that takes longer counts as one that threw. */
  readonly timeoutMs?: number;
}

/** What a handler gets beside its input. */
export interface HookCall {
  /** Aborted at the time-out and when the kernel stops. Made on first use, which costs: touch it only if you need it. */
  readonly signal: AbortSignal;
}

/**
 * Handlers run one after the other; each may return a change of the value, which the next one is given. A throw or
 * time-out fails the whole.
 */
export interface TransformHook<Value, Change> {
  readonly kind: "transform";
  tap(
    handler: (value: Value, call: HookCall) => Change | void | Promise<Change | void>,
    options?: TapOptions,
  ): Subscription;
}

/** All handlers run; results are ignored. A throw or time-out is isolated; three in a row quarantine the handler. */
export interface ObserveHook<Value> {
  readonly kind: "observe";
  tap(handler: (value: Value, call: HookCall) => void | Promise<void>, options?: TapOptions): Subscription;
}

/** The first handler that returns something decides. A throw or time-out counts as no opinion. */
export interface DecideHook<Question, Decision> {
  readonly kind: "decide";
  tap(
    handler: (question: Question, call: HookCall) => Decision | void | Promise<Decision | void>,
    options?: TapOptions,
  ): Subscription;
}

/** All handlers are asked; the most careful advice wins, field by field. A throw or time-out counts as no advice. */
export interface CollectHook<Question, Advice> {
  readonly kind: "collect";
  tap(
    handler: (question: Question, call: HookCall) => Advice | void | Promise<Advice | void>,
    options?: TapOptions,
  ): Subscription;
}

/** A round or a backfill with a peer has failed. */
export interface CatchUpFailure {
  /** The origin id of the peer, or its address while it has not introduced itself. */
  readonly peer: string;
  readonly phase: ReplicationPhase;
  /** Consecutive failures with this peer, this one included; survives restarts. */
  readonly failures: number;
  readonly error: TidemarkError;
  /** False when no retry can mend it: another library, another protocol version, a removed member. */
  readonly retryable: boolean;
}

/** What is to be done about a failed catch-up. `delayMs` is the time until the next try, in milliseconds. */
export type CatchUpDecision =
  | { readonly action: "retry"; readonly delayMs: number }
  | { readonly action: "full-backfill"; readonly delayMs: number }
  | { readonly action: "give-up"; readonly reason: string };

/** Somebody waits for a connection, or the pool is near its limit. */
export interface PoolPressure {
  readonly active: number;
  readonly idle: number;
  readonly waiting: number;
  readonly limit: number;
  /** How long the first in the queue has waited, in milliseconds. */
  readonly longestWaitMs: number;
  /** Who holds leases, by the names they gave. */
  readonly holders: readonly string[];
}

/** Advice for the kernel; absent fields mean no opinion. */
export interface PoolAdvice {
  /** At most so many records in a write slice. The smallest wins. */
  readonly maxSliceRecords?: number;
  /** Wait so long before the next slice, in milliseconds. The longest wins. */
  readonly pauseMs?: number;
  /** At most so many pages in work at once. The smallest wins. */
  readonly maxConcurrency?: number;
}

/** The four hooks. */
export interface Hooks {
  /** A received batch, before its transaction. Must account for every operation: same ids out, deferred, or rejected. */
  readonly beforeApplyBatch: TransformHook<ApplyBatch, ApplyBatchChange>;
  /** A batch, after its COMMIT. */
  readonly afterBatch: ObserveHook<AppliedBatch>;
  /** When and how a failed catch-up is tried again. Without an answer: a retry after a fixed delay. */
  readonly onCatchUpFailure: DecideHook<CatchUpFailure, CatchUpDecision>;
  /** How to make room while others wait for a connection. */
  readonly onPoolPressure: CollectHook<PoolPressure, PoolAdvice>;
}

/** The name of a hook. */
export type HookName = keyof Hooks;
