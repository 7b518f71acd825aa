import { DataSource, type EntityManager } from "typeorm";
import { type Dataset, makeDataset, type Row } from "../library/dataset.js";
import { benchEntities, ContentIdentity, Device, Entry, Location, UserMetadata } from "../library/models.js";
import { createSchema } from "../library/schema.js";
import { systemClock } from "../system-clock.js";
import type { OrmInput } from "./rows-commands.js";

/** What one would write with TypeORM alone: look up each target by its identity, then save. */
const ROWS_PER_TRANSACTION = 500;

export async function saveByOrm({
  file,
  dataset: options,
  rows,
}: OrmInput): Promise<{ rows: number; durationMs: number }> {
  const dataset = makeDataset(options);
  await createSchema(file);
  const dataSource = new DataSource({ type: "better-sqlite3", database: file, entities: benchEntities });
  await dataSource.initialize();
  const jobs = jobsOf(dataset).slice(0, rows);
  const startedMs = systemClock.monotonicMs();
  for (let from = 0; from < jobs.length; from += ROWS_PER_TRANSACTION) {
    await dataSource.transaction(async (manager) => {
      for (const job of jobs.slice(from, from + ROWS_PER_TRANSACTION)) await job(manager);
    });
  }
  const durationMs = systemClock.monotonicMs() - startedMs;
  await dataSource.destroy();
  return { rows: jobs.length, durationMs };
}

type Job = (manager: EntityManager) => Promise<unknown>;

/** Every entry right after what it refers to, so that a part of the work is like the whole. */
function jobsOf(dataset: Dataset): readonly Job[] {
  const identityOf = (rows: readonly Row[], key: Row[number] | undefined) => rows[Number(key) - 1]![1] as string;
  const jobs: Job[] = [];
  for (const [, uuid, name] of dataset.device) jobs.push((manager) => manager.save(Device, { uuid, name } as Device));
  for (const [, uuid, name, deviceId] of dataset.location) {
    jobs.push(async (manager) => {
      const device = await manager.findOneBy(Device, { uuid: identityOf(dataset.device, deviceId) });
      await manager.save(Location, { uuid, name, device } as Location);
    });
  }
  let contents = 0;
  let metadata = 0;
  for (const entry of dataset.entry) {
    for (; contents < Number(entry[7]); contents++) {
      const [, uuid, hash, kind, size] = dataset.content_identity[contents]!;
      jobs.push((manager) =>
        manager.save(ContentIdentity, { uuid, hash, kind, size: Number(size) } as ContentIdentity),
      );
    }
    for (; metadata < Number(entry[8]); metadata++) {
      const [, uuid, notes, favourite, rating] = dataset.user_metadata[metadata]!;
      const row = { uuid, notes, favourite: favourite === 1n, rating: rating === null ? null : Number(rating) };
      jobs.push((manager) => manager.save(UserMetadata, row as UserMetadata));
    }
    jobs.push(async (manager) => {
      const [, uuid, name, kind, size, mtimeUs, locationId, contentId, metadataId] = entry;
      const location = await manager.findOneBy(Location, { uuid: identityOf(dataset.location, locationId) });
      const content = await manager.findOneBy(ContentIdentity, {
        uuid: identityOf(dataset.content_identity, contentId),
      });
      const details = await manager.findOneBy(UserMetadata, { uuid: identityOf(dataset.user_metadata, metadataId) });
      const row = {
        uuid,
        name,
        kind,
        size: Number(size),
        mtimeUs: Number(mtimeUs),
        location,
        content,
        metadata: details,
      };
      await manager.save(Entry, row as Entry);
    });
  }
  return jobs;
}
