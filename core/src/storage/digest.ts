import { createHash } from "node:crypto";
import type { Clock, WireValue } from "@tidemark/plugin-api";
import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "./database.js";
import type { RecordReader } from "./record-reader.js";

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
const SLICE_MS = 8;

/** The digest of all visible records of a model. */
export function digestModel(options: DigestOptions): Promise<ModelDigest> {
  return digestRange({ ...options, after: null, upTo: null });
}

/** The digest of the records from `after` (exclusive) to `upTo` (inclusive); null means no bound. */
export async function digestRange({
  db,
  model,
  reader,
  clock,
  shouldYield,
  after,
  upTo,
}: DigestOptions & { readonly after: string | null; readonly upTo: string | null }): Promise<ModelDigest> {
  const names = model.columns.map((column) => column.name).sort();
  const positions = names.map((name) => model.columns.findIndex((column) => column.name === name));
  const hash = createHash("sha256").update(JSON.stringify([model.name, ...names]));
  let rows = 0;
  const own = !db.inTransaction;
  let sliceStart = clock.monotonicMs();
  if (own) db.exec("BEGIN");
  try {
    let from = after;
    for (;;) {
      const page = reader.readPage(db, model, { after: from, upTo, limit: PAGE });
      if (page.rows.length > 0) {
        const records = page.rows.map(({ identity, values }) => inOrder(identity, values, positions));
        // Without the outer brackets, so that it makes no difference where a page ends.
        hash.update(`,${JSON.stringify(records).slice(1, -1)}`);
        rows += records.length;
      }
      if (page.next === null) break;
      from = page.next;
      if (shouldYield ? shouldYield() : clock.monotonicMs() - sliceStart >= SLICE_MS) {
        await new Promise<void>((resolve) => clock.setImmediate(resolve));
        sliceStart = clock.monotonicMs();
      }
    }
  } finally {
    if (own && db.inTransaction) db.exec("COMMIT");
  }
  return { model: model.name, rows, digest: hash.digest("hex") };
}

function inOrder(identity: string, values: readonly WireValue[], positions: readonly number[]): WireValue[] {
  const record: WireValue[] = [identity];
  for (const position of positions) record.push(values[position]!);
  return record;
}
