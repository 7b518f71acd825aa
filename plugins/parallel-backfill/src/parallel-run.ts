// One backfill: surveys what is open, asks for pages side by side, and applies them level after level. It holds at most so
// many pages at once as the settings and the kernel's advice allow, and knows nothing of what is in them.

import {
  type BackfillPage,
  type BackfillRange,
  type BackfillWork,
  type Clock,
  isTidemarkError,
  type Logger,
} from "@tidemark/plugin-api";
import { Servers } from "./servers.js";
import type { ResolvedParallelBackfillSettings } from "./settings.js";

export interface ParallelRunDeps {
  readonly work: BackfillWork;
  readonly settings: ResolvedParallelBackfillSettings;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The ranges of one level of the reference graph. */
interface Level {
  readonly models: readonly string[];
  /** To be fetched, a page or less each. */
  readonly queue: BackfillRange[];
  /** Longer than a page, perhaps: to be divided first. */
  readonly long: BackfillRange[];
  surveys: number;
  /** Asked for and not applied. */
  pages: number;
}

interface HeldPage {
  readonly level: Level;
  readonly page: BackfillPage;
}

const SURVEYS_AT_ONCE = 2;
/** Bounds in one survey: few enough that a peer serves pages in between. */
const SURVEY_BOUNDS = 256;

export class ParallelRun {
  readonly #deps: ParallelRunDeps;
  readonly #levels: readonly Level[];
  readonly #servers: Servers;
  readonly #maxBytes: number;
  /** The level whose pages are applied; those of later ones are held. */
  #current = 0;
  /** In the order in which they came. */
  readonly #held: HeldPage[] = [];
  #surveys = 0;
  #pages = 0;
  #finish!: { readonly resolve: () => void; readonly reject: (error: unknown) => void };
  #over = false;

  constructor(deps: ParallelRunDeps) {
    const { work, settings } = deps;
    this.#deps = deps;
    this.#levels = work.levels.map((models) => ({ models, queue: [], long: [], surveys: 0, pages: 0 }));
    this.#servers = new Servers(settings);
    this.#maxBytes = Math.floor(settings.maxBytesInFlight / settings.concurrency);
  }

  /** Resolves when everything is applied, or when the kernel has ended it. */
  async run(): Promise<void> {
    const { work } = this.#deps;
    const end = () => this.#finish.resolve();
    const peers = work.onPeersChanged(() => this.#goOn());
    work.signal.addEventListener("abort", end, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#finish = { resolve, reject };
        for (const level of this.#levels) this.#collect(level);
        this.#goOn();
      });
    } finally {
      this.#over = true;
      work.signal.removeEventListener("abort", end);
      peers.dispose();
    }
  }

  /** Does whatever can be done now; called whenever something has happened. */
  #goOn(): void {
    if (this.#over) return;
    this.#completeLevels();
    if (this.#current === this.#levels.length) {
      this.#finish.resolve();
      return;
    }
    while (this.#surveys < SURVEYS_AT_ONCE && this.#surveyNext()) {}
    while (this.#fetchNext()) {}
  }

  #completeLevels(): void {
    for (; this.#current < this.#levels.length; this.#current++) {
      const level = this.#levels[this.#current]!;
      for (const held of this.#held.splice(0)) {
        if (held.level === level) this.#apply(held);
        else this.#held.push(held);
      }
      if (isBusy(level)) return;
      // A server may have said that a range goes on where it did not; the kernel knows what is really here.
      this.#collect(level);
      if (isBusy(level)) return;
    }
  }

  /** Takes up what is open. */
  #collect({ models, queue, long }: Level): void {
    const { work } = this.#deps;
    for (const model of models) {
      const target = work.remaining(model) > work.pageRecords ? long : queue;
      target.push(...work.open(model));
    }
  }

