import type { SyncModel } from "../registry/model.js";
import { isLiving } from "../replication/record-state.js";
import { damagedOf } from "../storage/damaged.js";
import type { Sqlite } from "../storage/database.js";
import { readState } from "../storage/log-transaction.js";
import { modelName } from "../storage/names.js";
import { outboxIsEmpty } from "../storage/outbox.js";
import { loadParked } from "../storage/parked.js";
import { presentRows } from "../storage/present-rows.js";
import type { ReadingSlices } from "../storage/reading-slices.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import { are, counted, type Examination, RESET_ADVICE, Tally } from "./examination.js";

/**
 * The log against the rows, both ways as far as it can be told: a record that the log says lives is in its table or parked,
 * one that it says is dead is in neither, and no record is in both. And the log by itself: its sequence, its times and its
 * origins fit what the rest of the sync tables says.
 */
const PAGE = 500;
const LOG_PAGE = 5_000;

export async function examineLog(examination: Examination): Promise<void> {
  const { library } = examination.patient;
  await library.fold();
  await examination.read("log", async (db, slices) => {
    await examineEntries(examination, db, slices);
    // While a local change waits for its stamp, the rows are ahead of the log.
    if (!outboxIsEmpty(db)) return;
    for (const model of library.deps.registry.models) await examineModel(examination, db, slices, model);
  });
}

/** Every entry by itself, in the order of the log. */
async function examineEntries(examination: Examination, db: Sqlite, slices: ReadingSlices): Promise<void> {
  const { hlc, sequence } = readState(db);
  const known = new Set(db.prepare("SELECT num FROM tidemark_member").pluck().all() as number[]);
  const columns = new Set(
    (db.prepare("SELECT model, num FROM tidemark_column").all() as { model: number; num: number }[]).map(
      ({ model, num }) => `${model} ${num}`,
    ),
  );
  const wrong = {
    sequence: new Tally(),
    twice: new Tally(),
    time: new Tally(),
    origin: new Tally(),
    model: new Tally(),
    column: new Tally(),
  };
  const models = new Map<number, string | undefined>();
  let last = -1;
  const page = db.prepare(
    "SELECT seq, model, record, col, hlc, origin FROM tidemark_stamp WHERE seq >= ? ORDER BY seq LIMIT ? OFFSET ?",
  );
  for (let after = 0, skip = 0; ; ) {
    const rows = page.all(after, LOG_PAGE, skip) as EntryRow[];
    examination.examined.logEntries += rows.length;
    for (const row of rows) {
      if (!models.has(row.model)) models.set(row.model, modelName(db, row.model));
      const name = `${models.get(row.model) ?? `model ${row.model}`} ${row.record}`;
      if (row.seq > sequence) wrong.sequence.add(name);
      if (row.seq === last) wrong.twice.add(name);
      if (!isTime(row.hlc) || !isTime(hlc) || row.hlc > hlc) wrong.time.add(name);
      if (row.origin !== 0 && !known.has(row.origin)) wrong.origin.add(name);
      if (models.get(row.model) === undefined) wrong.model.add(name);
      else if (row.col > 0 && !columns.has(`${row.model} ${row.col}`)) wrong.column.add(name);
      last = row.seq;
    }
    if (rows.length < LOG_PAGE) break;
    // The next page begins with the same number, in case that it stands there twice.
    skip = rows.filter(({ seq }) => seq === last).length + (after === last ? skip : 0);
    after = last;
    await slices.pause();
  }
  const faults: readonly [Tally, string][] = [
    [wrong.sequence, "behind its end, of which peers are not told"],
    [wrong.twice, "in a place that another one has, of which peers may not be told"],
    [wrong.time, "without a time, or with one that this device's own clock has never reached"],
    [wrong.origin, "of an origin that is not known"],
    [wrong.model, "of a model that has no name"],
    [wrong.column, "of a column that has no name"],
  ];
  for (const [{ count, examples }, what] of faults) {
    if (count === 0) continue;
    examination.find({
      severity: "error",
      code: "log-damaged",
      what: `The log holds ${count === 1 ? "1 entry" : `${count} entries`} ${what}`,
      why: "the sync tables have been changed by somebody else, or the database file is damaged",
      advice: RESET_ADVICE,
      count,
      examples,
    });
  }
}

function isTime(hlc: unknown): boolean {
  return Number.isSafeInteger(hlc) && (hlc as number) >= 0;
}

