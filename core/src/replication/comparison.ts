import type { ModelVerification, RecordDifference } from "../kernel/verification.js";
import { compareIdentities } from "../registry/identity-form.js";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { digestedColumns, digestRange, digestRecords, type RangeDigest } from "../storage/digest.js";
import { readState } from "../storage/log-transaction.js";
import { loadParked } from "../storage/parked.js";
import { readInCalm, type Unrest } from "./calm.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { MAX_RANGE_RECORDS, MAX_RANGES, type MessageOf } from "./messages.js";

/**
 * The asking side of a comparison: walks a model range by range, compares digests, and names the records of ranges that
 * differ. Every range is compared at a moment when neither side has anything that the other one has not applied; a side
 * that has is asked again a few times, and then the rest of the library counts as not comparable now. It changes nothing.
 */
export interface ComparedPeer {
  /** Origin id. */
  readonly peer: string;
  /** The peer has applied this device's log up to here; null while something is on its way to it. */
  appliedUpTo(): number | null;
  /** What waits to be sent to it is to go. */
  nudge(): void;
  digests(question: Question<"digests">): Promise<MessageOf<"digested">>;
  list(question: Question<"list">): Promise<MessageOf<"listed">>;
  fetch(model: string, records: readonly string[]): Promise<MessageOf<"fetched">>;
}

type Question<T extends "digests" | "list"> = Omit<MessageOf<T>, "t" | "request">;

/** A side that is not at rest is asked again so often, each time a little later: about seven seconds in all. */
const ATTEMPTS = 8;
const PAUSE_MS = 250;
/** Differing ranges that are named, per model. */
const MAX_NAMED_RANGES = 100;

const WHY: Readonly<Record<"here" | "there", Readonly<Record<Unrest, string>>>> = {
  here: {
    unfolded: "this device's own records keep changing",
    unsent: "the peer has not yet applied all that this device has",
    unsettled: "records of this device are to be restored, or wait for their time",
  },
  there: {
    unfolded: "the peer's own records keep changing",
    unsent: "this device has not yet applied all that the peer has",
    unsettled: "records of the peer are to be restored, or wait for their time",
  },
};

/** A moment of calm did not come. */
class NoCalm {
  constructor(readonly why: string) {}
}

export class Comparison {
  readonly #library: LocalLibrary;
  readonly #peer: ComparedPeer;
  readonly #maxDifferences: number;
  /** Ranges to ask for at once: fewer while one of the sides is hardly ever at rest. */
  #ranges = MAX_RANGES;

  /** `maxDifferences`: so many records are named per model. */
  constructor(library: LocalLibrary, peer: ComparedPeer, maxDifferences: number) {
    this.#library = library;
    this.#peer = peer;
    this.#maxDifferences = maxDifferences;
  }

  /** Compares models, in this order. */
  async compare(models: readonly SyncModel[]): Promise<readonly ModelVerification[]> {
    const found: ModelVerification[] = [];
    let restless: string | null = null;
    for (const model of models) {
      const result: ModelVerification =
        restless === null ? await this.#compareModel(model) : notComparable(model, restless);
      found.push(result);
      if (result.notComparable === "busy") restless = result.reason;
    }
    return found;
  }

