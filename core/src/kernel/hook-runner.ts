// Runs the four hooks, each in the way of its kind, with time-outs, isolation and accounts (the shape is Rollup's
// PluginDriver). It knows the rules of the kinds; what a batch or a piece of advice is, the files beside it know.

import type {
  AppliedBatch,
  ApplyBatch,
  CatchUpDecision,
  CatchUpFailure,
  Clock,
  HookName,
  HookOrder,
  Logger,
  PoolAdvice,
  PoolPressure,
  Subscription,
  TapOptions,
  TidemarkError,
} from "@tidemark/plugin-api";
import { BatchAccount } from "./batch-accounting.js";
import { faultOfDecision } from "./catch-up-decision.js";
import { kernelErrors } from "./errors.js";
import type { EventBus } from "./event-bus.js";
import {
  HandlerList,
  type HookHandler,
  type HookInput,
  type HookOfKind,
  type HookOwner,
  isHookOrder,
  type Tap,
} from "./handler-list.js";
import { LazyHookCall } from "./hook-call.js";
import { inject, injectable, kernelTokens } from "./injection.js";
import { faultOfAdvice, mostCareful } from "./pool-advice.js";
import { isThenable } from "./time-limit.js";

const DEFAULT_TIMEOUT_MS = 5_000;
/** So many failures in a row, and an observer is not called any more. */
const QUARANTINE_AFTER = 3;

/** What became of the calls of one handler. */
export interface HookReport {
  readonly hook: HookName;
  readonly order: HookOrder;
  readonly calls: number;
  /** Calls that threw, timed out, or answered what could not be used. */
  readonly failures: number;
  /** Of the failures, those that took too long. */
  readonly timeouts: number;
  /** Time in all calls together, waits included, in milliseconds. */
  readonly totalMs: number;
  readonly quarantined: boolean;
}

type Outcome<Result> =
  | { readonly kind: "ok"; readonly result: Result }
  | { readonly kind: "failed" | "timed-out"; readonly error: TidemarkError }
  /** The kernel stops. Nobody's fault. */
  | { readonly kind: "stopped" };

/** Looks at what each transform makes of a value; throws when it may not be. */
interface TransformAccount<Value> {
  /** What the first of them is given. */
  readonly start: Value;
  check(step: { readonly after: unknown; readonly pluginId: string }): Value;
}

const STOPPED = { kind: "stopped" } as const;

