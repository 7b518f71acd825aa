import type { DataSource, EntityManager } from "typeorm";
import { uuidV5 } from "../indexer/uuid.js";
import { Entry } from "../models/entry.js";
import { Tag } from "../models/tag.js";
import type { SeededRandom } from "./seeded-random.js";

/**
 * What people do with tags, in all the ways in which an application may write: repository, query builder, relation and
 * plain SQL. Each change is a transaction of its own that reads before it writes, and looks at the library as it is, so
 * a run that was cut off can be made again.
 */
export interface ChangeContext {
  readonly dataSource: DataSource;
  /** Names what is created: the same seed creates the same identities, also when it is run twice. */
  readonly seed: string;
  /** This device's own choices. */
  readonly own: SeededRandom;
  /** Choices that fall alike on both devices, as long as these know the same records: the source of conflicts. */
  readonly common: SeededRandom;
}

const TAG_NAMESPACE = "c0f0a1de-5a0e-5c1b-8f38-0d6f2b7a9e11";
const WORDS = ["holiday", "to read", "invoice", "family", "draft", "done", "später", "重要"];

/** One change, of a kind that chance decides. */
export async function changeTags(context: ChangeContext, step: number): Promise<void> {
  const { dataSource, own, common } = context;
  const kind = own.next();
  // Drawn in every step, so that both devices stay at the same place of the common sequence.
  const commonPick = common.next();
  await dataSource.transaction(async (manager) => {
    if (kind < 0.2) await createTag(manager, context, step);
    else if (kind < 0.35) await editTag(manager, own, commonPick);
    else if (kind < 0.4) await deleteTag(manager, own);
    else if (kind < 0.8) await tagEntry(manager, own, commonPick);
    else if (kind < 0.84) await tagDirectory(manager, own);
    else await untagEntry(manager, own, commonPick);
  });
}

/** Tags that every device has from the start: both create the same records, with different colours, at about the same time. */
export async function createCommonTags({ dataSource, own }: ChangeContext): Promise<void> {
  for (const name of WORDS) {
    const uuid = uuidV5({ namespace: TAG_NAMESPACE, name });
    await dataSource
      .createQueryBuilder()
      .insert()
      .into(Tag)
      .values({ uuid, name, colour: colour(own) })
      .orIgnore()
      .execute();
  }
}

async function createTag(manager: EntityManager, { seed, own }: ChangeContext, step: number): Promise<void> {
  const uuid = uuidV5({ namespace: TAG_NAMESPACE, name: `${seed} ${step}` });
  if (await manager.existsBy(Tag, { uuid })) return;
  await manager.save(Tag, { uuid, name: `${own.pick(WORDS)} ${step}`, colour: colour(own) });
}

async function editTag(manager: EntityManager, own: SeededRandom, commonPick: number): Promise<void> {
  const tag = await tagAt(manager, commonPick);
  if (tag === null) return;
  // Where both devices edit the same tag, different columns both survive and the later edit of the same column wins.
  const change = own.next() < 0.5 ? { name: `${own.pick(WORDS)} ${own.int(1000)}` } : { colour: colour(own) };
  await manager.update(Tag, { id: tag.id }, change);
}

async function deleteTag(manager: EntityManager, own: SeededRandom): Promise<void> {
  const tag = await tagAt(manager, own.next());
  if (tag) await manager.remove(Tag, tag);
}

async function tagEntry(manager: EntityManager, own: SeededRandom, commonPick: number): Promise<void> {
  const tag = await tagAt(manager, own.next() < 0.5 ? commonPick : own.next());
  const entryId = own.next() < 0.3 ? await commonEntry(manager, commonPick) : await anyEntry(manager, own);
  if (tag === null || entryId === null) return;
  const present = await manager.query<unknown[]>("SELECT 1 FROM entry_tag WHERE entryId = ? AND tagId = ?", [
    entryId,
    tag.id,
  ]);
  if (present.length === 0) await manager.createQueryBuilder().relation(Entry, "tags").of(entryId).add(tag.id);
}

/** Tags all that lies directly in a directory, with one statement. */
async function tagDirectory(manager: EntityManager, own: SeededRandom): Promise<void> {
  const tag = await tagAt(manager, own.next());
  const entryId = await anyEntry(manager, own);
  if (tag === null || entryId === null) return;
  await manager.query(
    `INSERT OR IGNORE INTO entry_tag (entryId, tagId)
     SELECT sibling.id, ? FROM entry chosen JOIN entry sibling ON sibling.parentId = chosen.parentId
     WHERE chosen.id = ? LIMIT 25`,
    [tag.id, entryId],
  );
}

async function untagEntry(manager: EntityManager, own: SeededRandom, commonPick: number): Promise<void> {
  const tag = await tagAt(manager, own.next() < 0.5 ? commonPick : own.next());
  if (tag === null) return;
  const rows = await manager.query<{ entryId: number }[]>(
    "SELECT entryId FROM entry_tag WHERE tagId = ? ORDER BY entryId LIMIT 20",
    [tag.id],
  );
  if (rows.length === 0) return;
  await manager.query("DELETE FROM entry_tag WHERE entryId = ? AND tagId = ?", [own.pick(rows).entryId, tag.id]);
}

/** The tag at a place, given as a number in [0, 1), of all tags in the order of their identities. */
async function tagAt(manager: EntityManager, place: number): Promise<Tag | null> {
  const count = await manager.count(Tag);
  if (count === 0) return null;
  const [tag] = await manager.find(Tag, { order: { uuid: "ASC" }, skip: Math.floor(place * count), take: 1 });
  return tag ?? null;
}

/** Any entry at all, of either device. */
async function anyEntry(manager: EntityManager, own: SeededRandom): Promise<number | null> {
  const [row] = await manager.query<{ id: number }[]>(
    "SELECT id FROM entry WHERE id >= (SELECT max(id) FROM entry) * ? ORDER BY id LIMIT 1",
    [own.next()],
  );
  return row?.id ?? null;
}

/** One of the entries with the smallest identities: on both devices the same, once both know them. */
async function commonEntry(manager: EntityManager, place: number): Promise<number | null> {
  const [row] = await manager.query<{ id: number }[]>("SELECT id FROM entry ORDER BY uuid LIMIT 1 OFFSET ?", [
    Math.floor(place * 200),
  ]);
  return row?.id ?? null;
}

function colour(random: SeededRandom): string {
  return `#${random.int(0x1000000).toString(16).padStart(6, "0")}`;
}