  async #compareModel(model: SyncModel): Promise<ModelVerification> {
    const total = new Findings(this.#maxDifferences);
    let after: string | null = null;
    for (;;) {
      const outcome: { readonly next: string | null } | ModelVerification = await this.#compareRanges(
        model,
        after,
        total,
      );
      if ("outcome" in outcome) return outcome;
      if (outcome.next === null) return total.of(model);
      after = outcome.next;
    }
  }

  /** Compares as many ranges as one answer holds; tells where to go on, or the outcome if there is no going on. */
  async #compareRanges(
    model: SyncModel,
    after: string | null,
    total: Findings,
  ): Promise<{ readonly next: string | null } | ModelVerification> {
    const compared = await this.#inCalm(
      model,
      (ranges) => this.#peer.digests({ model: model.name, after, records: MAX_RANGE_RECORDS, ranges }),
      (db, answer) => this.#ownDigests(db, model, after, answer),
    );
    if (compared instanceof NoCalm) return notComparable(model, compared.why, "busy", total);
    const { answer, value: own } = compared;
    const columns = digestedColumns(model);
    if (answer.columns === null) return notComparable(model, "the peer does not have this model", "version");
    if (JSON.stringify(answer.columns) !== JSON.stringify(columns)) {
      return notComparable(model, `its columns differ: ${difference(columns, answer.columns)}`, "version");
    }
    let start = after;
    for (const [index, theirs] of answer.ranges.entries()) {
      const mine = own[index]!;
      total.count(mine.rows, theirs.rows);
      if (mine.digest !== theirs.digest) {
        const listed = await this.#listRange(model, start, theirs.upTo, total);
        if (listed !== null) return notComparable(model, listed.why, "busy", total);
      }
      start = theirs.upTo;
    }
    return { next: start };
  }

  /** This device's digests of the ranges that the peer has chosen. */
  async #ownDigests(
    db: Sqlite,
    model: SyncModel,
    after: string | null,
    { columns, ranges }: MessageOf<"digested">,
  ): Promise<readonly RangeDigest[]> {
    const { reader, clock } = this.#library.deps;
    if (columns === null) return [];
    if (ranges.length === 0) throw replicationErrors.malformed({ reason: "digests of no range" });
    const own: RangeDigest[] = [];
    let from = after;
    for (const [index, { upTo }] of ranges.entries()) {
      if (upTo === null ? index < ranges.length - 1 : from !== null && compareIdentities(upTo, from) <= 0) {
        throw replicationErrors.malformed({ reason: "the ranges of a comparison do not go forward" });
      }
      const { rows, digest } = await digestRange({ db, model, reader, clock, after: from, upTo });
      own.push({ upTo, rows, digest });
      from = upTo;
    }
    return own;
  }

  /** Names the records of a range that differ; null when it could be compared. */
  async #listRange(
    model: SyncModel,
    after: string | null,
    upTo: string | null,
    total: Findings,
  ): Promise<NoCalm | null> {
    if (total.full) {
      total.addRange({ after, upTo }, []);
      return null;
    }
    const differences: RecordDifference[] = [];
    let start = after;
    do {
      const from = start;
      const compared = await this.#inCalm(
        model,
        () => this.#peer.list({ model: model.name, after: from, upTo }),
        (db, answer) => this.#differences(db, model, from, upTo, answer, total.room - differences.length),
      );
      if (compared instanceof NoCalm) return compared;
      differences.push(...compared.value);
      start = compared.answer.upTo;
    } while (start !== upTo && differences.length <= total.room);
    // Equal by now: what made it differ has been on its way.
    if (differences.length > 0) total.addRange({ after, upTo }, differences);
    return null;
  }

  /** One more than `room` at most, which tells that there are more. */
  async #differences(
    db: Sqlite,
    model: SyncModel,
    after: string | null,
    upTo: string | null,
    answer: MessageOf<"listed">,
    room: number,
  ): Promise<readonly RecordDifference[]> {
    const { reader, clock } = this.#library.deps;
    const forward = after === null || answer.upTo === null || compareIdentities(answer.upTo, after) > 0;
    if (!forward || (answer.upTo === null && upTo !== null)) {
      throw replicationErrors.malformed({ reason: "the list of a comparison does not go forward" });
    }
    const theirs = new Map(answer.records);
    const parkedThere = new Map(answer.parked);
    const found: { record: string; kind: RecordDifference["kind"] }[] = [];
    await digestRecords({
      db,
      model,
      reader,
      clock,
      after,
      upTo: answer.upTo,
      take: ([record, digest]) => {
        const other = theirs.get(record);
        theirs.delete(record);
        if (other === undefined) found.push({ record, kind: "only-here" });
        else if (other !== digest) found.push({ record, kind: "other-values" });
        return found.length <= room;
      },
    });
    if (found.length <= room) {
      for (const record of theirs.keys()) found.push({ record, kind: "only-there" });
    }
    found.sort((a, b) => compareIdentities(a.record, b.record));
    const named = found.slice(0, room + 1);
    const parkedHere = loadParked(
      db,
      model.number,
      named.map(({ record }) => record),
    );
    return named.map(({ record, kind }) => ({
      record,
      kind,
      parkedHere: parkedHere.get(record)?.kind ?? null,
      parkedThere: parkedThere.get(record) ?? null,
    }));
  }

  /** Asks, and reads the same here, at a moment when neither side has anything that the other one lacks. */
  async #inCalm<A extends { readonly unrest: Unrest | null }, T>(
    model: SyncModel,
    ask: (ranges: number) => Promise<A>,
    read: (db: Sqlite, answer: A) => Promise<T>,
  ): Promise<{ readonly answer: A; readonly value: T } | NoCalm> {
    const { connection, clock } = this.#library.deps;
    for (let attempt = 1; ; attempt++) {
      await this.#library.fold();
      const { sequence } = readState(connection);
      let why = WHY.here.unsent;
      if (this.#peer.appliedUpTo() === sequence) {
        const answer = await ask(this.#ranges);
        if (answer.unrest !== null) why = WHY.there[answer.unrest];
        else {
          // What the peer had applied when it was asked, it has counted; whatever came since, it may not have.
          const reading = await readInCalm(
            this.#library,
            `comparison of ${model.name}`,
            (now) => now === sequence,
            (db) => read(db, answer),
          );
          if (reading.unrest === null) {
            this.#ranges = Math.min(MAX_RANGES, this.#ranges * 2);
            return { answer, value: reading.value };
          }
          why = WHY.here[reading.unrest];
        }
      }
      if (attempt === ATTEMPTS) return new NoCalm(why);
      this.#ranges = Math.max(1, Math.floor(this.#ranges / 4));
      this.#peer.nudge();
      await new Promise<void>((resolve) => clock.setTimeout(resolve, PAUSE_MS * attempt));
    }
  }
}

