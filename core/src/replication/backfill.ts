import type { BackfillScheduler } from "@tidemark/plugin-api";
import type { LogTransaction } from "../storage/log-transaction.js";
import { unseenModels } from "../storage/unseen.js";
import { completeBackfill, isComplete, journalOverwritten } from "./backfill-apply.js";
import { noteFirstPlan } from "./backfill-plan.js";
import { BackfillRun } from "./backfill-run.js";
import type { BackfillSource } from "./backfill-source.js";
import { loadBackfill } from "./backfill-store.js";
import type { IncomingRecord } from "./incoming.js";
import type { LocalLibrary } from "./local-library.js";

/**
 * The receiving side of a backfill: notes what the first server has, lets a scheduler fetch and apply the pages, and tells
 * how it goes. One of them is under way at a time.
 */
export interface BackfillOptions {
  readonly library: LocalLibrary;
  readonly scheduler: BackfillScheduler;
  readonly first: BackfillSource;
  /** All that can serve at this moment. */
  readonly sources: () => readonly BackfillSource[];
}

export class Backfill {
  readonly #options: BackfillOptions;
  #run: BackfillRun | null = null;

  constructor(options: BackfillOptions) {
    this.#options = options;
  }

  run(): Promise<void> {
    return this.#options.library.deps.checkpointer.during(() => this.#runThrough());
  }

  /** A peer has come, gone, or changed its mind. */
  sourcesChanged(): void {
    this.#run?.sourcesChanged();
  }

  async #runThrough(): Promise<void> {
    const { library, first } = this.#options;
    const { events, clock, registry } = library.deps;
    const startedMs = clock.monotonicMs();
    await first.begin();
    const { totals, ...plan } = await first.plan();
    const record = await library.write("backfill plan", (tx) => noteFirstPlan(library, tx, { ...plan, totals }));
    const resumed = Object.keys(record.cursors).length > 0;
    const levels = levelsOf(library, Object.keys(totals));
    events.emit("backfillStarted", { peer: first.peer, models: totals, resumed });
    if (isComplete(levels.flat(), record)) {
      // There is no page that could be the last.
      await library.write("end of the backfill", (tx) =>
        completeBackfill(library, tx, new Set([first.peer]), loadBackfill(tx.db)!),
      );
    } else {
      // Only a device that had records before it joined, or wrote some unseen, can have other values for one of the library.
      const { mode } = record;
      const mayOverwrite =
        mode === "join" ? resumed || hasRows(library) : unseenModels(library.deps.connection).length > 0;
      const inspect = mayOverwrite
        ? (tx: LogTransaction, records: readonly IncomingRecord[]) => journalOverwritten(library, tx, records, mode)
        : undefined;
      this.#run = new BackfillRun({ ...this.#options, levels, totals, inspect });
      await this.#run.run();
    }
    for (const model of registry.models) await model.afterBackfill?.();
    events.emit("backfillCompleted", {
      peer: first.peer,
      records: this.#run?.done ?? 0,
      durationMs: clock.monotonicMs() - startedMs,
    });
  }
}

function hasRows(library: LocalLibrary): boolean {
  const { registry, reader, connection } = library.deps;
  return registry.models.some((model) => reader.count(connection, model) > 0);
}

/** The models that only the server knows make up the last level. */
function levelsOf(library: LocalLibrary, served: readonly string[]): readonly (readonly string[])[] {
  const { registry } = library.deps;
  const foreign = served.filter((name) => !registry.byName.has(name)).sort();
  const known = registry.levels.map((level) => level.map(({ name }) => name));
  return [...known, foreign].filter((level) => level.length > 0);
}
