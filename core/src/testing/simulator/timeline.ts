// Virtual time for several devices in one process. Nothing that was set on one of its clocks runs outside of `run` and
// `settle`, and one callback runs at a time, with all promises that it settles: so the same seed gives the same order.

import { type Clock, type Random, type Subscription, subscription } from "@tidemark/plugin-api";

interface Timer {
  readonly owner: DeviceClock;
  readonly dueMs: number;
  readonly callback: () => void;
}

/** More callbacks than this without time moving is a loop that feeds itself. */
const MAX_TURNS = 200_000;

/**
 * What happens when. Immediates of one device run in their order, as in a process; between devices chance decides, as
 * between processes.
 */
export class Timeline {
  readonly #random: Random;
  readonly #startMs: number;
  readonly #timers = new Set<Timer>();
  readonly #immediates = new Map<DeviceClock, Set<() => void>>();
  readonly #onError: (error: unknown, owner: DeviceClock) => void;
  #elapsedMs = 0;

  constructor({
    random,
    startMs = Date.UTC(2026, 0, 1),
    onError,
  }: {
    /** Decides whose turn it is. */
    readonly random: Random;
    /** The true time at the beginning, in milliseconds since the epoch. */
    readonly startMs?: number;
    /** A callback of a timer or an immediate has thrown. */
    readonly onError: (error: unknown, owner: DeviceClock) => void;
  }) {
    this.#random = random;
    this.#startMs = startMs;
    this.#onError = onError;
  }

  /** Milliseconds since the beginning. */
  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** The true time, which no device need know. */
  get nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  clock(): DeviceClock {
    return new DeviceClock(this);
  }

  /** Moves time on by `ms` milliseconds; all that falls due happens, each at its own time. */
  async run(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await this.settle();
    for (let timer = this.#next(endMs); timer !== undefined; timer = this.#next(endMs)) {
      this.#timers.delete(timer);
      this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
      this.#call(timer.callback, timer.owner);
      await this.settle();
    }
    this.#elapsedMs = endMs;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let turns = 0; ; turns++) {
      if (turns > MAX_TURNS) throw new Error(`the devices did not come to rest within ${MAX_TURNS} callbacks`);
      // A turn of the real event loop settles every promise that can be settled.
      await new Promise<void>((resolve) => setImmediate(resolve));
      const owners = [...this.#immediates.keys()];
      if (owners.length === 0) return;
      const owner = owners[owners.length === 1 ? 0 : Math.floor(this.#random.next() * owners.length)]!;
      const queue = this.#immediates.get(owner)!;
      const [callback] = queue as Iterable<() => void> as [() => void];
      queue.delete(callback);
      if (queue.size === 0) this.#immediates.delete(owner);
      this.#call(callback, owner);
    }
  }

  /** Runs until `promise` settles, moving time from one timer to the next; throws when that takes more than `limitMs`. */
  async until<T>(promise: Promise<T>, limitMs: number): Promise<T> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    const endMs = this.#elapsedMs + limitMs;
    await this.settle();
    while (!settled) {
      const timer = this.#next(endMs);
      if (timer === undefined) throw new Error(`it did not come to an end within ${limitMs} ms`);
      this.#timers.delete(timer);
      this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
      this.#call(timer.callback, timer.owner);
      await this.settle();
    }
    return await promise;
  }

  setTimer(timer: Timer): Subscription {
    this.#timers.add(timer);
    return subscription(() => this.#timers.delete(timer));
  }

  setImmediate(owner: DeviceClock, callback: () => void): Subscription {
    // An entry of its own, so that one function may be queued twice.
    const entry = () => callback();
    const queue = this.#immediates.get(owner) ?? new Set();
    queue.add(entry);
    this.#immediates.set(owner, queue);
    return subscription(() => {
      queue.delete(entry);
      if (queue.size === 0 && this.#immediates.get(owner) === queue) this.#immediates.delete(owner);
    });
  }

  /** Forgets all that `owner` has set: its process is gone. */
  forget(owner: DeviceClock): void {
    this.#immediates.delete(owner);
    for (const timer of this.#timers) if (timer.owner === owner) this.#timers.delete(timer);
  }

  #call(callback: () => void, owner: DeviceClock): void {
    try {
      callback();
    } catch (error) {
      this.#onError(error, owner);
    }
  }

  #next(endMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }
}

/** What one device believes of time. Its wall clock may be wrong; its timers and its monotonic clock are right. */
export class DeviceClock implements Clock {
  readonly #timeline: Timeline;
  #offsetMs = 0;
  #frozenAtMs: number | null = null;
  #stopped = false;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  now(): number {
    return this.#frozenAtMs ?? this.#timeline.nowMs + this.#offsetMs;
  }

  monotonicMs(): number {
    return this.#timeline.elapsedMs;
  }

  setTimeout(callback: () => void, delayMs: number): Subscription {
    if (this.#stopped) return subscription(() => {});
    return this.#timeline.setTimer({
      owner: this,
      dueMs: this.#timeline.elapsedMs + Math.max(0, delayMs),
      callback,
    });
  }

  setImmediate(callback: () => void): Subscription {
    if (this.#stopped) return subscription(() => {});
    return this.#timeline.setImmediate(this, callback);
  }

  /** How far the wall clock is ahead of the true time, in milliseconds. */
  get offsetMs(): number {
    return this.now() - this.#timeline.nowMs;
  }

  /** Sets the wall clock, as a person or NTP would, and lets it run. */
  set(offsetMs: number): void {
    this.#frozenAtMs = null;
    this.#offsetMs = offsetMs;
  }

  /** The wall clock stands still from now on. */
  freeze(): void {
    this.#frozenAtMs = this.now();
  }

  /** Nothing that was set on this clock happens any more: its process is gone. */
  stop(): void {
    this.#stopped = true;
    this.#timeline.forget(this);
  }
}