@injectable()
export class HookRunner {
  readonly #clock: Clock;
  readonly #events: EventBus;
  readonly #logger: Logger;
  readonly #lists: { readonly [Name in HookName]: HandlerList<Name> } = {
    beforeApplyBatch: new HandlerList("beforeApplyBatch"),
    afterBatch: new HandlerList("afterBatch"),
    onCatchUpFailure: new HandlerList("onCatchUpFailure"),
    onPoolPressure: new HandlerList("onPoolPressure"),
  };
  /** Ends the wait for each asynchronous call that is under way. */
  readonly #running = new Set<() => void>();
  #stopped = false;

  constructor(
    @inject(kernelTokens.clock) clock: Clock,
    @inject(kernelTokens.events) events: EventBus,
    @inject(kernelTokens.logger) logger: Logger,
  ) {
    this.#clock = clock;
    this.#events = events;
    this.#logger = logger;
  }

  /** Adds a handler. Throws `TIDEMARK_HOOK_INVALID_TAP` for arguments that are none. */
  tap<Name extends HookName>({
    hook,
    owner,
    handler,
    options: { order = "normal", timeoutMs = DEFAULT_TIMEOUT_MS } = {},
  }: {
    readonly hook: Name;
    readonly owner: HookOwner;
    readonly handler: HookHandler<Name>;
    readonly options?: TapOptions | undefined;
  }): Subscription {
    const invalid = (why: string, advice: string): TidemarkError =>
      kernelErrors.invalidTap({ id: owner.pluginId, hook, why, advice });
    if (typeof handler !== "function") throw invalid("its handler is not a function", "Pass a function");
    if (!isHookOrder(order)) throw invalid(`"${String(order)}" is no order`, 'Write "pre", "normal" or "post"');
    if (!(typeof timeoutMs === "number" && timeoutMs > 0)) {
      throw invalid("its time-out is not a number above 0", "Say it in milliseconds, or leave it out for 5,000");
    }
    return (this.#lists[hook] as HandlerList<Name>).add({ owner, handler, order, timeoutMs });
  }

  /** Whether any transform would look at a batch; saves the making of one. */
  get transformsBatches(): boolean {
    return this.#lists.beforeApplyBatch.taps.length > 0;
  }

  /**
   * Passes a received batch through the transforms. Rejects with `TIDEMARK_HOOK_FAILED`, `TIDEMARK_HOOK_TIMED_OUT` or
   * `TIDEMARK_HOOK_UNACCOUNTED`, which name the plugin; nothing of the batch may be applied then.
   */
  async transformBatch(batch: ApplyBatch): Promise<ApplyBatch> {
    return this.#transform(this.#lists.beforeApplyBatch, batch, (value) => new BatchAccount(value));
  }

  /** Tells all observers of a committed batch, and waits for them. Never rejects. */
  async observeBatch(applied: AppliedBatch): Promise<void> {
    await this.#observe(this.#lists.afterBatch, applied);
  }

  /** Asks what to do about a failed catch-up; the first answer decides. `null`: nobody has an opinion. Never rejects. */
  async decideCatchUp(
    failure: CatchUpFailure,
  ): Promise<{ readonly decision: CatchUpDecision; readonly decidedBy: string } | null> {
    const first = await this.#decide(this.#lists.onCatchUpFailure, failure, faultOfDecision);
    return first === null ? null : { decision: first.answer as CatchUpDecision, decidedBy: first.pluginId };
  }

  /** Asks everybody how to make room, and takes the most careful advice field by field. Never rejects. */
  async collectPoolAdvice(
    pressure: PoolPressure,
  ): Promise<{ readonly advice: PoolAdvice; readonly advisedBy: readonly string[] }> {
    const answers = await this.#collect(this.#lists.onPoolPressure, pressure, faultOfAdvice);
    return mostCareful(answers.map(({ pluginId, answer }) => ({ pluginId, advice: answer as PoolAdvice })));
  }

  /** The handlers of a plugin, in the order of the hooks and of the calls. */
  reportOf(pluginId: string): readonly HookReport[] {
    return Object.values(this.#lists).flatMap((list: HandlerList<HookName>) =>
      list.taps
        .filter(({ owner }) => owner.pluginId === pluginId)
        .map(({ order, calls, failures, timeouts, totalMs, quarantined }) => ({
          hook: list.name,
          order,
          calls,
          failures,
          timeouts,
          totalMs,
          quarantined,
        })),
    );
  }

  /**
   * Aborts what is under way and waits for none of it; from now on transforms fail and nobody else is called, so that no
   * plugin can hold up the end.
   */
  stop(): void {
    this.#stopped = true;
    for (const end of [...this.#running]) end();
  }

  async #transform<Name extends HookOfKind<"transform">>(
    list: HandlerList<Name>,
    input: HookInput<Name>,
    openAccount: (input: HookInput<Name>) => TransformAccount<HookInput<Name>>,
  ): Promise<HookInput<Name>> {
    if (this.#stopped) throw kernelErrors.hooksStopped({ hook: list.name });
    const { taps } = list;
    if (taps.length === 0) return input;
    const account = openAccount(input);
    let value = input;
    for (const tap of taps) {
      const before = value === input ? account.start : value;
      const { pluginId } = tap.owner;
      const running = this.#call(list, tap, before, (after) => account.check({ after: after ?? before, pluginId }));
      const outcome = isThenable(running) ? await running : running;
      if (outcome.kind === "stopped") throw kernelErrors.hooksStopped({ hook: list.name });
      if (outcome.kind !== "ok") throw outcome.error;
      value = outcome.result;
    }
    return value;
  }

  async #observe<Name extends HookOfKind<"observe">>(list: HandlerList<Name>, input: HookInput<Name>): Promise<void> {
    const pending: PromiseLike<void>[] = [];
    for (const tap of list.taps) {
      if (this.#stopped) break;
      if (tap.quarantined) continue;
      const settle = (outcome: Outcome<void>): void => this.#settleObserver(list, tap, outcome);
      const running = this.#call(list, tap, input, () => {});
      if (isThenable(running)) pending.push(running.then(settle));
      else settle(running);
    }
    if (pending.length > 0) await Promise.all(pending);
  }

  #settleObserver<Name extends HookName>(list: HandlerList<Name>, tap: Tap<Name>, outcome: Outcome<void>): void {
    if (outcome.kind === "ok") tap.failuresInARow = 0;
    if (outcome.kind === "ok" || outcome.kind === "stopped") return;
    const { pluginId } = tap.owner;
    this.#warn(list, pluginId, outcome.error);
    if (++tap.failuresInARow < QUARANTINE_AFTER || tap.quarantined) return;
    tap.quarantined = true;
    this.#logger.error("a hook handler has failed too often and is not called any more", {
      plugin: pluginId,
      hook: list.name,
      failuresInARow: tap.failuresInARow,
    });
    this.#events.emit("hookHandlerQuarantined", { pluginId, hook: list.name, error: outcome.error });
  }

  async #decide<Name extends HookOfKind<"decide">>(
    list: HandlerList<Name>,
    input: HookInput<Name>,
    faultOf: (answer: unknown) => string | undefined,
  ): Promise<{ readonly pluginId: string; readonly answer: unknown } | null> {
    for (const tap of list.taps) {
      if (this.#stopped) break;
      const { pluginId } = tap.owner;
      const running = this.#call(list, tap, input, (answer) => this.#usable(list, pluginId, answer, faultOf));
      const outcome = isThenable(running) ? await running : running;
      if (outcome.kind === "failed" || outcome.kind === "timed-out") this.#warn(list, pluginId, outcome.error);
      if (outcome.kind === "ok" && outcome.result !== undefined) return { pluginId, answer: outcome.result };
    }
    return null;
  }

  async #collect<Name extends HookOfKind<"collect">>(
    list: HandlerList<Name>,
    input: HookInput<Name>,
    faultOf: (answer: unknown) => string | undefined,
  ): Promise<readonly { readonly pluginId: string; readonly answer: unknown }[]> {
    if (this.#stopped) return [];
    const { taps } = list;
    const outcomes = await Promise.all(
      taps.map((tap) =>
        this.#call(list, tap, input, (answer) => this.#usable(list, tap.owner.pluginId, answer, faultOf)),
      ),
    );
    const answers: { readonly pluginId: string; readonly answer: unknown }[] = [];
    for (const [index, outcome] of outcomes.entries()) {
      const { pluginId } = taps[index]!.owner;
      if (outcome.kind === "failed" || outcome.kind === "timed-out") this.#warn(list, pluginId, outcome.error);
      if (outcome.kind === "ok" && outcome.result !== undefined) answers.push({ pluginId, answer: outcome.result });
    }
    return answers;
  }

  /** The answer, `undefined` for none; throws when it can't be used. */
  #usable<Name extends HookName>(
    list: HandlerList<Name>,
    pluginId: string,
    answer: unknown,
    faultOf: (answer: unknown) => string | undefined,
  ): unknown {
    if (answer === undefined || answer === null) return undefined;
    const fault = faultOf(answer);
    if (fault !== undefined) throw kernelErrors.hookAnswer({ id: pluginId, hook: list.name, why: fault });
    return answer;
  }

  /**
   * Calls one handler. Stays synchronous if the handler does: most are, and a promise and a timer for each would cost more
   * than the handlers. `interpret` makes the result of what was returned; its throw is the handler's failure.
   */
  #call<Name extends HookName, Result>(
    list: HandlerList<Name>,
    tap: Tap<Name>,
    input: HookInput<Name>,
    interpret: (returned: unknown) => Result,
  ): Outcome<Result> | Promise<Outcome<Result>> {
    const startedMs = this.#clock.monotonicMs();
    const call = new LazyHookCall();
    const finish = (outcome: Outcome<Result>): Outcome<Result> => this.#account(list, tap, startedMs, outcome);
    const threw = (cause: unknown): Outcome<Result> =>
      finish({ kind: "failed", error: kernelErrors.hookFailed({ id: tap.owner.pluginId, hook: list.name, cause }) });
    const returned = (value: unknown): Outcome<Result> => {
      // A handler that never let go of the loop could not be timed out while it ran.
      if (this.#clock.monotonicMs() - startedMs > tap.timeoutMs) return finish(this.#timeOut(list, tap));
      try {
        return finish({ kind: "ok", result: interpret(value) });
      } catch (error) {
        return finish({ kind: "failed", error: error as TidemarkError });
      }
    };

    let result: unknown;
    try {
      result = tap.handler(input, call);
    } catch (cause) {
      return threw(cause);
    }
    if (!isThenable(result)) return returned(result);

    return new Promise((resolve) => {
      let ended = false;
      const end = (outcome: () => Outcome<Result>): void => {
        if (ended) return;
        ended = true;
        timer.dispose();
        this.#running.delete(stop);
        resolve(outcome());
      };
      const stop = (): void => {
        end(() => STOPPED);
        call.abort(kernelErrors.hooksStopped({ hook: list.name }));
      };
      const timer = this.#clock.setTimeout(() => {
        const timedOut = this.#timeOut(list, tap);
        end(() => finish(timedOut));
        call.abort(timedOut.error);
      }, tap.timeoutMs);
      this.#running.add(stop);
      result.then(
        (value) => end(() => returned(value)),
        (cause: unknown) => end(() => threw(cause)),
      );
    });
  }

  #timeOut<Name extends HookName>(list: HandlerList<Name>, tap: Tap<Name>) {
    const { timeoutMs } = tap;
    return {
      kind: "timed-out",
      error: kernelErrors.hookTimedOut({ id: tap.owner.pluginId, hook: list.name, timeoutMs }),
    } as const;
  }

  #account<Name extends HookName, Result>(
    list: HandlerList<Name>,
    tap: Tap<Name>,
    startedMs: number,
    outcome: Outcome<Result>,
  ): Outcome<Result> {
    const durationMs = this.#clock.monotonicMs() - startedMs;
    tap.calls++;
    tap.totalMs += durationMs;
    if (outcome.kind === "stopped") return outcome;
    if (outcome.kind !== "ok") tap.failures++;
    if (outcome.kind === "timed-out") tap.timeouts++;
    if (this.#events.hasListeners("hookCompleted")) {
      this.#events.emit("hookCompleted", {
        pluginId: tap.owner.pluginId,
        hook: list.name,
        durationMs,
        outcome: outcome.kind,
      });
    }
    return outcome;
  }

  #warn(list: { readonly name: HookName }, pluginId: string, error: TidemarkError): void {
    this.#logger.warn("a hook handler has failed", { plugin: pluginId, hook: list.name, error });
  }
}
