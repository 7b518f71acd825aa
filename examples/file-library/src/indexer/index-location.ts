import type { Clock, Random } from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import { fileLibraryErrors } from "../errors.js";
import { mapBounded } from "./concurrency.js";
import { type Content, readContent } from "./content.js";
import { EntryReader, EntryWriter, type KnownEntry } from "./entry-store.js";
import { decodeFileName, encodeFileName, type FileName, joinPath, nameKey, printablePath } from "./file-name.js";
import { type FileFacts, type FileSystem, systemCode } from "./file-system.js";
import { IdSet } from "./id-set.js";
import { uuidV7Source } from "./uuid.js";
import { countItems, walk } from "./walk.js";

/**
 * Brings the entries of a location into step with its directory: what is new, changed, moved or gone. Only reads the
 * directory. May be stopped or killed at any point and run again; what was written stays, the rest follows.
 *
 * An entry keeps its identity while its name stays, or when the same file turns up elsewhere and is no longer where it
 * was: the same by inode and time of birth, and all but directories by size and time as well. (Where a file system does
 * not tell births, a new directory that got the inode of a deleted one is taken for that one.) What can't be indexed is
 * reported and passed over; it never ends the run.
 */

/** Something that was passed over, and why, in plain words. */
export interface IndexProblem {
  /** Relative to the location. */
  readonly path: string;
  readonly reason: string;
}

export interface IndexProgress {
  /** Items dealt with, of `total`. The total is from a count before the start; the tree may change meanwhile. */
  readonly done: number;
  readonly total: number;
  readonly bytesHashed: number;
}

export interface IndexResult {
  readonly added: number;
  readonly changed: number;
  readonly moved: number;
  readonly deleted: number;
  readonly unchanged: number;
  readonly filesHashed: number;
  readonly bytesHashed: number;
  /** How many items were passed over; `problems` holds the first of them. */
  readonly problemCount: number;
  readonly problems: readonly IndexProblem[];
}

export interface IndexOptions {
  readonly dataSource: DataSource;
  readonly fs: FileSystem;
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "bytes">;
  readonly locationId: number;
  /** Absolute path of the location. */
  readonly root: string;
  /** Items a transaction. Default 500. */
  readonly batchSize?: number;
  /** Files read at the same time. Default 8. */
  readonly concurrency?: number;
  /** Stops after so many files. What lies beyond is neither added nor taken for deleted. */
  readonly maxFiles?: number;
  /** Absolute paths that are left out, with all below them. */
  readonly skip?: readonly string[];
  /** Most problems that the result lists. Default 100. */
  readonly maxProblems?: number;
  readonly onProgress?: (progress: IndexProgress) => void;
  /** Ends the run at the next file or piece of a file: it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A directory on the way from disk to the library. */
interface Folder {
  /** Local key of its entry; null for the location itself; undefined until the entry has been written. */
  id: number | null | undefined;
}

/** Something to write. Parents come before their children. */
interface Change {
  /** Null: a new entry. */
  readonly known: KnownEntry | null;
  readonly moved: boolean;
  readonly folder: Folder | null;
  readonly parent: Folder;
  readonly path: Buffer;
  readonly name: FileName;
  readonly facts: FileFacts;
  readonly readContent: boolean;
}

/**
 * Indexes a location.
 *
 * @throws FILE_LIBRARY_DIRECTORY_MISSING, FILE_LIBRARY_NOT_A_DIRECTORY, FILE_LIBRARY_DIRECTORY_UNREADABLE for the
 * location itself; nothing for what lies in it.
 */
export async function indexLocation(options: IndexOptions): Promise<IndexResult> {
  return new IndexRun(options, tellsBirths(await checkRoot(options))).run();
}

async function checkRoot({ fs, root }: IndexOptions): Promise<FileFacts> {
  try {
    await fs.list(Buffer.from(root));
    return await fs.facts(Buffer.from(root));
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") throw fileLibraryErrors.directoryMissing({ path: root, cause: error });
    if (code === "ENOTDIR") throw fileLibraryErrors.notADirectory({ path: root });
    throw fileLibraryErrors.directoryUnreadable({ path: root, reason: code, cause: error });
  }
}

class IndexRun {
  readonly #options: IndexOptions;
  readonly #root: Buffer;
  readonly #reader: EntryReader;
  readonly #newUuid: () => string;
  readonly #concurrency: number;
  readonly #batchSize: number;
  /** Directories that have been met and not yet listed, by path. */
  readonly #folders = new Map<string, Folder>([["", { id: null }]]);
  /** Entries that this run has found on disk; none of them may be found twice or deleted. */
  readonly #found = new IdSet();
  /** Entries that are no longer where they were. Those that turn up elsewhere are not deleted. */
  readonly #missing: number[] = [];
  #pending: Change[] = [];
  readonly #tellsBirths: boolean;
  #total = 0;
  #done = 0;
  readonly #counts = { added: 0, changed: 0, moved: 0, deleted: 0, unchanged: 0, filesHashed: 0, bytesHashed: 0 };
  #problemCount = 0;
  readonly #problems: IndexProblem[] = [];