function isToBeSwept(db: Sqlite, { number }: SyncModel, record: string): boolean {
  return db.prepare("SELECT 1 FROM tidemark_stamp WHERE model = ? AND record = ?").get(number, record) !== undefined;
}

interface EntryRow {
  readonly seq: number;
  readonly model: number;
  readonly record: string;
  readonly col: number;
  readonly hlc: number;
  readonly origin: number;
}

/** Every record of a model that the log or the parked store has something of. */
async function examineModel(
  examination: Examination,
  db: Sqlite,
  slices: ReadingSlices,
  model: SyncModel,
): Promise<void> {
  const { reader } = examination.patient.library.deps;
  const restoring = new Set(damagedOf(db, model.number));
  const missing = new Tally();
  const undead = new Tally();
  const twice = new Tally();
  const left = new Tally();
  const next = db
    .prepare(
      // At or below the floor stamps are forgotten, though their rows may still be there to be swept away.
      `SELECT record FROM tidemark_stamp
       WHERE model = :model AND record > :after AND hlc > (SELECT floor FROM tidemark_state)
       UNION SELECT record FROM tidemark_parked WHERE model = :model AND record > :after
       UNION SELECT record FROM tidemark_waiting WHERE model = :model AND record > :after
       UNION SELECT record FROM tidemark_extra WHERE model = :model AND record > :after
       ORDER BY 1 LIMIT :limit`,
    )
    .pluck();
  for (let after = ""; ; ) {
    const records = next.all({ model: model.number, after, limit: PAGE }) as string[];
    const rows = presentRows({ db, model, records, reader });
    const logged = loadLogged(db, model.number, records);
    const parked = loadParked(db, model.number, records);
    for (const record of records) {
      const hasRow = rows.has(record);
      const kind = parked.get(record)?.kind ?? null;
      const held = kind !== null && kind !== "dead";
      const stamps = logged.get(record);
      const state = stateOf(stamps, true);
      if (kind === "hidden" && hasRow) twice.add(record);
      else if (stamps !== undefined && !isLiving(state) && hasRow && kind !== "quarantined") undead.add(record);
      else if (!hasRow && !held && !restoring.has(record)) {
        if (stamps?.birth != null) missing.add(record);
        // A stamp of a column without a life, a parked edit without a tombstone, a reference of nobody. What is kept of
        // the dead goes with the last of their stamps, forgotten ones among them, which are swept away later.
        else if (stamps === undefined ? !isToBeSwept(db, model, record) : isLiving(state)) left.add(record);
      }
    }
    if (records.length < PAGE) break;
    after = records[records.length - 1]!;
    await slices.pause();
  }
  const compare = "Call verify() with a peer, which names what differs, and with a repair takes what the peer has";
  const { name, table } = model;
  if (missing.count > 0) {
    examination.find({
      severity: "error",
      code: "records-missing",
      model: name,
      what: `${counted(missing.count, "record")} of "${name}" should be there, and ${are(missing.count)} neither in their table nor parked`,
      why: `somebody has deleted rows of "${table}" unseen, with the triggers turned off`,
      advice: `${compare}. If they were deleted on purpose, delete them on another device`,
      ...missing,
    });
  }
  if (undead.count > 0) {
    examination.find({
      severity: "error",
      code: "records-not-deleted",
      model: name,
      what: `${counted(undead.count, "record")} of "${name}" ${are(undead.count)} in the table, and the library has deleted them`,
      why: `somebody has written rows of "${table}" unseen, with the triggers turned off`,
      advice: "Delete them here if they are not wanted; otherwise give them a new identity, and they are new records",
      ...undead,
    });
  }
  if (twice.count > 0) {
    examination.find({
      severity: "error",
      code: "records-in-two-places",
      model: name,
      what: `${counted(twice.count, "record")} of "${name}" ${are(twice.count)} in the table and parked as hidden at the same time`,
      why: `somebody has written rows of "${table}" unseen, with the triggers turned off`,
      advice: compare,
      ...twice,
    });
  }
  if (left.count > 0) {
    examination.find({
      severity: "info",
      code: "leftovers",
      model: name,
      what: `${counted(left.count, "record")} of "${name}" ${left.count === 1 ? "has" : "have"} traces in the sync tables and ${are(left.count)} not there`,
      why: "something was forgotten in an order that is not the usual one",
      advice: "Nothing needs to be done: they do no harm, and go when all members have acknowledged",
      ...left,
    });
  }
}