/** What has been found of one model. */
class Findings {
  readonly #max: number;
  readonly #ranges: ModelVerification["ranges"][number][] = [];
  readonly #differences: RecordDifference[] = [];
  #rangesInAll = 0;
  #here = 0;
  #there = 0;
  #more = false;

  constructor(max: number) {
    this.#max = max;
  }

  /** How many differences more can be named. */
  get room(): number {
    return this.#max - this.#differences.length;
  }

  get full(): boolean {
    return this.room === 0;
  }

  count(here: number, there: number): void {
    this.#here += here;
    this.#there += there;
  }

  addRange(range: ModelVerification["ranges"][number], differences: readonly RecordDifference[]): void {
    this.#rangesInAll += 1;
    if (this.#ranges.length < MAX_NAMED_RANGES) this.#ranges.push(range);
    if (differences.length > this.room || this.full) this.#more = true;
    this.#differences.push(...differences.slice(0, this.room));
  }

  of(model: SyncModel): ModelVerification {
    return {
      model: model.name,
      outcome: this.#rangesInAll > 0 ? "different" : "equal",
      notComparable: null,
      reason: null,
      recordsHere: this.#here,
      recordsThere: this.#there,
      ranges: this.#ranges,
      rangesInAll: this.#rangesInAll,
      differences: this.#differences,
      more: this.#more,
    };
  }
}

/** What has been found so far stands. */
function notComparable(
  model: SyncModel,
  reason: string,
  cause: "busy" | "version" = "busy",
  found: Findings = new Findings(0),
): ModelVerification {
  const sofar = found.of(model);
  return {
    ...sofar,
    outcome: sofar.outcome === "different" ? "different" : "not-comparable",
    notComparable: cause,
    reason,
  };
}

function difference(here: readonly string[], there: readonly string[]): string {
  const only = (some: readonly string[], others: readonly string[]) => some.filter((name) => !others.includes(name));
  const parts = [
    [only(here, there), "only here"],
    [only(there, here), "only there"],
  ] as const;
  return parts
    .filter(([names]) => names.length > 0)
    .map(([names, where]) => `${names.map((name) => `"${name}"`).join(", ")} ${where}`)
    .join("; ");
}
