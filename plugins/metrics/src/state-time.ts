// Counts the time that something has spent in each of its states.

import type { Clock } from "@tidemark/plugin-api";

interface Stay {
  readonly state: string;
  readonly sinceMs: number;
}

export class StateTime {
  readonly #clock: Clock;
  readonly #count: (who: string, state: string, seconds: number) => void;
  readonly #stays = new Map<string, Stay>();

  constructor({
    clock,
    count,
  }: { readonly clock: Clock; readonly count: (who: string, state: string, seconds: number) => void }) {
    this.#clock = clock;
    this.#count = count;
  }

  enter(who: string, state: string): void {
    this.#flush(who);
    this.#stays.set(who, { state, sinceMs: this.#clock.monotonicMs() });
    this.#count(who, state, 0);
  }

  /** Counts what has passed up to now; for whoever is about to look. */
  flush(): void {
    for (const who of this.#stays.keys()) this.#flush(who);
  }

  #flush(who: string): void {
    const stay = this.#stays.get(who);
    if (stay === undefined) return;
    const sinceMs = this.#clock.monotonicMs();
    this.#count(who, stay.state, (sinceMs - stay.sinceMs) / 1_000);
    this.#stays.set(who, { ...stay, sinceMs });
  }
}
