import type { DataSource, EntityManager } from "typeorm";
import type { EntryKind } from "../models/entry.js";
import type { Content } from "./content.js";
import { encodeFileName, type FileName, joinPath } from "./file-name.js";
import type { FileFacts } from "./file-system.js";

/**
 * All SQL of the indexer. It is the application's own: plain statements through TypeORM, which know nothing of Tidemark
 * and need not. Rows are written one statement each because the statement stays prepared and the key comes back.
 */

/** An entry as the last run left it. */
export interface KnownEntry extends FileName {
  readonly id: number;
  readonly kind: EntryKind;
  readonly size: number;
  readonly mtimeUs: number;
  readonly mode: number;
  readonly inode: string;
  readonly birthUs: number | null;
  readonly contentId: number | null;
}

const COLUMNS = "id, name, nameBytes, kind, size, mtimeUs, mode, inode, birthUs, contentId";

// The unary plus keeps SQLite from searching by location, which would read the whole location for each directory.
const CHILDREN = `SELECT ${COLUMNS} FROM entry WHERE parentId = ? AND +locationId = ?`;
const TOP_LEVEL = `SELECT ${COLUMNS} FROM entry WHERE parentId IS NULL AND +locationId = ?`;
const BY_INODE = `SELECT ${COLUMNS} FROM entry WHERE locationId = ? AND inode = ? ORDER BY id`;
const ANCESTRY = `
  WITH RECURSIVE up (id, parentId, name, nameBytes, depth) AS (
    SELECT id, parentId, name, nameBytes, 0 FROM entry WHERE id = ?
    UNION ALL
    SELECT e.id, e.parentId, e.name, e.nameBytes, up.depth + 1 FROM up JOIN entry e ON e.id = up.parentId
  ) SELECT name, nameBytes FROM up ORDER BY depth DESC`;
const SUBTREE = `
  WITH RECURSIVE down (id, depth) AS (
    SELECT ?, 0
    UNION ALL
    SELECT e.id, down.depth + 1 FROM down JOIN entry e ON e.parentId = down.id
  ) SELECT id FROM down ORDER BY depth DESC`;

export class EntryReader {
  readonly #dataSource: DataSource;
  readonly #locationId: number;

  constructor({ dataSource, locationId }: { readonly dataSource: DataSource; readonly locationId: number }) {
    this.#dataSource = dataSource;
    this.#locationId = locationId;
  }

  /** The known entries of a directory; `null` stands for the location itself. */
  children(parentId: number | null): Promise<readonly KnownEntry[]> {
    return parentId === null
      ? this.#dataSource.query<KnownEntry[]>(TOP_LEVEL, [this.#locationId])
      : this.#dataSource.query<KnownEntry[]>(CHILDREN, [parentId, this.#locationId]);
  }

  byInode(inode: string): Promise<readonly KnownEntry[]> {
    return this.#dataSource.query<KnownEntry[]>(BY_INODE, [this.#locationId, inode]);
  }

  /** Where the library believes an entry to be, relative to its location. */
  async path(id: number): Promise<Buffer> {
    const names = await this.#dataSource.query<FileName[]>(ANCESTRY, [id]);
    return names.reduce((path, name) => joinPath(path, encodeFileName(name)), Buffer.alloc(0) as Buffer);
  }

  /** An entry and all below it, deepest first. */
  async subtree(id: number): Promise<readonly number[]> {
    const rows = await this.#dataSource.query<{ id: number }[]>(SUBTREE, [id]);
    return rows.map((row) => row.id);
  }
}

/** Writes entries within one transaction. */
export class EntryWriter {
  readonly #manager: EntityManager;
  readonly #locationId: number;

  constructor({ manager, locationId }: { readonly manager: EntityManager; readonly locationId: number }) {
    this.#manager = manager;
    this.#locationId = locationId;
  }

  /** Makes sure that the contents exist, and returns their local keys by uuid. */
  async contents(contents: readonly Content[]): Promise<ReadonlyMap<string, number>> {
    const ids = new Map<string, number>();
    for (const { uuid, hash, size, kind } of contents) {
      if (ids.has(uuid)) continue;
      // The other device may have brought the same content in the meantime, or another file here holds it.
      await this.#manager.query(
        "INSERT INTO content_identity (uuid, hash, size, kind) VALUES (?, ?, ?, ?) ON CONFLICT (uuid) DO NOTHING",
        [uuid, hash, size, kind],
      );
      const [row] = await this.#manager.query<{ id: number }[]>("SELECT id FROM content_identity WHERE uuid = ?", [
        uuid,
      ]);
      ids.set(uuid, row!.id);
    }
    return ids;
  }

  async insert(entry: {
    readonly uuid: string;
    readonly name: FileName;
    readonly facts: FileFacts;
    readonly parentId: number | null;
    readonly contentId: number | null;
  }): Promise<number> {
    const { name, facts } = entry;
    const [row] = await this.#manager.query<{ id: number }[]>(
      `INSERT INTO entry (uuid, name, nameBytes, kind, size, mtimeUs, mode, inode, birthUs, locationId, parentId, contentId)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
      [
        entry.uuid,
        name.name,
        name.nameBytes,
        facts.kind,
        facts.size,
        facts.mtimeUs,
        facts.mode,
        facts.inode,
        facts.birthUs,
        this.#locationId,
        entry.parentId,
        entry.contentId,
      ],
    );
    return row!.id;
  }

  async update(entry: {
    readonly id: number;
    readonly name: FileName;
    readonly facts: FileFacts;
    readonly parentId: number | null;
    readonly contentId: number | null;
  }): Promise<void> {
    const { name, facts } = entry;
    await this.#manager.query(
      `UPDATE entry SET name = ?, nameBytes = ?, kind = ?, size = ?, mtimeUs = ?, mode = ?, inode = ?,
         birthUs = ?, parentId = ?, contentId = ? WHERE id = ?`,
      [
        name.name,
        name.nameBytes,
        facts.kind,
        facts.size,
        facts.mtimeUs,
        facts.mode,
        facts.inode,
        facts.birthUs,
        entry.parentId,
        entry.contentId,
        entry.id,
      ],
    );
  }

  async delete(ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.#manager.query("DELETE FROM entry WHERE id = ?", [id]);
  }
}
