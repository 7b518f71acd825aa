import {
  type BackfillPage,
  type BackfillRange,
  type BackfillScheduler,
  type BackfillWork,
  isTidemarkError,
  type Subscription,
  subscription,
} from "@tidemark/plugin-api";
import type { ReceivedPage } from "./apply-batch.js";
import { applyServedPage, checkServedPage, type ServedPage } from "./backfill-apply.js";
import { checkBounds } from "./backfill-bounds.js";
import { noteFurtherPlan } from "./backfill-plan.js";
import { isWithin, type Stretch } from "./backfill-ranges.js";
import type { BackfillSource } from "./backfill-source.js";
import { type BackfillRecord, cursorOf, loadBackfill } from "./backfill-store.js";
import { fetchTargets } from "./backfill-targets.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { MAX_BOUNDS } from "./messages.js";

/**
 * What a scheduler works with, from the plan of the first server to the last page or the first failure that ends it all.
 * It keeps the account: which peers serve, what is open, which pages were fetched. A scheduler that asks for nonsense gets
 * an error and changes nothing; one that throws, returns early or falls silent ends the run, and what was applied stays.
 */
export interface BackfillRunOptions {
  readonly library: LocalLibrary;
  readonly scheduler: BackfillScheduler;
  /** Has said what it has, and that has been noted. */
  readonly first: BackfillSource;
  /** All that can serve at this moment, `first` included while it can. */
  readonly sources: () => readonly BackfillSource[];
  /** Wire names, by level. */
  readonly levels: readonly (readonly string[])[];
  /** Records by model, by what the first said. */
  readonly totals: Readonly<Record<string, number>>;
  readonly inspect: ReceivedPage["inspect"];
}

/** Requests to one peer at once; more than 16 and it would take this device for no peer of the protocol. */
const MOST_ASKED_AT_ONCE = 12;

interface Fetched {
  readonly source: BackfillSource;
  readonly page: ServedPage;
}

export class BackfillRun {
  readonly #options: BackfillRunOptions;
  readonly #order: readonly string[];
  readonly #abort = new AbortController();
  readonly #listeners = new Set<() => void>();
  /** Sources that are being, or have been, taken into the account. */
  readonly #enlisted = new WeakMap<BackfillSource, Promise<void>>();
  /** Origin ids of all that have been. */
  readonly #servers = new Set<string>();
  readonly #useless = new WeakSet<BackfillSource>();
  readonly #asked = new WeakMap<BackfillSource, number>();
  /** Fetched and not applied. */
  readonly #pages = new WeakMap<BackfillPage, Fetched>();
  /** Errors that are a peer's, and no fault of the scheduler. */
  readonly #peerErrors = new WeakSet<object>();
  readonly #ended: Promise<void>;
  #end!: (error: unknown) => void;
  #over = false;
  /** As stored. Pages alone move them, one at a time. */
  #progress: Pick<BackfillRecord, "cursors" | "total">;
  #applying: Promise<unknown> = Promise.resolve();
  /** Records that were fetched ahead, or asked for in vain. */
  readonly #askedFor = new Set<string>();
  #lastError: unknown = null;
  /** Calls that are under way. */
  #busy = 0;
  #silence: Subscription | null = null;

