// The handlers of one hook, in their order, with what has become of each. Runs nothing.

import type { HookCall, HookName, HookOrder, Hooks, Subscription, TapOptions } from "@tidemark/plugin-api";
import { subscription } from "@tidemark/plugin-api";

type HookKind = Hooks[HookName]["kind"];

/** The names of the hooks of one kind. */
export type HookOfKind<Kind extends HookKind> = {
  [Name in HookName]: Hooks[Name]["kind"] extends Kind ? Name : never;
}[HookName];

/** What the handlers of a hook are called with. */
export type HookInput<Name extends HookName> = Parameters<Parameters<Hooks[Name]["tap"]>[0]>[0];

/** A handler as the runner sees it: whatever it returns is to be checked. */
export type HookHandler<Name extends HookName> = (input: HookInput<Name>, call: HookCall) => unknown;

/** Who taps. */
export interface HookOwner {
  readonly pluginId: string;
  /** Its place in the order of activation. */
  readonly position: number;
}

/** One handler, and its account. */
export interface Tap<Name extends HookName> {
  readonly owner: HookOwner;
  readonly handler: HookHandler<Name>;
  readonly order: HookOrder;
  readonly timeoutMs: number;
  calls: number;
  /** Of all calls, those that threw, timed out, or gave an answer that could not be used. */
  failures: number;
  timeouts: number;
  totalMs: number;
  failuresInARow: number;
  quarantined: boolean;
}

const RANK: Readonly<Record<HookOrder, number>> = { pre: 0, normal: 1, post: 2 };

export function isHookOrder(value: unknown): value is HookOrder {
  return typeof value === "string" && Object.hasOwn(RANK, value);
}

/** The handlers of the hook `name`. The kind travels in the type, so that a hook can't be run in another's way. */
export class HandlerList<Name extends HookName> {
  readonly name: Name;
  /** Replaced, never changed, so that a run that is under way keeps the list that it began with. */
  #taps: readonly Tap<Name>[] = [];

  constructor(name: Name) {
    this.name = name;
  }

  /** In the order in which they are called, the quarantined included. */
  get taps(): readonly Tap<Name>[] {
    return this.#taps;
  }

  add({
    owner,
    handler,
    order,
    timeoutMs,
  }: Required<TapOptions> & { readonly owner: HookOwner; readonly handler: HookHandler<Name> }): Subscription {
    const tap: Tap<Name> = {
      owner,
      handler,
      order,
      timeoutMs,
      calls: 0,
      failures: 0,
      timeouts: 0,
      totalMs: 0,
      failuresInARow: 0,
      quarantined: false,
    };
    // Sorting is stable: within one plugin, the order of tapping stays.
    this.#taps = [...this.#taps, tap].sort(
      (a, b) => RANK[a.order] - RANK[b.order] || a.owner.position - b.owner.position,
    );
    return subscription(() => {
      this.#taps = this.#taps.filter((other) => other !== tap);
    });
  }
}
