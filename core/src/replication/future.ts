import type { Subscription } from "@tidemark/plugin-api";
import { fromPhysicalMs, physicalMs } from "../clock/hybrid-logical-clock.js";
import { deferredUntil, forgetDeferred, nextDue } from "../storage/deferred.js";
import { applyPage } from "./apply-batch.js";
import type { LocalLibrary } from "./local-library.js";
import type { WireRecords } from "./wire-records.js";

/** Merges what was kept for later (`future-page.ts`) when its time has come. */
export class FutureRecords {
  readonly #library: LocalLibrary;
  readonly #merged: () => void;
  #timer: Subscription | null = null;
  #merging = false;

  constructor({
    library,
    merged,
  }: {
    readonly library: LocalLibrary;
    /** Called when those that were due have been merged. */
    readonly merged: () => void;
  }) {
    this.#library = library;
    this.#merged = merged;
  }

  /** Looks when the next record is due, and merges those that are. */
  schedule(): void {
    const { connection, clock, settings, logger } = this.#library.deps;
    this.#timer?.dispose();
    this.#timer = null;
    const due = nextDue(connection);
    if (due === null || this.#merging) return;
    const waitMs = physicalMs(due) - settings.clock.maxDriftMs - clock.now();
    this.#timer = clock.setTimeout(
      () => {
        this.#merging = true;
        this.#mergeDue()
          .then((merged) => {
            if (merged > 0) this.#merged();
          })
          .catch((error: unknown) => logger.warn("Records from the future could not be merged yet", { error }))
          .finally(() => {
            this.#merging = false;
            this.schedule();
          });
      },
      Math.min(Math.max(waitMs, SHORTEST_WAIT_MS), LONGEST_WAIT_MS),
    );
  }

  stop(): void {
    this.#timer?.dispose();
    this.#timer = null;
  }

  /** How many were merged. */
  async #mergeDue(): Promise<number> {
    const { connection, clock, settings } = this.#library.deps;
    const limit = fromPhysicalMs(clock.now() + settings.clock.maxDriftMs);
    const due = deferredUntil(connection, limit);
    for (const { seq, entry } of due) {
      const page = JSON.parse(entry) as WireRecords;
      await applyPage(this.#library, {
        peer: page.origins[0]?.[0] ?? "",
        phase: "live",
        page,
        vectorMoves: false,
        wasDeferred: true,
        finish: (tx) => forgetDeferred(tx.db, seq),
      });
    }
    return due.length;
  }
}

/** A clock that is set back keeps a record due for long; nothing is looked at more often than this. */
const SHORTEST_WAIT_MS = 1_000;
/** A clock that was behind and is put right makes a record due long before its timer, which knows nothing of clocks. */
const LONGEST_WAIT_MS = 60_000;
