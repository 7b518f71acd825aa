// A backfill without records: models of numbered ones, peers that answer when the clock says so, and an account of what was
// asked, as strict as the kernel's. Identities are numbers of three digits.

import { ManualClock, RecordingLogger } from "@tidemark/core/testing";
import { type BackfillPage, type BackfillRange, type BackfillWork, TidemarkError } from "@tidemark/plugin-api";
import { ParallelRun } from "./parallel-run.js";
import { type ParallelBackfillSettings, parallelBackfillSettings } from "./settings.js";

export interface FakePeer {
  /** Time to answer, in milliseconds. */
  latencyMs: number;
}

export interface FakeBackfill {
  /** Records by model, by level. */
  readonly levels: readonly Readonly<Record<string, number>>[];
  readonly pageRecords?: number;
  readonly settings?: ParallelBackfillSettings;
  readonly peers: Readonly<Record<string, FakePeer>>;
  /** How long a page takes to apply, in milliseconds. Default 1. */
  readonly applyMs?: number;
}

type Request = BackfillRange & { readonly peer: string; readonly atMs: number; readonly maxBytes: number | undefined };

const end = (upTo: string | null) => (upTo === null ? Number.POSITIVE_INFINITY : Number(upTo));
const start = (after: string | null) => (after === null ? 0 : Number(after));
export const identity = (n: number) => String(n).padStart(3, "0");

export class FakeWork implements BackfillWork {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly levels: readonly (readonly string[])[];
  readonly pageRecords: number;
  readonly fetches: Request[] = [];
  readonly surveys: (BackfillRange & { readonly peer: string })[] = [];
  /** In the order in which they were applied. */
  readonly applied: BackfillPage[] = [];
  maxConcurrency = Number.POSITIVE_INFINITY;
  /** Pages that were asked for and are not applied, and the most of them at a time. */
  inWork = 0;
  mostInWork = 0;
  readonly mostOf = new Map<string, number>();
  /** Records that fit into a page; fewer than `pageRecords` where values are large. */
  fitting = Number.POSITIVE_INFINITY;
  /** The next page to be applied fails, and with it its peer. */
  refuseNext = false;
  readonly #sizes: ReadonlyMap<string, number>;
  /** From (exclusive) and to (inclusive). */
  readonly #open: Map<string, (readonly [from: number, to: number])[]>;
  readonly #peers: Map<string, FakePeer>;
  readonly #waiting = new Map<string, Set<(error: TidemarkError) => void>>();
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #unapplied = new Set<BackfillPage>();
  readonly #applyMs: number;
  readonly #run: ParallelRun;
  #applying: Promise<unknown> = Promise.resolve();

