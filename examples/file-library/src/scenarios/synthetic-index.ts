import { createHash } from "node:crypto";
import type { Clock, Random } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import { type Content, contentOf } from "../indexer/content.js";
import { EntryWriter } from "../indexer/entry-store.js";
import { registerLocation } from "../indexer/location-registry.js";
import { uuidV7Source } from "../indexer/uuid.js";

/**
 * Indexes a directory that does not exist: as many entries as are asked for, with the statements, the transactions and the
 * identities of the real indexer, but without a disk that would have to hold them.
 */
export interface SyntheticIndexOptions {
  readonly dataSource: DataSource;
  readonly deviceId: string;
  /** Names the location. */
  readonly location: string;
  readonly entries: number;
  readonly perTransaction: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly onProgress: (entries: number) => void;
}

/** Every so many entries comes a directory, which holds those after it. */
const PER_DIRECTORY = 40;
/** Directories within a directory. */
const FAN_OUT = 8;
/** Every content lies in so many files. */
const COPIES = 2;
const FIRST_CHANGE_US = Date.UTC(2026, 0, 1) * 1_000;

export async function indexSynthetically(options: SyntheticIndexOptions): Promise<{ readonly transactions: number }> {
  const { dataSource, deviceId, location: name, entries, perTransaction, clock, random, onProgress } = options;
  const location = await registerLocation({ dataSource, deviceId, name, path: `/synthetic/${name}` });
  const newUuid = uuidV7Source({ clock, random });
  const directories: number[] = [];
  let transactions = 0;
  for (let from = 0; from < entries; from += perTransaction) {
    const to = Math.min(entries, from + perTransaction);
    await dataSource.transaction(async (manager) => {
      const writer = new EntryWriter({ manager, locationId: location.id });
      const contents = range(from, to)
        .filter(isFile)
        .map((index) => syntheticContent(deviceId, index));
      const contentIds = await writer.contents(contents);
      for (const index of range(from, to)) {
        const directory = !isFile(index);
        const content = directory ? null : syntheticContent(deviceId, index);
        const parentId = directory ? parentOf(directories) : directories[directories.length - 1]!;
        const changedUs = FIRST_CHANGE_US + index;
        const id = await writer.insert({
          uuid: newUuid(),
          name: { name: `${directory ? "directory" : "file"} ${index}`, nameBytes: null },
          facts: {
            kind: directory ? "directory" : "file",
            size: content?.size ?? 0,
            mtimeUs: changedUs,
            changedUs,
            birthUs: changedUs,
            mode: directory ? 0o40755 : 0o100644,
            inode: String(index),
          },
          parentId,
          contentId: content === null ? null : contentIds.get(content.uuid)!,
        });
        if (directory) directories.push(id);
      }
    });
    transactions += 1;
    onProgress(to);
    // A real indexer reads the next directory here.
    await new Promise<void>((resolve) => void clock.setImmediate(resolve));
  }
  return { transactions };
}

function isFile(index: number): boolean {
  return index % PER_DIRECTORY !== 0;
}

/** Of the directory that comes next, in a tree that grows level by level. */
function parentOf(directories: readonly number[]): number | null {
  return directories.length === 0 ? null : directories[Math.floor((directories.length - 1) / FAN_OUT)]!;
}

function syntheticContent(deviceId: string, index: number): Content {
  const number = Math.floor(index / COPIES);
  const hash = createHash("sha256").update(`${deviceId} ${number}`).digest("hex");
  return contentOf({ hash, size: 100 + (number % 100_000), kind: "text" });
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
