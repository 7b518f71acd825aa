import Database from "better-sqlite3";
import { median } from "../case.js";
import { configure, ROWS_PER_TRANSACTION } from "../library/insert-rows.js";
import { systemClock } from "../system-clock.js";
import type { OwnWritesInput, OwnWritesOutput, WriteTimes } from "./rows-commands.js";

/** Times the same writes to a database with triggers and to one without, in turn. */
export function timeOwnWrites({ plain, captured, rows, rounds }: OwnWritesInput): OwnWritesOutput {
  const databases = [plain, captured].map((file) => {
    const db = new Database(file);
    configure(db);
    return { db, times: [] as WriteTimes[] };
  });
  for (let round = 0; round < rounds; round++) {
    // Who comes first changes, so that neither profits from what the other has warmed up.
    for (const { db, times } of round % 2 === 0 ? databases : databases.toReversed()) {
      times.push(timeWrites(db, rows, round));
    }
  }
  for (const { db } of databases) db.close();
  const [off, on] = databases.map(({ times }) => medians(times));
  return { off: off!, on: on! };
}

function timeWrites(db: Database.Database, rows: number, round: number): WriteTimes {
  const insert = db.prepare(
    `INSERT INTO "entry" ("uuid", "name", "kind", "size", "mtimeUs", "locationId", "contentId", "metadataId")
     VALUES (?, 'report draft 42.pdf', 'document', 1234, 1700000000000000, 1, ?, 1)`,
  );
  const update = db.prepare('UPDATE "entry" SET "size" = "size" + 1, "mtimeUs" = "mtimeUs" + 1 WHERE "id" = ?');
  return {
    insertMs: inTransactions(db, rows, (index) => insert.run(identity(round, index), BigInt(1 + (index % 100)))),
    updateMs: inTransactions(db, rows, (index) => update.run(BigInt(1 + index))),
    bulkUpdateMs: inTransactions(db, 1, () => db.exec('UPDATE "entry" SET "size" = "size" + 1')),
  };
}

function identity(round: number, index: number): string {
  return `3${String(round).padStart(7, "0")}-0000-4000-8000-${String(index).padStart(12, "0")}`;
}

function inTransactions(db: Database.Database, count: number, work: (index: number) => void): number {
  const slice = db.transaction((from: number, to: number) => {
    for (let index = from; index < to; index++) work(index);
  });
  const startedMs = systemClock.monotonicMs();
  for (let from = 0; from < count; from += ROWS_PER_TRANSACTION)
    slice(from, Math.min(from + ROWS_PER_TRANSACTION, count));
  return systemClock.monotonicMs() - startedMs;
}

function medians(times: readonly WriteTimes[]): WriteTimes {
  return {
    insertMs: median(times.map(({ insertMs }) => insertMs)),
    updateMs: median(times.map(({ updateMs }) => updateMs)),
    bulkUpdateMs: median(times.map(({ bulkUpdateMs }) => bulkUpdateMs)),
  };
}