  constructor(options: IndexOptions, tellsBirths: boolean) {
    this.#options = options;
    this.#tellsBirths = tellsBirths;
    this.#root = Buffer.from(options.root);
    this.#reader = new EntryReader(options);
    this.#newUuid = uuidV7Source(options);
    this.#concurrency = options.concurrency ?? 8;
    this.#batchSize = options.batchSize ?? 500;
  }

  async run(): Promise<IndexResult> {
    const { fs, maxFiles, skip, signal } = this.#options;
    const tree = {
      fs,
      root: this.#root,
      ...(maxFiles === undefined ? {} : { maxFiles }),
      ...(skip === undefined ? {} : { skip }),
      ...(signal === undefined ? {} : { signal }),
    };
    this.#total = await countItems({ ...tree, onUnreadable: () => undefined });
    this.#report();
    const listings = walk({
      ...tree,
      onUnreadable: (directory, error) => {
        // One that was gone when its parent was compared has been reported then.
        if (this.#folders.delete(nameKey(directory))) this.#problem(directory, describe(error));
      },
      onSkipped: (path) => this.#problem(path, "left out on purpose"),
    });
    for await (const { directory, items, complete } of listings) {
      const key = nameKey(directory);
      const folder = this.#folders.get(key);
      this.#folders.delete(key);
      if (folder) await this.#compare(folder, directory, items, complete);
    }
    await this.#flush();
    await this.#deleteMissing();
    this.#report();
    return { ...this.#counts, problemCount: this.#problemCount, problems: this.#problems };
  }

  /** Compares one directory's items with what is known of them. */
  async #compare(
    parent: Folder,
    directory: Buffer,
    items: readonly { readonly name: Buffer }[],
    complete: readonly Buffer[],
  ): Promise<void> {
    const known = new Map<string, KnownEntry>();
    // A directory without a key is new: nothing can be known of what it holds.
    if (parent.id !== undefined) {
      for (const entry of await this.#reader.children(parent.id)) {
        if (!this.#found.has(entry.id)) known.set(nameKey(encodeFileName(entry)), entry);
      }
    }
    const onDisk = new Set(complete.map(nameKey));
    for (const [name, entry] of known) if (!onDisk.has(name)) this.#missing.push(entry.id);

    const looks = await mapBounded(items, this.#concurrency, async ({ name }) => {
      const path = joinPath(directory, name);
      try {
        return { name, path, facts: await this.#factsOf(path) };
      } catch (error) {
        this.#problem(path, describe(error));
        return { name, path, facts: null };
      }
    });
    for (const { name, path, facts } of looks) {
      const before = known.get(nameKey(name));
      if (facts === null) {
        // It was listed and is gone: a later run will see that. Only this run must not take it for moved.
        this.#done++;
        continue;
      }
      await this.#plan({ before, parent, path, name, facts });
      if (this.#pending.length >= this.#batchSize) await this.#flush();
    }
    this.#report();
  }

  async #factsOf(path: Buffer): Promise<FileFacts> {
    const facts = await this.#options.fs.facts(joinPath(this.#root, path));
    return this.#tellsBirths ? facts : { ...facts, birthUs: null };
  }

  async #plan({
    before,
    parent,
    path,
    name,
    facts,
  }: {
    readonly before: KnownEntry | undefined;
    readonly parent: Folder;
    readonly path: Buffer;
    readonly name: Buffer;
    readonly facts: FileFacts;
  }): Promise<void> {
    let known: KnownEntry | null = null;
    if (before !== undefined && before.kind === facts.kind) known = before;
    else if (before !== undefined) this.#missing.push(before.id);
    const moved = known === null ? await this.#movedHere(facts) : null;
    known ??= moved;

    const folder: Folder | null = facts.kind === "directory" ? { id: known?.id } : null;
    if (folder) this.#folders.set(nameKey(path), folder);
    if (known) this.#found.add(known.id);
    if (known !== null && moved === null && isSame(known, facts)) {
      this.#counts.unchanged++;
      this.#done++;
      return;
    }
    const sameContent =
      known !== null &&
      known.contentId !== null &&
      known.size === facts.size &&
      known.mtimeUs === facts.mtimeUs &&
      known.inode === facts.inode &&
      !areBornApart(known, facts);
    this.#pending.push({
      known,
      moved: moved !== null,
      folder,
      parent,
      path,
      name: decodeFileName(name),
      facts,
      readContent: facts.kind === "file" && !sameContent,
    });
    // Whether something below has moved is asked by paths, which must not be out of date.
    if (moved !== null && facts.kind === "directory") await this.#flush();
  }

  /** The entry that this file was until now under another name, if there is one and that name is no longer its. */
  async #movedHere(facts: FileFacts): Promise<KnownEntry | null> {
    for (const entry of await this.#reader.byInode(facts.inode)) {
      if (this.#found.has(entry.id) || entry.kind !== facts.kind || areBornApart(entry, facts)) continue;
      if (facts.kind !== "directory" && (entry.size !== facts.size || entry.mtimeUs !== facts.mtimeUs)) continue;
      const path = await this.#reader.path(entry.id);
      try {
        const there = await this.#factsOf(path);
        // A hard link: both names are the file's.
        if (there.inode === facts.inode) continue;
      } catch (error) {
        if (systemCode(error) !== "ENOENT" && systemCode(error) !== "ENOTDIR") continue;
      }
      return entry;
    }
    return null;
  }

  /** Reads the contents that are needed, then writes all pending changes in one transaction. */
  async #flush(): Promise<void> {
    this.#options.signal?.throwIfAborted();
    if (this.#pending.length === 0) return;
    const changes = this.#pending;
    this.#pending = [];
    const outcomes = await mapBounded(changes, this.#concurrency, async (change) => ({
      change,
      content: change.readContent ? await this.#read(change) : null,
    }));
    const writable = outcomes.filter((outcome) => outcome.content !== "gone");
    await this.#options.dataSource.transaction(async (manager) => {
      const writer = new EntryWriter({ manager, locationId: this.#options.locationId });
      const contents = writable.flatMap(({ content }) => (typeof content === "object" && content ? [content] : []));
      const contentIds = await writer.contents(contents);
      for (const { change, content } of writable) {
        const { known, folder, parent, name, facts } = change;
        const contentId =
          typeof content === "object" && content !== null
            ? contentIds.get(content.uuid)!
            : change.readContent
              ? null
              : (known?.contentId ?? null);
        if (parent.id === undefined) throw new Error("a child was written before its directory");
        const parentId = parent.id;
        if (known === null) {
          const id = await writer.insert({ uuid: this.#newUuid(), name, facts, parentId, contentId });
          // Should the transaction fail, the run ends; nobody reads this key then.
          if (folder) folder.id = id;
          this.#found.add(id);
          this.#counts.added++;
        } else {
          await writer.update({ id: known.id, name, facts, parentId, contentId });
          if (change.moved) this.#counts.moved++;
          else this.#counts.changed++;
        }
      }
    });
    this.#done += changes.length;
    this.#report();
  }

  /** A file's content; `"gone"` when there is no file any more, null when it can't be read. */
  async #read({ path, facts }: Change): Promise<Content | null | "gone"> {
    const { fs, signal } = this.#options;
    signal?.throwIfAborted();
    try {
      const absolute = joinPath(this.#root, path);
      const content = await readContent({ fs, path: absolute, sizeHint: facts.size, signal });
      this.#counts.filesHashed++;
      this.#counts.bytesHashed += content.size;
      if (content.size === facts.size) return content;
      this.#problem(path, "it changed while it was read; its content will be known after the next run");
      return null;
    } catch (error) {
      signal?.throwIfAborted();
      this.#problem(path, describe(error));
      return systemCode(error) === "ENOENT" ? "gone" : null;
    }
  }

  async #deleteMissing(): Promise<void> {
    for (const id of this.#missing) {
      if (this.#found.has(id)) continue;
      // What has moved out of a deleted directory is no longer below it; the rest goes, children first.
      const ids = await this.#reader.subtree(id);
      for (let start = 0; start < ids.length; start += this.#batchSize) {
        this.#options.signal?.throwIfAborted();
        const batch = ids.slice(start, start + this.#batchSize);
        await this.#options.dataSource.transaction((manager) =>
          new EntryWriter({ manager, locationId: this.#options.locationId }).delete(batch),
        );
      }
      this.#counts.deleted += ids.length;
    }
  }

  #problem(path: Buffer, reason: string): void {
    this.#problemCount++;
    if (this.#problems.length < (this.#options.maxProblems ?? 100)) {
      this.#problems.push({ path: printablePath(path), reason });
    }
  }

  #report(): void {
    this.#options.onProgress?.({
      done: this.#done,
      // Files may have appeared since the count.
      total: Math.max(this.#total, this.#done),
      bytesHashed: this.#counts.bytesHashed,
    });
  }
}

function isSame(known: KnownEntry, facts: FileFacts): boolean {
  return (
    known.size === facts.size &&
    known.mtimeUs === facts.mtimeUs &&
    known.mode === facts.mode &&
    known.inode === facts.inode &&
    known.birthUs === facts.birthUs &&
    (facts.kind !== "file" || known.contentId !== null)
  );
}

/**
 * Whether the system tells births, judged by the location itself. Where it can't, some say the last change instead; but
 * what has been filled has changed since it was made.
 */
function tellsBirths({ birthUs, changedUs }: FileFacts): boolean {
  return birthUs !== null && birthUs !== changedUs;
}

/** Whether two things of one inode are two things for certain. */
function areBornApart(known: KnownEntry, facts: FileFacts): boolean {
  return known.birthUs !== null && facts.birthUs !== null && known.birthUs !== facts.birthUs;
}

function describe(error: unknown): string {
  const code = systemCode(error);
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return "it vanished while it was indexed";
    case "EACCES":
    case "EPERM":
      return "no permission to read it";
    case "ELOOP":
      return "it became a symbolic link while it was indexed";
    case "ENAMETOOLONG":
      return "its path is too long";
    default:
      return `it could not be read (${code})`;
  }
}