  constructor({ levels, peers, pageRecords = 10, settings = {}, applyMs = 1 }: FakeBackfill) {
    this.levels = levels.map((level) => Object.keys(level));
    this.pageRecords = pageRecords;
    this.#sizes = new Map(levels.flatMap((level) => Object.entries(level)));
    this.#open = new Map(this.levels.flat().map((model) => [model, [[0, Number.POSITIVE_INFINITY]]]));
    this.#peers = new Map(Object.entries(peers));
    this.#applyMs = applyMs;
    this.#run = new ParallelRun({
      work: this,
      settings: parallelBackfillSettings.parse(settings),
      clock: this.clock,
      logger: this.logger,
    });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Runs to the end; resolves with how long it took, in milliseconds. */
  async run({
    stepMs = 1,
    during = () => {},
  }: {
    stepMs?: number;
    during?: (ms: number) => void;
  } = {}): Promise<number> {
    let outcome: { readonly error: unknown } | null = null;
    this.#run.run().then(
      () => {
        outcome = { error: null };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    for (let ms = 0; ms < 100_000; ms += stepMs) {
      during(ms);
      await this.clock.advance(stepMs);
      if (outcome !== null) {
        const { error } = outcome as { readonly error: unknown };
        if (error !== null) throw error;
        return ms;
      }
    }
    throw new Error("it never ended");
  }

  peers(): readonly string[] {
    return [...this.#peers.keys()];
  }

  onPeersChanged(listener: () => void) {
    this.#listeners.add(listener);
    return { dispose: () => this.#listeners.delete(listener) };
  }

  open(model: string): readonly BackfillRange[] {
    return this.#open.get(model)!.map(([from, to]) => ({
      model,
      after: from === 0 ? null : identity(from),
      upTo: to === Number.POSITIVE_INFINITY ? null : identity(to),
    }));
  }

  /** Takes a part out of what is open, as if it had come in an earlier run. */
  close(model: string, after: number, upTo: number): void {
    this.#cover({ model, after: after === 0 ? null : identity(after), upTo: identity(upTo) });
  }

  remaining(model: string): number {
    return this.#open
      .get(model)!
      .reduce((sum, [from, to]) => sum + Math.max(0, Math.min(to, this.#sizes.get(model)!) - from), 0);
  }

  /** The peer goes, and all that it was asked for fails. */
  lose(peer: string): void {
    this.#peers.delete(peer);
    const waiting = [...(this.#waiting.get(peer) ?? [])];
    this.#waiting.delete(peer);
    for (const fail of waiting) fail(failure("TIDEMARK_SESSION_LOST"));
    this.#tell();
  }

  join(peer: string, fake: FakePeer): void {
    this.#peers.set(peer, fake);
    this.#tell();
  }

  stop(): void {
    this.#abort.abort();
  }

  async bounds({ peer, range, every, limit }: Parameters<BackfillWork["bounds"]>[0]): Promise<readonly string[]> {
    this.surveys.push({ ...range, peer });
    this.#check(range);
    await this.#answer(peer);
    const bounds: string[] = [];
    const last = Math.min(end(range.upTo), this.#sizes.get(range.model)!);
    for (let n = start(range.after) + every; n <= last && bounds.length < limit; n += every) bounds.push(identity(n));
    return bounds;
  }

  async fetch({ peer, range, maxBytes }: Parameters<BackfillWork["fetch"]>[0]): Promise<BackfillPage> {
    this.#check(range);
    this.fetches.push({ ...range, peer, maxBytes, atMs: this.clock.monotonicMs() });
    this.inWork += 1;
    this.mostInWork = Math.max(this.mostInWork, this.inWork);
    try {
      await this.#answer(peer);
    } catch (error) {
      this.inWork -= 1;
      throw error;
    }
    const first = start(range.after);
    const room = Math.min(this.pageRecords, this.fitting);
    const there = Math.max(0, Math.min(end(range.upTo), this.#sizes.get(range.model)!) - first);
    const records = Math.min(room, there);
    // Like a server, it can't tell that a full page is the last one.
    const upTo = records < room ? range.upTo : identity(first + records);
    const page = { ...range, upTo, peer, records, sizeBytes: records * 10 };
    this.#unapplied.add(page);
    return page;
  }

  apply(page: BackfillPage): Promise<void> {
    if (!this.#unapplied.delete(page)) return Promise.reject(failure("TIDEMARK_BACKFILL_CALL_REFUSED"));
    const applied = this.#applying.then(async () => {
      await new Promise<void>((resolve) => this.clock.setTimeout(resolve, this.#applyMs));
      this.inWork -= 1;
      if (this.refuseNext && this.#peers.size > 1) {
        this.refuseNext = false;
        this.lose(page.peer);
        throw failure("TIDEMARK_WIRE_MALFORMED");
      }
      this.#check(page);
      this.#cover(page);
      this.applied.push(page);
    });
    this.#applying = applied.catch(() => {});
    return applied;
  }

  /** Pages that were given up without being applied. */
  get dropped(): number {
    return this.#unapplied.size;
  }

  /** Pages in work that a peer was asked for and has not sent. */
  askedOf(peer: string): number {
    return this.#waiting.get(peer)?.size ?? 0;
  }

  async #answer(peer: string): Promise<void> {
    const fake = this.#peers.get(peer);
    if (fake === undefined) throw failure("TIDEMARK_SESSION_LOST");
    const waiting = this.#waiting.get(peer) ?? new Set();
    this.#waiting.set(peer, waiting);
    await new Promise<void>((resolve, reject) => {
      const timer = this.clock.setTimeout(() => {
        waiting.delete(fail);
        resolve();
      }, fake.latencyMs);
      const fail = (error: TidemarkError) => {
        timer.dispose();
        reject(error);
      };
      waiting.add(fail);
      this.mostOf.set(peer, Math.max(this.mostOf.get(peer) ?? 0, waiting.size));
    });
  }

  #tell(): void {
    if (this.#peers.size === 0) this.#abort.abort();
    for (const listener of [...this.#listeners]) listener();
  }

  #check({ model, after, upTo }: BackfillRange): void {
    const inside = (this.#open.get(model) ?? []).some(([from, to]) => from <= start(after) && end(upTo) <= to);
    if (!inside || start(after) >= end(upTo)) throw failure("TIDEMARK_BACKFILL_CALL_REFUSED");
  }

  #cover({ model, after, upTo }: BackfillRange): void {
    const left = this.#open.get(model)!.flatMap(([from, to]) => {
      if (start(after) < from || end(upTo) > to) return [[from, to] as const];
      return (
        [
          [from, start(after)],
          [end(upTo), to],
        ] as const
      ).filter(([first, last]) => first < last);
    });
    this.#open.set(model, left);
  }
}

function failure(code: string): TidemarkError {
  return new TidemarkError({ code, what: "A call failed", why: "the test says so", advice: "Go on" });
}