  #surveyNext(): boolean {
    const { work } = this.#deps;
    const level = this.#levels.slice(this.#current).find(({ long }) => long.length > 0);
    const peer = this.#servers.quickest(work.peers());
    if (level === undefined || peer === null) return false;
    const range = level.long.shift()!;
    this.#surveys += 1;
    level.surveys += 1;
    this.#follow(
      work.bounds({ peer, range, every: work.pageRecords, limit: SURVEY_BOUNDS }),
      (bounds) => this.#divide(level, range, bounds),
      () => level.long.unshift(range),
      () => {
        this.#surveys -= 1;
        level.surveys -= 1;
      },
    );
    return true;
  }

  #divide({ queue, long }: Level, range: BackfillRange, bounds: readonly string[]): void {
    let { after } = range;
    for (const upTo of bounds) {
      queue.push({ ...range, after, upTo });
      after = upTo;
    }
    if (after !== null && after === range.upTo) return;
    (bounds.length === SURVEY_BOUNDS ? long : queue).push({ ...range, after });
  }

  #fetchNext(): boolean {
    const { work, clock, settings } = this.#deps;
    const level = this.#levels
      .slice(this.#current)
      .find(({ queue, long, surveys }) => queue.length > 0 || long.length > 0 || surveys > 0);
    const range = level?.queue[0];
    if (level === undefined || range === undefined) return false;
    if (this.#pages >= Math.min(settings.concurrency, work.maxConcurrency)) {
      // Held pages wait for those before them: they must not be what those wait for.
      if (level === this.#levels[this.#current] && level.pages === 0) this.#letGo();
      return false;
    }
    const peer = this.#servers.next(work.peers());
    if (peer === null) return false;
    level.queue.shift();
    this.#pages += 1;
    level.pages += 1;
    const askedMs = clock.monotonicMs();
    this.#servers.asked(peer);
    this.#follow(
      work.fetch({ peer, range, maxBytes: this.#maxBytes }),
      (page) => {
        this.#servers.answered(peer, clock.monotonicMs() - askedMs);
        if (page.upTo !== range.upTo) level.queue.unshift({ ...range, after: page.upTo });
        if (level === this.#levels[this.#current]) this.#apply({ level, page });
        else this.#held.push({ level, page });
      },
      () => {
        this.#servers.failed(peer);
        this.#release(level, range);
      },
    );
    return true;
  }

  #apply({ level, page }: HeldPage): void {
    this.#follow(
      this.#deps.work.apply(page),
      () => {
        this.#pages -= 1;
        level.pages -= 1;
      },
      () => this.#release(level, page),
    );
  }

  /** Gives the last of the held pages up, to be fetched again. */
  #letGo(): void {
    const last = this.#held.pop();
    if (last === undefined) return;
    this.#release(last.level, last.page);
    this.#goOn();
  }

  /** Puts the range of a page that is not in work any more back, to be fetched next. */
  #release(level: Level, { model, after, upTo }: BackfillRange): void {
    this.#pages -= 1;
    level.pages -= 1;
    level.queue.unshift({ model, after, upTo });
  }

  /** Goes on when a call has ended. That a peer fails is nobody's fault; its work goes to another. */
  #follow<T>(call: Promise<T>, done: (result: T) => void, failed: () => void, ended: () => void = () => {}): void {
    call
      .then(
        (result) => {
          ended();
          done(result);
        },
        (error: unknown) => {
          ended();
          if (this.#over) return;
          if (!isTidemarkError(error) || error.code === "TIDEMARK_BACKFILL_CALL_REFUSED") throw error;
          this.#deps.logger.debug("A range goes to another peer", { code: error.code, reason: error.why });
          failed();
        },
      )
      .then(() => this.#goOn())
      .catch((error: unknown) => this.#finish.reject(error));
  }
}

function isBusy({ queue, long, surveys, pages }: Level): boolean {
  return queue.length > 0 || long.length > 0 || surveys > 0 || pages > 0;
}
