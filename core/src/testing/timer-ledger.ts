// Knows the timers that are set and have neither fired nor been cleared, those of the global functions included: a plugin
// that goes past the injected clock is what it is there for. For tests only: it replaces global functions for a while.

type Global = Pick<typeof globalThis, "setTimeout" | "setInterval" | "clearTimeout" | "clearInterval">;

/** Watches the global timer functions until {@link TimerLedger.release}; one at a time in a process. */
export class TimerLedger {
  readonly #originals: Global;
  /** The handles of open timers, with where they were set. */
  readonly #open = new Map<NodeJS.Timeout, string>();

  constructor() {
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
    this.#originals = { setTimeout, setInterval, clearTimeout, clearInterval };
    const watched = {
      setTimeout: (callback: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]) => {
        const handle = setTimeout(() => {
          this.#open.delete(handle);
          callback(...args);
        }, delayMs);
        return this.#note(handle);
      },
      setInterval: (callback: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]) =>
        this.#note(setInterval(callback, delayMs, ...args)),
      clearTimeout: (handle?: NodeJS.Timeout | string | number) => {
        this.#forget(handle);
        clearTimeout(handle);
      },
      clearInterval: (handle?: NodeJS.Timeout | string | number) => {
        this.#forget(handle);
        clearInterval(handle);
      },
    };
    Object.assign(globalThis, watched);
  }

  /** Where the timers that are open now were set. */
  get open(): readonly string[] {
    return [...this.#open.values()];
  }

  /** Puts the global functions back. */
  release(): void {
    Object.assign(globalThis, this.#originals);
  }

  #note(handle: NodeJS.Timeout): NodeJS.Timeout {
    this.#open.set(handle, new Error("set here").stack ?? "set at an unknown place");
    return handle;
  }

  /** Timers may be cleared by handle or by number. */
  #forget(cleared: NodeJS.Timeout | string | number | undefined): void {
    for (const handle of this.#open.keys()) {
      if (handle === cleared || Number(handle) === Number(cleared)) this.#open.delete(handle);
    }
  }
}
