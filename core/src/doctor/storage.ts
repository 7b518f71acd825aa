import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { readState } from "../storage/log-transaction.js";
import { syncTableBytes } from "../storage/sync-bytes.js";
import type { Examination } from "./examination.js";

/** Sizes, room on the disk, and the settings of the connections on which safety rests. */
const MIB = 1024 * 1024;
const LARGE_SYNC_TABLES = 256 * MIB;
const LARGE_WAL = 256 * MIB;
const LITTLE_SPACE = 256 * MIB;
const BACKLOG = 50_000;
const LONG_JOURNAL = 10_000;
/** `PRAGMA synchronous` */
const OFF = 0;

export interface StorageFigures {
  readonly syncTableBytes: number;
  /** Changes without a stamp. */
  readonly outbox: number;
  readonly isMember: boolean;
  readonly journalEntries: number;
  readonly walBytes: number;
  /** Null where the system does not tell. */
  readonly freeBytes: number | null;
  readonly journalMode: string;
  /** Of the application's connection. */
  readonly settings: {
    readonly synchronous: number;
    readonly foreignKeys: boolean;
    readonly recursiveTriggers: boolean;
  };
}

export async function examineStorage(examination: Examination): Promise<void> {
  const { application, file } = examination.patient;
  const setting = (name: string) => application.pragma(name, { simple: true }) as number;
  const figures = await examination.read("storage", async (db): Promise<StorageFigures> => {
    const count = (table: string) => db.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number;
    return {
      syncTableBytes: syncTableBytes(db),
      outbox: count("tidemark_outbox"),
      isMember: readState(db).self !== null,
      journalEntries: count("tidemark_journal"),
      walBytes: sizeOf(`${file}-wal`),
      freeBytes: freeSpace(file),
      journalMode: String(db.pragma("journal_mode", { simple: true })),
      settings: {
        synchronous: setting("synchronous"),
        foreignKeys: setting("foreign_keys") === 1,
        recursiveTriggers: setting("recursive_triggers") === 1,
      },
    };
  });
  judgeStorage(examination, figures);
}

/** What the figures mean. */
export function judgeStorage(examination: Examination, figures: StorageFigures): void {
  judgeSizes(examination, figures);
  judgeSettings(examination, figures);
}

function judgeSizes(examination: Examination, figures: StorageFigures): void {
  const { syncTableBytes: bytes, outbox, isMember, journalEntries, walBytes, freeBytes } = figures;
  if (bytes > LARGE_SYNC_TABLES) {
    examination.find({
      severity: "warning",
      code: "large-sync-tables",
      what: `The sync tables take ${inMib(bytes)}`,
      why: "the log keeps an entry for every change that not all members have acknowledged",
      advice: "Turn on @tidemark/plugin-ack-pruning on every device; its dryRun() names who holds the rest back",
      count: bytes,
    });
  }
  if (outbox > BACKLOG) {
    examination.find({
      severity: isMember ? "warning" : "info",
      code: "backlog",
      what: `${outbox} changes have no stamp yet, and go to nobody`,
      why: isMember
        ? "more is written than is stamped, or a transaction of the application stays open"
        : "this device is not a member of the library yet",
      advice: isMember
        ? "End transactions soon: while one is open, nothing can be stamped"
        : "Connect it with a member; they are compared with the library then",
      count: outbox,
    });
  }
  if (journalEntries > LONG_JOURNAL) {
    examination.find({
      severity: "info",
      code: "long-journal",
      what: `The journal has ${journalEntries} entries`,
      why: "local changes keep being taken back, or records are refused; nobody removes what it tells",
      advice: "Read it with journal(), by kind, and mend what writes into it",
      count: journalEntries,
    });
  }
  if (walBytes > LARGE_WAL) {
    examination.find({
      severity: "warning",
      code: "large-wal",
      what: `The write-ahead log takes ${inMib(walBytes)}`,
      why: "a connection keeps reading from an old state, so that nothing can be given back",
      advice: "Look for a transaction, or an iteration over a query, that stays open, in this process or another one",
      count: walBytes,
    });
  }
  if (freeBytes !== null && freeBytes < LITTLE_SPACE) {
    examination.find({
      severity: "warning",
      code: "little-disk-space",
      what: `${inMib(freeBytes)} are free on the disk of the database`,
      why: "others use the rest",
      advice: "Make room: without it neither the application nor Tidemark can write. Nothing is lost when it runs out",
      count: freeBytes,
    });
  }
}

function judgeSettings(examination: Examination, { journalMode, settings }: StorageFigures): void {
  if (journalMode !== "wal") {
    unsafe(
      examination,
      `The database is in the journal mode "${journalMode}"`,
      "Tidemark needs the write-ahead log; somebody has turned it off since the start",
      "Restart the application, and look for what sets PRAGMA journal_mode",
    );
  }
  if (settings.synchronous === OFF) {
    unsafe(
      examination,
      "The application's connection does not wait for the disk (PRAGMA synchronous = OFF)",
      "a loss of power can damage the database, and take back what peers have already",
      "Set it to NORMAL or FULL",
    );
  }
  if (!settings.foreignKeys) {
    unsafe(
      examination,
      "The application's connection does not enforce foreign keys",
      "then rows can refer to what is not there, and to other devices such a reference reads NULL",
      "Leave PRAGMA foreign_keys on, as TypeORM sets it",
    );
  }
  if (!settings.recursiveTriggers) {
    unsafe(
      examination,
      "The application's connection has recursive triggers turned off",
      "then INSERT OR REPLACE removes rows without telling, and what it removed can only be guessed",
      "Leave PRAGMA recursive_triggers on, as Tidemark sets it",
    );
  }
}

function unsafe(examination: Examination, what: string, why: string, advice: string): void {
  examination.find({ severity: "warning", code: "unsafe-settings", what, why, advice });
}

function inMib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}

/** It is only asked for: opening the file here would drop SQLite's locks. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Null where the system does not tell. */
function freeSpace(file: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize;
  } catch {
    return null;
  }
}
