import { appendFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { joinPath } from "../indexer/file-name.js";
import { nodeFileSystem } from "../indexer/file-system.js";
import { walk } from "../indexer/walk.js";
import type { SeededRandom } from "./seeded-random.js";

/**
 * Renames, moves, deletes, creates and edits files and directories of a scratch tree. Each change looks at the tree as it
 * is, so a run that was cut off can simply be made again.
 */
export async function changeScratchTree({
  root,
  random,
  changes,
  onChange,
}: {
  readonly root: string;
  readonly random: SeededRandom;
  readonly changes: number;
  readonly onChange?: () => void;
}): Promise<void> {
  const tree = await readTree(root);
  for (let i = 0; i < changes; i++) {
    await changeOnce(tree, random);
    onChange?.();
  }
}

interface Tree {
  readonly root: Buffer;
  /** Relative paths. The root itself is the empty path, and stays. */
  directories: Buffer[];
  files: Buffer[];
}

async function readTree(root: string): Promise<Tree> {
  const tree: Tree = { root: Buffer.from(root), directories: [Buffer.alloc(0)], files: [] };
  const unreadable = (_: Buffer, error: unknown) => {
    throw error;
  };
  for await (const { directory, items } of walk({ fs: nodeFileSystem, root: tree.root, onUnreadable: unreadable })) {
    for (const item of items) {
      (item.isDirectory ? tree.directories : tree.files).push(joinPath(directory, item.name));
    }
  }
  return tree;
}

async function changeOnce(tree: Tree, random: SeededRandom): Promise<void> {
  const on = (path: Buffer) => joinPath(tree.root, path);
  const kind = random.next();
  const file = tree.files.length > 0 ? random.pick(tree.files) : null;
  const inner = tree.directories.filter((path) => path.length > 0);

  if (file === null || kind < 0.22) {
    const path = freshPath(tree, random.pick(tree.directories), "new", random);
    await writeFile(on(path), `written ${random.int(1000)}\n`.repeat(1 + random.int(20)));
    tree.files.push(path);
  } else if (kind < 0.42) {
    // Appending always changes the size: the clock of a file system may be too coarse to show two writes.
    if (await isPlainFile(on(file))) await appendFile(on(file), `edited ${random.int(1000)}\n`);
  } else if (kind < 0.6) {
    replace(tree.files, file, await move(tree, file, freshPath(tree, parentOf(file), "renamed", random)));
  } else if (kind < 0.76) {
    const directory = random.pick(tree.directories);
    replace(tree.files, file, await move(tree, file, freshPath(tree, directory, "moved", random)));
  } else if (kind < 0.9) {
    await rm(on(file));
    tree.files.splice(tree.files.indexOf(file), 1);
  } else if (kind < 0.94 || inner.length === 0) {
    const path = freshPath(tree, random.pick(tree.directories), "folder", random);
    await mkdir(on(path));
    tree.directories.push(path);
  } else if (kind < 0.985) {
    const from = random.pick(inner);
    const outside = tree.directories.filter((path) => !isWithin(path, from));
    const to = freshPath(tree, random.pick(outside), "relocated", random);
    await move(tree, from, to);
    const relocate = (path: Buffer) => (isWithin(path, from) ? Buffer.concat([to, path.subarray(from.length)]) : path);
    tree.directories = tree.directories.map(relocate);
    tree.files = tree.files.map(relocate);
  } else {
    const gone = random.pick(inner);
    await rm(on(gone), { recursive: true });
    tree.directories = tree.directories.filter((path) => !isWithin(path, gone));
    tree.files = tree.files.filter((path) => !isWithin(path, gone));
  }
}

/** A path where nothing is: a round that is made again draws the same names again. */
function freshPath(tree: Tree, directory: Buffer, word: string, random: SeededRandom): Buffer {
  for (;;) {
    const path = joinPath(directory, Buffer.from(`${word} ${random.int(1_000_000_000).toString(36)}`));
    if (![...tree.files, ...tree.directories].some((taken) => taken.equals(path))) return path;
  }
}

async function move(tree: Tree, from: Buffer, to: Buffer): Promise<Buffer> {
  await rename(joinPath(tree.root, from), joinPath(tree.root, to));
  return to;
}

function replace(list: Buffer[], old: Buffer, path: Buffer): void {
  list[list.indexOf(old)] = path;
}

async function isPlainFile(path: Buffer): Promise<boolean> {
  return (await nodeFileSystem.facts(path)).kind === "file";
}

function parentOf(path: Buffer): Buffer {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? Buffer.alloc(0) : path.subarray(0, slash);
}

function isWithin(path: Buffer, directory: Buffer): boolean {
  return (
    path.equals(directory) ||
    (path.length > directory.length &&
      path[directory.length] === 0x2f &&
      path.subarray(0, directory.length).equals(directory))
  );
}