  constructor(options: BackfillRunOptions) {
    const { library, first, levels } = options;
    this.#options = options;
    this.#order = levels.flat();
    this.#progress = loadBackfill(library.deps.connection)!;
    this.#enlisted.set(first, Promise.resolve());
    this.#servers.add(first.peer);
    this.#ended = new Promise((resolve, reject) => {
      this.#end = (error) => {
        if (this.#over) return;
        this.#over = true;
        if (error === null) resolve();
        else reject(error);
      };
    });
    this.#ended.catch(() => {}); // Awaited by `run`.
  }

  /** Records that have come, in this run and those before it. */
  get done(): number {
    return Object.values(this.#progress.cursors).reduce((sum, { done }) => sum + done, 0);
  }

  /** Resolves when everything is here; rejects with what ended it before. Either way nothing is in work any more. */
  async run(): Promise<void> {
    const { scheduler } = this.#options;
    if (this.#servable().length === 0) this.sourcesChanged();
    this.#listen();
    this.#schedule(scheduler).then(
      () => this.#fail({ reason: "it returned while something was missing" }),
      (error: unknown) => {
        if (typeof error === "object" && error !== null && this.#peerErrors.has(error)) this.#end(error);
        else this.#fail({ reason: error instanceof Error ? error.message : String(error), cause: error });
      },
    );
    try {
      await this.#ended;
    } finally {
      this.#silence?.dispose();
      this.#listeners.clear();
      this.#abort.abort();
      await this.#applying;
    }
  }

  /** A peer has come, gone, or changed its mind. */
  sourcesChanged(): void {
    if (this.#over) return;
    if (this.#servable().length === 0) {
      this.#end(this.#lastError ?? replicationErrors.sessionLost({ reason: "no peer is left that can serve" }));
      return;
    }
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        this.#options.library.deps.logger.warn("A scheduler of backfills has failed to listen", { error });
      }
    }
  }

  async #schedule(scheduler: BackfillScheduler): Promise<void> {
    await scheduler.run(this.#work());
  }

  #fail(fault: { readonly reason: string; readonly cause?: unknown }): void {
    this.#end(replicationErrors.backfillSchedulerFailed(fault));
  }

  #work(): BackfillWork {
    const { library, levels, totals } = this.#options;
    const { settings, pacer } = library.deps;
    const open = (model: string) => cursorOf(this.#progress, model).open;
    return Object.freeze({
      levels,
      pageRecords: settings.replication.pageRecords,
      get maxConcurrency() {
        return pacer.pagesAtOnce;
      },
      signal: this.#abort.signal,
      peers: () => this.#servable().map(({ peer }) => peer),
      onPeersChanged: (listener) => {
        this.#listeners.add(listener);
        return subscription(() => this.#listeners.delete(listener));
      },
      open: (model) => open(model).map(([after, upTo]) => ({ model, after, upTo })),
      remaining: (model) => Math.max(0, (totals[model] ?? 0) - cursorOf(this.#progress, model).done),
      bounds: (request) => this.#call(() => this.#bounds(request)),
      fetch: (request) => this.#call(() => this.#fetch(request)),
      apply: (page) => this.#call(() => this.#apply(page)),
    } satisfies BackfillWork);
  }

  async #bounds({ peer, range, every, limit }: Parameters<BackfillWork["bounds"]>[0]): Promise<readonly string[]> {
    const stretch = this.#openStretch(range);
    for (const [value, most] of [
      [every, 10_000],
      [limit, MAX_BOUNDS],
    ] as const) {
      if (!Number.isInteger(value) || value < 1 || value > most) throw refused(`${value} is not within 1 and ${most}`);
    }
    const model = this.#options.library.deps.registry.byName.get(range.model);
    if (model === undefined) return [];
    return await this.#ask(peer, async (source) => {
      const survey = { stretch, every, limit };
      const bounds = await source.bounds(model.name, survey);
      checkBounds(model, survey, bounds);
      return bounds;
    });
  }

  async #fetch({ peer, range, maxBytes }: Parameters<BackfillWork["fetch"]>[0]): Promise<BackfillPage> {
    const stretch = this.#openStretch(range);
    if (maxBytes !== undefined && !(Number.isInteger(maxBytes) && maxBytes >= 1_024)) {
      throw refused("`maxBytes` is no integer from 1,024 on");
    }
    const { model } = range;
    const limit = this.#options.library.deps.settings.replication.pageRecords;
    return await this.#ask(peer, async (source) => {
      await this.#enlist(source);
      const { answer, bytes } = await source.page({ model, stretch, limit, maxBytes });
      const page = checkServedPage(peer, model, stretch, answer);
      const [after, upTo] = page.stretch;
      const handle = Object.freeze({ peer, model, after, upTo, records: page.count, sizeBytes: bytes });
      this.#pages.set(handle, { source, page });
      return handle;
    });
  }

  #apply(handle: BackfillPage): Promise<void> {
    const fetched = this.#pages.get(handle);
    if (fetched === undefined) throw refused("a page was not fetched in this backfill, or has been applied before");
    this.#pages.delete(handle);
    const applied = this.#applying.then(() => this.#applyNow(fetched));
    this.#applying = applied.catch(() => {});
    return applied;
  }

  async #applyNow({ source, page }: Fetched): Promise<void> {
    const { library, totals, inspect } = this.#options;
    const { model } = page;
    if (this.#over) throw refused("the backfill is over");
    if (!isWithin(cursorOf(this.#progress, model).open, page.stretch)) {
      throw refused("the range of a page is not open any more");
    }
    const { record, last, parked } = await this.#blaming(source, () =>
      applyServedPage(library, page, { order: this.#order, servers: this.#servers, inspect }),
    );
    this.#progress = record;
    const { done } = cursorOf(record, model);
    library.deps.events.emit("backfillProgress", {
      peer: page.peer,
      model,
      done,
      total: Math.max(totals[model] ?? 0, done),
      allDone: this.done,
      allTotal: record.total,
    });
    if (last) this.#end(null);
    else if (parked > 0) this.#fetchTargets(source, page);
  }

  /** What has been made since the range that it belongs to was taken in. Nobody waits for it. */
  #fetchTargets({ peer, fetch }: BackfillSource, { model: name, records }: ServedPage): void {
    const { library } = this.#options;
    const model = library.deps.registry.byName.get(name);
    if (model === undefined) return;
    const inTurn = (work: () => Promise<void>) => {
      const done = this.#applying.then(() => {
        if (this.#over) throw refused("the backfill is over");
        return work();
      });
      this.#applying = done.catch(() => {});
      return done;
    };
    const identities = records.groups.flatMap((group) => group.r.map(([identity]) => identity));
    fetchTargets({ library, peer, fetch, inTurn, asked: this.#askedFor }, { model, records: identities }).catch(
      (error: unknown) => {
        // It comes with the next catch-up; and what is wrong with the peer shows with its pages.
        library.deps.logger.debug("What records of a backfill refer to could not be fetched ahead", { peer, error });
      },
    );
  }

  /** The range as a stretch, if it is open. */
  #openStretch({ model, after, upTo }: BackfillRange): Stretch {
    const known = this.#order.includes(model);
    if (!known || !isWithin(cursorOf(this.#progress, model).open, [after, upTo])) {
      throw refused(`a range of "${model}" is not open`);
    }
    return [after, upTo];
  }

  #servable(): readonly BackfillSource[] {
    const { first, sources } = this.#options;
    const servable = sources().filter((source) => !this.#useless.has(source));
    return servable.includes(first) ? [first, ...servable.filter((source) => source !== first)] : servable;
  }

  async #ask<T>(peer: string, request: (source: BackfillSource) => Promise<T>): Promise<T> {
    const source = this.#servable().find((candidate) => candidate.peer === peer);
    if (source === undefined) {
      const gone = replicationErrors.sessionLost({ reason: "the peer does not serve any more" });
      this.#peerErrors.add(gone);
      throw gone;
    }
    const asked = this.#asked.get(source) ?? 0;
    if (asked >= MOST_ASKED_AT_ONCE)
      throw refused(`${peer} was asked for more than ${MOST_ASKED_AT_ONCE} things at once`);
    this.#asked.set(source, asked + 1);
    try {
      return await this.#blaming(source, () => request(source));
    } finally {
      this.#asked.set(source, this.#asked.get(source)! - 1);
    }
  }

  /** What a server has is noted, durably, before its first page is asked for. */
  #enlist(source: BackfillSource): Promise<void> {
    let enlisted = this.#enlisted.get(source);
    if (enlisted === undefined) {
      enlisted = this.#takeIn(source);
      this.#enlisted.set(source, enlisted);
      enlisted.catch(() => this.#enlisted.delete(source));
    }
    return enlisted;
  }

  async #takeIn(source: BackfillSource): Promise<void> {
    const { library } = this.#options;
    await source.begin();
    const plan = await source.plan();
    const useful = await library.write("backfill plan", (tx) => !this.#over && noteFurtherPlan(library, tx, plan));
    if (!useful) {
      this.#useless.add(source);
      throw replicationErrors.backfillPeerBehind({ peer: source.peer });
    }
    this.#servers.add(source.peer);
  }

  /** What goes wrong here is the peer's matter: it ends the session with it, unless it only can't serve. */
  async #blaming<T>(source: BackfillSource, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const error = isTidemarkError(cause) ? cause : replicationErrors.internal({ cause });
      this.#peerErrors.add(error);
      this.#lastError = error;
      if (!HARMLESS.has(error.code)) source.fail(error);
      // What was noted is void for all, not only for the one who told.
      if (error.code === "TIDEMARK_BACKFILL_OUTDATED") this.#end(error);
      this.sourcesChanged();
      throw error;
    }
  }

  /** Counts the calls that are under way: with none for long, the scheduler has lost its way. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#over) throw refused("the backfill is over");
    this.#busy += 1;
    this.#silence?.dispose();
    try {
      return await work();
    } finally {
      this.#busy -= 1;
      this.#listen();
    }
  }

  #listen(): void {
    if (this.#busy > 0 || this.#over) return;
    const { clock, settings } = this.#options.library.deps;
    const timeoutMs = settings.replication.requestTimeoutMs;
    this.#silence?.dispose();
    this.#silence = clock.setTimeout(
      () => this.#fail({ reason: `it had nothing under way for ${timeoutMs} ms` }),
      timeoutMs,
    );
  }
}

const HARMLESS = new Set(["TIDEMARK_PEER_NOT_READY", "TIDEMARK_BACKFILL_PEER_BEHIND"]);

function refused(reason: string) {
  return replicationErrors.backfillCallRefused({ reason });
}
