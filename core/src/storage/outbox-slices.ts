import type { Sqlite } from "./database.js";
import { BORN, DIED, lastInOutbox, type OutboxEntry, readOutbox, readOutboxUpTo, SUSPECT } from "./outbox.js";
import { prepared } from "./statements.js";

/**
 * Cuts the outbox into slices. None ends between the death of a row and the birth of one that takes its place (a
 * replacement, another identity, a table that is emptied and filled again): who inherits what refers to it is seen only
 * where both are folded together. The two may be any number of entries apart; a slice is then as long as that takes.
 *
 * Each entry is looked at once for all slices, and only where rows die in a slice and others are born behind it.
 */
export class OutboxSlices {
  /** Models that others refer to, as JSON. */
  readonly #models: string;
  /** Rows that have gone and nobody has replaced yet, by model: key and identity, and where they died. */
  readonly #gone = new Map<number, Map<string | number, number>>();
  /** From a death to its birth; those that overlap are one. In their order. */
  #spans: { readonly from: number; readonly to: number }[] = [];
  #lookedAt = 0;
  /** The last birth up to `#birthsTo`. */
  #lastBirth = 0;
  #birthsTo = 0;
  /** The last entry of the last slice. */
  #end = 0;

  constructor(referredTo: readonly number[]) {
    this.#models = JSON.stringify(referredTo);
  }

  /** The beginning of the outbox, of about `limit` entries, and whether that is all of it. */
  next(db: Sqlite, limit: number): { readonly entries: readonly OutboxEntry[]; readonly whole: boolean } {
    const entries = readOutbox(db, limit + 1);
    if (entries.length <= limit) {
      this.#forget();
      return { entries, whole: true };
    }
    entries.pop();
    // Rolled back, or the outbox was emptied and counts from 1 again.
    if (entries[0]!.seq <= this.#end) this.#forget();
    const cut = entries.at(-1)!.seq;
    const end = entries.some(({ mask }) => mask === DIED || mask === SUSPECT)
      ? this.#endOf(db, entries[0]!.seq, cut)
      : cut;
    this.#end = end;
    if (end === cut) return { entries, whole: false };
    return { entries: readOutboxUpTo(db, end), whole: end === lastInOutbox(db) };
  }

  #endOf(db: Sqlite, first: number, cut: number): number {
    this.#lookAhead(db, first);
    this.#spans = this.#spans.filter(({ to }) => to > cut);
    const across = this.#spans[0];
    return across !== undefined && across.from <= cut ? across.to : cut;
  }

  #lookAhead(db: Sqlite, first: number): void {
    const last = lastInOutbox(db);
    const birth = prepared(
      db,
      `SELECT seq FROM tidemark_outbox
       WHERE seq > ? AND mask = ${BORN} AND model IN (SELECT value FROM json_each(?)) ORDER BY seq DESC LIMIT 1`,
    )
      .pluck()
      .get(Math.max(this.#birthsTo, first - 1), this.#models) as number | undefined;
    this.#birthsTo = last;
    this.#lastBirth = birth ?? this.#lastBirth;
    const entries = prepared(
      db,
      `SELECT seq, model, record, mask, key FROM tidemark_outbox
       WHERE seq > ? AND seq <= ? AND mask < 0 AND model IN (SELECT value FROM json_each(?)) ORDER BY seq`,
    )
      .raw()
      .iterate(Math.max(this.#lookedAt, first - 1), this.#lastBirth, this.#models) as Iterable<Looked>;
    for (const [seq, model, record, mask, key] of entries) {
      let gone = this.#gone.get(model);
      if (gone === undefined) {
        gone = new Map();
        this.#gone.set(model, gone);
      }
      let from = seq;
      for (const name of key === null ? [record] : [record, key]) {
        const died = gone.get(name);
        // What an earlier slice took along is no concern of this one.
        const waits = died !== undefined && died >= first;
        if (mask !== BORN) {
          if (!waits) gone.set(name, seq);
          continue;
        }
        gone.delete(name);
        if (waits) from = Math.min(from, died);
      }
      if (from < seq) this.#join(from, seq);
    }
    this.#lookedAt = Math.max(this.#lookedAt, this.#lastBirth);
  }

  #join(from: number, to: number): void {
    let start = from;
    while (this.#spans.length > 0 && this.#spans.at(-1)!.to >= start) start = Math.min(start, this.#spans.pop()!.from);
    this.#spans.push({ from: start, to });
  }

  #forget(): void {
    this.#gone.clear();
    this.#spans = [];
    this.#lookedAt = 0;
    this.#lastBirth = 0;
    this.#birthsTo = 0;
    this.#end = 0;
  }
}

type Looked = readonly [seq: number, model: number, record: string, mask: number, key: number | null];
