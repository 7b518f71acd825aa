import { constants } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";
import type { EntryKind } from "../models/entry.js";

/**
 * The little that the indexer asks of a file system. Paths and names are bytes. Nothing here follows a symbolic link,
 * writes, or touches a file's times beyond reading it.
 */
export interface FileSystem {
  /** The items of a directory, in no particular order. */
  list(directory: Buffer): Promise<readonly DirectoryItem[]>;
  /** What is at `path`; of a symbolic link, the link itself. */
  facts(path: Buffer): Promise<FileFacts>;
  /** The content of a regular file, piece by piece; a piece is only valid until the next one. */
  read(path: Buffer, sizeHint: number): AsyncIterable<Uint8Array>;
}

export interface DirectoryItem {
  readonly name: Buffer;
  readonly isDirectory: boolean;
}

export interface FileFacts {
  readonly kind: EntryKind;
  /** In bytes; 0 for directories and special files, whose size means nothing elsewhere. */
  readonly size: number;
  /** In microseconds since the Unix epoch. */
  readonly mtimeUs: number;
  readonly mode: number;
  readonly inode: string;
  /** When it was made, in microseconds since the Unix epoch; null where the file system does not say. */
  readonly birthUs: number | null;
  /** When anything about it last changed, its name included, in microseconds since the Unix epoch. */
  readonly changedUs: number;
}

const PIECE_BYTES = 256 * 1024;

export const nodeFileSystem: FileSystem = {
  async list(directory) {
    const items = await readdir(directory, { withFileTypes: true, encoding: "buffer" });
    return items.map((item) => ({ name: item.name, isDirectory: item.isDirectory() }));
  },

  async facts(path) {
    // Whole nanoseconds and inodes beyond 2^53 need bigints.
    const stat = await lstat(path, { bigint: true });
    const kind: EntryKind = stat.isFile()
      ? "file"
      : stat.isDirectory()
        ? "directory"
        : stat.isSymbolicLink()
          ? "symlink"
          : "other";
    return {
      kind,
      size: kind === "file" || kind === "symlink" ? Number(stat.size) : 0,
      mtimeUs: Number(stat.mtimeNs / 1000n),
      mode: Number(stat.mode),
      inode: String(stat.ino),
      birthUs: stat.birthtimeNs > 0n ? Number(stat.birthtimeNs / 1000n) : null,
      changedUs: Number(stat.ctimeNs / 1000n),
    };
  },

  async *read(path, sizeHint) {
    // The path may have become a link or a named pipe since it was looked at: follow none, wait for none.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const buffer = Buffer.allocUnsafe(Math.min(sizeHint + 1, PIECE_BYTES));
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  },
};

/** The system's own code of a failed call, such as `ENOENT`. */
export function systemCode(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : "UNKNOWN";
}
