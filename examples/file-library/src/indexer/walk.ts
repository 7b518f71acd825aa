import { joinPath } from "./file-name.js";
import type { DirectoryItem, FileSystem } from "./file-system.js";

/**
 * Goes through a directory tree, parents before children, in the order of the names' bytes, so that two walks over the
 * same tree meet the same things in the same order. Holds one listing per level in memory, not the tree.
 */
export interface Listing {
  /** Relative to the root; empty for the root. */
  readonly directory: Buffer;
  readonly items: readonly DirectoryItem[];
}

export interface WalkOptions {
  readonly fs: FileSystem;
  /** Absolute. */
  readonly root: Buffer;
  /** Stops after so many items that are not directories. Default: no limit. */
  readonly maxFiles?: number;
  /** Absolute paths that are passed over, with all below them. */
  readonly skip?: readonly string[];
  /** A directory that could not be listed. */
  readonly onUnreadable: (directory: Buffer, error: unknown) => void;
  readonly onSkipped?: (path: Buffer) => void;
  readonly signal?: AbortSignal;
}

/**
 * Yields each directory's items. `items` ends early where `maxFiles` is reached; `complete` tells what else the
 * directory holds, so that nobody takes the rest for deleted.
 */
export async function* walk(options: WalkOptions): AsyncGenerator<Listing & { readonly complete: readonly Buffer[] }> {
  const { fs, root, skip = [], signal } = options;
  const skipped = new Set(skip.map((path) => Buffer.from(path).toString("latin1")));
  let left = options.maxFiles ?? Number.POSITIVE_INFINITY;
  const stack: Buffer[] = [Buffer.alloc(0)];
  while (stack.length > 0 && left > 0) {
    signal?.throwIfAborted();
    const directory = stack.pop()!;
    const absolute = directory.length === 0 ? root : joinPath(root, directory);
    let all: DirectoryItem[];
    try {
      all = [...(await fs.list(absolute))].sort((a, b) => Buffer.compare(a.name, b.name));
    } catch (error) {
      options.onUnreadable(directory, error);
      continue;
    }
    const items: DirectoryItem[] = [];
    const children: Buffer[] = [];
    for (const item of all) {
      if (skipped.has(joinPath(absolute, item.name).toString("latin1"))) {
        options.onSkipped?.(joinPath(directory, item.name));
        continue;
      }
      if (!item.isDirectory && left <= 0) continue;
      if (item.isDirectory) children.push(joinPath(directory, item.name));
      else left--;
      items.push(item);
    }
    yield { directory, items, complete: all.map((item) => item.name) };
    for (const child of children.reverse()) stack.push(child);
  }
}

/** How much there is to walk: items of all kinds. The first thing an indexer does, so that progress has a total. */
export async function countItems(options: WalkOptions): Promise<number> {
  let items = 0;
  for await (const listing of walk(options)) items += listing.items.length;
  return items;
}
