import { prepared } from "./statements.js";
import type { Writer } from "./writer.js";

/**
 * Makes commits survive a power loss. Everything commits at synchronous=NORMAL; before something is acknowledged, sent
 * or promised, one FULL commit covers all that stands in the same write-ahead log before it, whoever committed it.
 */
export class Fence {
  readonly #writer: Writer;
  /** The fence that has been queued and has not begun: it covers whatever is committed at this moment. */
  #pending: Promise<void> | undefined;

  constructor({ writer }: { readonly writer: Writer }) {
    this.#writer = writer;
  }

  /**
   * Resolves when all that was committed before the call survives a power loss: at once if nothing was committed since
   * the last fence, else after one more commit, which all share who wait for it. Rejects as {@link Writer.run}.
   */
  cover(): Promise<void> {
    if (this.#pending) return this.#pending;
    if (!this.#writer.uncovered) return Promise.resolve();
    const fence = this.#writer.run({
      name: "fence",
      priority: "high",
      durable: true,
      body: (db) => {
        this.#pending = undefined;
        // A commit that changes no byte writes no frame, and syncs nothing.
        prepared(db, "UPDATE tidemark_state SET fence = fence + 1").run();
      },
    });
    this.#pending = fence;
    return fence.catch((error: unknown) => {
      // A job that was never begun, because the writer has closed.
      if (this.#pending === fence) this.#pending = undefined;
      throw error;
    });
  }
}
