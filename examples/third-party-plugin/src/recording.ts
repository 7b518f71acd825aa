// The memory of the recorder. Each kind of entry has a ring of its own, so that what comes by the thousand never pushes
// out what is rare: a thousand batches leave the one decision to give up in its place.

import type { Clock, HookName } from "@tidemark/plugin-api";
import type { Entry, HookEntry, RecordedEntry } from "./entry.js";

/** What the calls of one hook of one plugin have taken together. */
export interface HookTimes {
  readonly plugin: string;
  readonly hook: HookName;
  readonly calls: number;
  /** Calls that threw or timed out. */
  readonly failures: number;
  readonly totalMs: number;
  readonly longestMs: number;
}

export class Recording {
  readonly #keep: number;
  readonly #clock: Pick<Clock, "now">;
  readonly #rings = new Map<Entry["kind"], RecordedEntry[]>();
  readonly #hooks = new Map<string, HookTimes>();
  #number = 0;

  constructor({ keep, clock }: { readonly keep: number; readonly clock: Pick<Clock, "now"> }) {
    this.#keep = keep;
    this.#clock = clock;
  }

  add(entry: Entry): void {
    const ring = this.#rings.get(entry.kind) ?? [];
    this.#rings.set(entry.kind, ring);
    ring.push({ number: ++this.#number, at: new Date(this.#clock.now()).toISOString(), ...entry });
    if (ring.length > this.#keep) ring.shift();
  }

  addHookCall({ plugin, hook, outcome, durationMs }: HookEntry): void {
    const key = `${plugin} ${hook}`;
    const { calls, failures, totalMs, longestMs } = this.#hooks.get(key) ?? NO_CALLS;
    this.#hooks.set(key, {
      plugin,
      hook,
      calls: calls + 1,
      failures: failures + (outcome === "ok" ? 0 : 1),
      totalMs: totalMs + durationMs,
      longestMs: Math.max(longestMs, durationMs),
    });
  }

  /** Oldest first. */
  entries(): readonly RecordedEntry[] {
    return [...this.#rings.values()].flat().sort((one, other) => one.number - other.number);
  }

  /** Those that have taken most, first. */
  hookTimes(): readonly HookTimes[] {
    return [...this.#hooks.values()].sort((one, other) => other.totalMs - one.totalMs);
  }
}

const NO_CALLS = { calls: 0, failures: 0, totalMs: 0, longestMs: 0 };
