import { createHash, type Hash } from "node:crypto";
import type { Clock, WireValue } from "@tidemark/plugin-api";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import { ReadingSlices } from "./reading-slices.js";
import type { RecordPage, RecordReader, RecordRow } from "./record-reader.js";

/**
 * A digest of a model's visible records: equal on two devices exactly if the records are. It is taken over wire form, so
 * local keys, local numbers and database names have no part in it. It reads only, in slices, from one snapshot.
 *
 * What is hashed, with SHA-256, is JSON: an array of the model's name and its column names, sorted; then, for each
 * record in the order of identities, a comma and an array of the identity and its values in the order of those names.
 */
export interface ModelDigest {
  /** Wire name. */
  readonly model: string;
  /** How many records it covers. */
  readonly rows: number;
  /** Hexadecimal. */
  readonly digest: string;
}

export interface DigestOptions {
  /**
   * A connection that nobody else uses meanwhile. Unless it is in a transaction already, which then is the snapshot, one
   * is held from the first to the last slice.
   */
  readonly db: Sqlite;
  readonly model: SyncModel;
  readonly reader: RecordReader;
  readonly clock: Clock;
  /** Asked after every page whether the event loop should have its turn. Default: after 8 ms. */
  readonly shouldYield?: () => boolean;
}

const PAGE = 500;
/** Hexadecimal digits of a single record's digest: 128 bits. */
const RECORD_DIGITS = 32;

interface Bounds {
  readonly after: string | null;
  readonly upTo: string | null;
}

/** The records of a range page after page, with a turn of the event loop where the slices are due for one. */
async function* pagesOf(
  { db, model, reader, clock, shouldYield }: DigestOptions,
  { after, upTo, limit }: Bounds & { readonly limit: number },
): AsyncGenerator<RecordPage> {
  const slices = new ReadingSlices({ clock, shouldYield });
  for (let from = after; ; ) {
    const page = reader.readPage(db, model, { after: from, upTo, limit });
    yield page;
    if (page.next === null) return;
    from = page.next;
    await slices.pause();
  }
}

/** The digest of all visible records of a model. */
export function digestModel(options: DigestOptions): Promise<ModelDigest> {
  return digestRange({ ...options, after: null, upTo: null });
}

/** The digest of the records from `after` (exclusive) to `upTo` (inclusive); null means no bound. */
export async function digestRange(options: DigestOptions & Bounds): Promise<ModelDigest> {
  const { db, model } = options;
  const hash = new ModelHash(model);
  const own = !db.inTransaction;
  if (own) db.exec("BEGIN");
  try {
    for await (const { rows } of pagesOf(options, { ...options, limit: PAGE })) hash.add(rows);
  } finally {
    if (own && db.inTransaction) db.exec("COMMIT");
  }
  return { model: model.name, ...hash.finish() };
}

/** The digest of one of the ranges that follow each other; null: it goes to the end of the model. */
export interface RangeDigest {
  readonly upTo: string | null;
  readonly rows: number;
  /** As of {@link digestRange}. */
  readonly digest: string;
}

/**
 * Digests of up to `ranges` ranges of `records` records each, from behind `after`; the last may have fewer. The caller
 * holds the snapshot.
 */
export async function digestRanges(
  options: DigestOptions & Pick<Bounds, "after"> & { readonly records: number; readonly ranges: number },
): Promise<readonly RangeDigest[]> {
  const { model, after, records, ranges } = options;
  const found: RangeDigest[] = [];
  for await (const { rows, next } of pagesOf(options, { after, upTo: null, limit: records })) {
    const hash = new ModelHash(model);
    hash.add(rows);
    found.push({ upTo: next, ...hash.finish() });
    if (found.length === ranges) break;
  }
  return found;
}

/** A record, and what its values are in short: equal on two devices exactly if the record is, in practice. */
export type RecordDigest = readonly [identity: string, digest: string];

/** Calls `take` with the records of a range, one after the other, until it answers false. The caller holds the snapshot. */
export async function digestRecords(
  options: DigestOptions & Bounds & { readonly take: (record: RecordDigest) => boolean },
): Promise<void> {
  const { positions } = namesOf(options.model);
  for await (const { rows } of pagesOf(options, { ...options, limit: PAGE })) {
    for (const { identity, values } of rows) {
      const text = JSON.stringify(inOrder(identity, values, positions));
      if (!options.take([identity, createHash("sha256").update(text).digest("hex").slice(0, RECORD_DIGITS)])) return;
    }
  }
}

/** The names of a model's columns in the order in which they are digested. */
export function digestedColumns(model: SyncModel): readonly string[] {
  return namesOf(model).names;
}

function namesOf(model: SyncModel): { readonly names: readonly string[]; readonly positions: readonly number[] } {
  const names = model.columns.map((column) => column.name).sort();
  return { names, positions: names.map((name) => model.columns.findIndex((column) => column.name === name)) };
}

/** The digest of records of one model that are given in their order, in any number of portions. */
class ModelHash {
  readonly #positions: readonly number[];
  readonly #hash: Hash;
  #rows = 0;

  constructor(model: SyncModel) {
    const { names, positions } = namesOf(model);
    this.#positions = positions;
    this.#hash = createHash("sha256").update(JSON.stringify([model.name, ...names]));
  }

  add(rows: readonly RecordRow[]): void {
    if (rows.length === 0) return;
    const records = rows.map(({ identity, values }) => inOrder(identity, values, this.#positions));
    // Without the outer brackets, so that it makes no difference where a page ends.
    this.#hash.update(`,${JSON.stringify(records).slice(1, -1)}`);
    this.#rows += rows.length;
  }

  finish(): { readonly rows: number; readonly digest: string } {
    return { rows: this.#rows, digest: this.#hash.digest("hex") };
  }
}

function inOrder(identity: string, values: readonly WireValue[], positions: readonly number[]): WireValue[] {
  const record: WireValue[] = [identity];
  for (const position of positions) record.push(values[position]!);
  return record;
}
