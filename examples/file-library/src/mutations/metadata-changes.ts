import type { EntityManager } from "typeorm";
import { uuidV5 } from "../indexer/uuid.js";
import { Entry } from "../models/entry.js";
import { UserMetadata } from "../models/user-metadata.js";
import type { ChangeContext } from "./tag-changes.js";

/**
 * What people say about entries: notes, favourites, ratings. A metadata record is linked to an entry by the device that
 * owns the entry, and edited by anybody.
 */
const METADATA_NAMESPACE = "8d3bb0c6-3a4c-5f0e-9d0f-57f1f6f5b2aa";

/** One change, of a kind that chance decides. `deviceId` is this device. */
export async function changeMetadata(context: ChangeContext & { readonly deviceId: string }): Promise<void> {
  const { dataSource, own, common, deviceId } = context;
  const kind = own.next();
  const commonPick = common.next();
  await dataSource.transaction(async (manager) => {
    if (kind < 0.35) return describeOwnEntry(manager, deviceId, own.next());
    const metadata = await metadataAt(manager, commonPick);
    if (metadata === null) return;
    if (kind < 0.6) {
      metadata.notes = `note ${own.int(10_000)}: “${own.pick(["häh?", "fine", "見る", "later\nmaybe"])}”`;
      await manager.save(UserMetadata, metadata);
    } else if (kind < 0.8) {
      await manager.update(UserMetadata, { id: metadata.id }, { rating: own.next() < 0.2 ? null : 1 + own.int(5) });
    } else if (kind < 0.96) {
      await manager.update(UserMetadata, { id: metadata.id }, { favourite: !metadata.favourite });
    } else {
      // In bulk: whatever is a favourite and has no rating gets one.
      await manager
        .createQueryBuilder()
        .update(UserMetadata)
        .set({ rating: 1 + own.int(5) })
        .where("favourite = 1 AND rating IS NULL")
        .execute();
    }
  });
}

async function describeOwnEntry(manager: EntityManager, deviceId: string, place: number): Promise<void> {
  const [entry] = await manager.query<{ id: number; uuid: string }[]>(
    `SELECT e.id, e.uuid FROM entry e
     JOIN location l ON l.id = e.locationId JOIN volume v ON v.id = l.volumeId JOIN device d ON d.id = v.deviceId
     WHERE e.id >= (SELECT max(id) FROM entry) * ? AND e.metadataId IS NULL AND d.uuid = ? ORDER BY e.id LIMIT 1`,
    [place, deviceId],
  );
  if (!entry) return;
  const uuid = uuidV5({ namespace: METADATA_NAMESPACE, name: entry.uuid });
  const metadata =
    (await manager.findOneBy(UserMetadata, { uuid })) ??
    (await manager.save(UserMetadata, { uuid, notes: null, favourite: false, rating: null }));
  await manager.update(Entry, { id: entry.id }, { metadata: { id: metadata.id } });
}

async function metadataAt(manager: EntityManager, place: number): Promise<UserMetadata | null> {
  const count = await manager.count(UserMetadata);
  if (count === 0) return null;
  const [found] = await manager.find(UserMetadata, {
    order: { uuid: "ASC" },
    skip: Math.floor(place * count),
    take: 1,
  });
  return found ?? null;
}
