// All that one running plugin holds, and how it is given back: last in, first out, each step guarded, so that one broken
// step keeps nothing else alive.

import { type Clock, type EntityDeclaration, type Logger, type Subscription, subscription } from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";
import { isThenable, withTimeLimit } from "./time-limit.js";

/** How long one step of the disposal may take if it turns out to be asynchronous. */
const DISPOSAL_TIMEOUT_MS = 5_000;

export class PluginScope {
  readonly pluginId: string;
  /** The entities that the plugin has registered. */
  readonly entities: EntityDeclaration[] = [];
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  /** In the order of registration. */
  readonly #held = new Set<Subscription>();
  #phase: "activating" | "active" | "stopped" = "activating";

  constructor({
    pluginId,
    clock,
    logger,
  }: { readonly pluginId: string; readonly clock: Clock; readonly logger: Logger }) {
    this.pluginId = pluginId;
    this.#clock = clock;
    this.#logger = logger;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Throws `TIDEMARK_PLUGIN_STOPPED` once the plugin has stopped; `member` is what it wants to use. */
  assertRunning(member: string): void {
    if (this.#phase === "stopped") throw kernelErrors.pluginStopped({ id: this.pluginId, member });
  }

  /** Throws `TIDEMARK_PLUGIN_ENTITIES_CLOSED` once activate has ended. */
  assertActivating(): void {
    if (this.#phase !== "activating") throw kernelErrors.entitiesClosed({ id: this.pluginId });
  }

  endActivation(): void {
    if (this.#phase === "activating") this.#phase = "active";
  }

  /** Keeps `held` until it is disposed of, by the returned subscription or at the end of the plugin. */
  hold(held: Subscription): Subscription {
    this.#held.add(held);
    return subscription(() => {
      this.#held.delete(held);
      held.dispose();
    });
  }

  /** Takes over something that the plugin made; of a plugin that has stopped, disposes of it at once and throws. */
  adopt(items: readonly Subscription[]): void {
    if (this.#phase !== "stopped") for (const item of items) this.#held.add(item);
    else {
      for (const item of items) this.#dispose(item);
      this.assertRunning("context.subscriptions");
    }
  }

  /** Aborts the signal, then gives back everything. Never rejects; what fails is logged. Twice does nothing. */
  async close(reason: unknown): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    this.#abort.abort(reason);
    for (const item of [...this.#held].reverse()) {
      this.#held.delete(item);
      await this.#dispose(item);
    }
  }

  async #dispose(item: Subscription): Promise<void> {
    try {
      // Typed as void, yet many write it as an async function: its end is waited for, its rejection caught.
      const result: unknown = item.dispose();
      if (!isThenable(result)) return;
      await withTimeLimit({
        pending: result,
        timeoutMs: DISPOSAL_TIMEOUT_MS,
        clock: this.#clock,
        timedOut: () => new Error(`the disposal has not finished within ${DISPOSAL_TIMEOUT_MS} ms`),
      });
    } catch (error) {
      this.#logger.error("a step of the disposal of a plugin has failed; the rest goes on", {
        plugin: this.pluginId,
        error,
      });
    }
  }
}
