import { execFileSync } from "node:child_process";
import { link, mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isTidemarkError } from "@tidemark/plugin-api";
import { DataSource } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fileLibraryEntities } from "../models/registration.js";
import { encodeFileName, type FileName, joinPath } from "./file-name.js";
import { type FileFacts, type FileSystem, nodeFileSystem } from "./file-system.js";
import { type IndexOptions, indexLocation } from "./index-location.js";
import { registerDevice, registerLocation } from "./location-registry.js";

const DEVICE = "0b7a1f0e-9f6f-4c7b-8d7e-5a1f5f0c0001";

describe("indexing a directory", () => {
  let work: string;
  let root: string;
  let dataSource: DataSource;
  let locationId: number;
  let counter: number;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), "file-library-index-"));
    root = join(work, "tree");
    await mkdir(root);
    dataSource = new DataSource({
      type: "better-sqlite3",
      database: join(work, "library.sqlite"),
      entities: fileLibraryEntities,
      synchronize: true,
    });
    await dataSource.initialize();
    await registerDevice({ dataSource, deviceId: DEVICE, name: "here" });
    locationId = (await registerLocation({ dataSource, deviceId: DEVICE, name: "tree", path: root })).id;
    counter = 0;
  });

  afterEach(async () => {
    await dataSource.destroy();
    await rm(work, { recursive: true, force: true });
  });

  function index(options: Partial<IndexOptions> = {}) {
    return indexLocation({
      dataSource,
      fs: nodeFileSystem,
      clock: { now: () => 1_700_000_000_000 + counter },
      random: { bytes: (length) => Buffer.alloc(length, counter++ % 251) },
      locationId,
      root,
      ...options,
    });
  }

  interface Row extends FileName {
    id: number;
    parentId: number | null;
    uuid: string;
    kind: string;
    hash: string | null;
    content: string | null;
  }

  /** The library's view: path → entry. */
  async function library(): Promise<Record<string, Row>> {
    const rows = await dataSource.query<Row[]>(
      `SELECT e.id, e.parentId, e.uuid, e.name, e.nameBytes, e.kind, c.hash, c.kind AS content
       FROM entry e LEFT JOIN content_identity c ON c.id = e.contentId`,
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    const path = (row: Row): Buffer => {
      const name = encodeFileName(row);
      return row.parentId === null ? name : joinPath(path(byId.get(row.parentId)!), name);
    };
    return Object.fromEntries(
      rows
        .map((row): [string, Row] => [path(row).toString("latin1"), row])
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  }

  it("finds every file, directory and link, with content where there is one", async () => {
    await mkdir(join(root, "a/b"), { recursive: true });
    await writeFile(join(root, "a/one.txt"), "one");
    await writeFile(join(root, "a/b/same.txt"), "one");
    await writeFile(join(root, "empty"), "");
    await writeFile(join(root, "zero.bin"), Buffer.from([1, 0, 2]));
    await symlink("nowhere/at/all", join(root, "dangling"));
    await symlink("a", join(root, "to-a"));

    const result = await index();
    const entries = await library();

    expect(Object.entries(entries).map(([path, { kind, content }]) => [path, kind, content])).toEqual([
      ["a", "directory", null],
      ["a/b", "directory", null],
      ["a/b/same.txt", "file", "text"],
      ["a/one.txt", "file", "text"],
      ["dangling", "symlink", null],
      ["empty", "file", "empty"],
      ["to-a", "symlink", null],
      ["zero.bin", "file", "binary"],
    ]);
    expect(entries["a/one.txt"]?.hash).toBe("7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
    expect(await dataSource.query("SELECT count(*) AS n FROM content_identity")).toEqual([{ n: 3 }]);
    expect(result).toMatchObject({ added: 8, unchanged: 0, filesHashed: 4, problemCount: 0 });
  });

  it("writes nothing when it is run again and nothing has changed", async () => {
    await mkdir(join(root, "d"));
    await writeFile(join(root, "d/f"), "x");
    await index();
    const before = await library();
    const result = await index();
    expect(result).toMatchObject({ added: 0, changed: 0, moved: 0, deleted: 0, unchanged: 2, filesHashed: 0 });
    expect(await library()).toEqual(before);
  });

  it("reads a file again when its size or its time has changed, and keeps its identity", async () => {
    await writeFile(join(root, "f"), "first");
    await writeFile(join(root, "same-size"), "12345");
    await index();
    const before = await library();
    await writeFile(join(root, "f"), "second!");
    await writeFile(join(root, "same-size"), "54321");
    await utimes(join(root, "same-size"), 1000, 2000);
    const result = await index();
    const after = await library();
    expect(result).toMatchObject({ changed: 2, added: 0, deleted: 0, filesHashed: 2 });
    for (const path of ["f", "same-size"]) {
      expect(after[path]?.uuid).toBe(before[path]?.uuid);
      expect(after[path]?.hash).not.toBe(before[path]?.hash);
    }
  });

  it("follows files and directories that were renamed or moved, without reading them again", async () => {
    await mkdir(join(root, "old/deep"), { recursive: true });
    await mkdir(join(root, "target"));
    await writeFile(join(root, "old/deep/f"), "deep");
    await writeFile(join(root, "plain"), "plain");
    await writeFile(join(root, "old/leaves"), "leaves");
    await index();
    const before = await library();
    await rename(join(root, "old/leaves"), join(root, "stays"));
    await rename(join(root, "old"), join(root, "target/new"));
    await rename(join(root, "target/new/deep/f"), join(root, "target/new/deep/g"));
    await rename(join(root, "plain"), join(root, "also plain"));

    const result = await index();
    const after = await library();

    expect(Object.keys(after)).toEqual([
      "also plain",
      "stays",
      "target",
      "target/new",
      "target/new/deep",
      "target/new/deep/g",
    ]);
    expect(after["also plain"]?.uuid).toBe(before.plain?.uuid);
    expect(after.stays?.uuid).toBe(before["old/leaves"]?.uuid);
    expect(after["target/new"]?.uuid).toBe(before.old?.uuid);
    expect(after["target/new/deep"]?.uuid).toBe(before["old/deep"]?.uuid);
    expect(after["target/new/deep/g"]?.uuid).toBe(before["old/deep/f"]?.uuid);
    expect(result).toMatchObject({ moved: 4, added: 0, deleted: 0, filesHashed: 0 });
  });

  /** A file system on which all directories below the location have the inode 7. */
  function oneInode(births: (path: string) => Pick<FileFacts, "birthUs" | "changedUs">): FileSystem {
    return {
      ...nodeFileSystem,
      async facts(path) {
        const facts = await nodeFileSystem.facts(path);
        const inode = path.toString() === root ? facts.inode : "7";
        return facts.kind === "directory" ? { ...facts, inode, ...births(path.toString()) } : facts;
      },
    };
  }

  it("does not take a new directory for a deleted one whose inode it got", async () => {
    const fs = oneInode((path) => ({ birthUs: path.endsWith("/old") ? 1_000 : 2_000, changedUs: 3_000 }));
    await mkdir(join(root, "old"));
    await index({ fs });
    const before = await library();
    await rm(join(root, "old"), { recursive: true });
    await mkdir(join(root, "new"));
    const result = await index({ fs });
    const after = await library();
    expect(Object.keys(after)).toEqual(["new"]);
    expect(after.new?.uuid).not.toBe(before.old?.uuid);
    expect(result).toMatchObject({ added: 1, deleted: 1, moved: 0 });
    expect(await index({ fs })).toMatchObject({ unchanged: 1, changed: 0 });
  });

  it.each([
    ["does not tell births", () => ({ birthUs: null, changedUs: 3_000 })],
    ["passes off the last change as the birth", () => ({ birthUs: ++counter, changedUs: counter })],
  ])("follows a directory by its inode alone where the system %s", async (_, births) => {
    const fs = oneInode(births);
    await mkdir(join(root, "old"));
    await index({ fs });
    const before = await library();
    await rename(join(root, "old"), join(root, "new"));
    const result = await index({ fs });
    expect((await library()).new?.uuid).toBe(before.old?.uuid);
    expect(result).toMatchObject({ moved: 1, added: 0, deleted: 0 });
  });

  it("turns a tree inside out without a cycle", async () => {
    await mkdir(join(root, "y/x"), { recursive: true });
    await index();
    const before = await library();
    await rename(join(root, "y/x"), join(root, "x"));
    await rename(join(root, "y"), join(root, "x/y"));
    await index();
    const after = await library();
    expect(Object.keys(after)).toEqual(["x", "x/y"]);
    expect(after.x?.uuid).toBe(before["y/x"]?.uuid);
    expect(after["x/y"]?.uuid).toBe(before.y?.uuid);
  });

  it("takes a hard link for a file of its own", async () => {
    await writeFile(join(root, "m"), "content");
    await index();
    const before = await library();
    await link(join(root, "m"), join(root, "a"));
    const result = await index();
    const after = await library();
    expect(result).toMatchObject({ added: 1, moved: 0, deleted: 0 });
    expect(after.m?.uuid).toBe(before.m?.uuid);
    expect(after.a?.uuid).not.toBe(before.m?.uuid);
  });

  it("deletes what is gone, with all below it, and what became something else", async () => {
    await mkdir(join(root, "gone/deep"), { recursive: true });
    await writeFile(join(root, "gone/deep/f"), "f");
    await writeFile(join(root, "shape"), "a file");
    await index();
    const before = await library();
    // Made while the others are still there: else it may get the inode of one of them, and count as moved.
    await mkdir(join(root, "next"));
    await rm(join(root, "gone"), { recursive: true });
    await rm(join(root, "shape"));
    await rename(join(root, "next"), join(root, "shape"));
    const result = await index();
    const after = await library();
    expect(Object.keys(after)).toEqual(["shape"]);
    expect(after.shape?.uuid).not.toBe(before.shape?.uuid);
    expect(result.deleted).toBe(4);
  });

  it("keeps names that are not valid UTF-8 apart", async () => {
    const names = [Buffer.from([0x66, 0xff]), Buffer.from([0x66, 0xfe]), Buffer.from("f\u{fffd}")];
    for (const name of names) await writeFile(joinPath(Buffer.from(root), name), name);
    await index();
    const rows = await dataSource.query<FileName[]>("SELECT name, nameBytes FROM entry ORDER BY nameBytes");
    expect(rows.map((row) => row.name)).toEqual(["f\u{fffd}", "f\u{fffd}", "f\u{fffd}"]);
    expect(rows.map((row) => row.nameBytes)).toEqual([null, names[1], names[0]]);
    expect(await index()).toMatchObject({ unchanged: 3, added: 0, deleted: 0 });
  });

  it("records special files without opening them", async () => {
    execFileSync("mkfifo", [join(root, "pipe")]);
    const result = await index();
    expect((await library()).pipe).toMatchObject({ kind: "other", hash: null });
    expect(result).toMatchObject({ added: 1, filesHashed: 0, problemCount: 0 });
  });

  it("reports a file that vanishes before it is read, and goes on", async () => {
    await writeFile(join(root, "f1"), "1");
    await writeFile(join(root, "f2"), "2");
    const vanishing: FileSystem = {
      ...nodeFileSystem,
      async *read(path, sizeHint) {
        if (path.toString().endsWith("f1")) await rm(path);
        yield* nodeFileSystem.read(path, sizeHint);
      },
    };
    const result = await index({ fs: vanishing });
    expect(Object.keys(await library())).toEqual(["f2"]);
    expect(result.problems).toEqual([{ path: "f1", reason: "it vanished while it was indexed" }]);
  });

  it("reports a directory that vanishes before it is listed, and takes nothing else for deleted", async () => {
    await mkdir(join(root, "d"));
    await writeFile(join(root, "d/f"), "f");
    await writeFile(join(root, "top"), "t");
    await index();
    const vanishing: FileSystem = {
      ...nodeFileSystem,
      facts: async (path) => {
        if (!path.toString().endsWith("/d")) return nodeFileSystem.facts(path);
        throw Object.assign(new Error("gone"), { code: "ENOENT" });
      },
    };
    const result = await index({ fs: vanishing });
    expect(result.problems).toEqual([{ path: "d", reason: "it vanished while it was indexed" }]);
    expect(result.deleted).toBe(0);
    expect(Object.keys(await library())).toEqual(["d", "d/f", "top"]);
  });

  it("records an unreadable file without content, reports it, and reads it once it can", async () => {
    await writeFile(join(root, "secret"), "s");
    const refusing: FileSystem = {
      ...nodeFileSystem,
      // biome-ignore lint/correctness/useYield: it fails before there is anything to yield
      async *read() {
        throw Object.assign(new Error("no"), { code: "EACCES" });
      },
    };
    const refused = await index({ fs: refusing });
    expect(refused.problems).toEqual([{ path: "secret", reason: "no permission to read it" }]);
    expect((await library()).secret?.hash).toBeNull();
    expect(await index()).toMatchObject({ changed: 1, filesHashed: 1, problemCount: 0 });
    expect((await library()).secret?.hash).not.toBeNull();
  });

  it("keeps what lies in a directory that can't be listed for now", async () => {
    await mkdir(join(root, "d"));
    await writeFile(join(root, "d/f"), "f");
    await index();
    const refusing: FileSystem = {
      ...nodeFileSystem,
      list: async (path) => {
        if (!path.toString().endsWith("/d")) return nodeFileSystem.list(path);
        throw Object.assign(new Error("no"), { code: "EACCES" });
      },
    };
    const result = await index({ fs: refusing });
    expect(result).toMatchObject({ deleted: 0, problems: [{ path: "d", reason: "no permission to read it" }] });
    expect(Object.keys(await library())).toEqual(["d", "d/f"]);
  });

  it("does not believe a content that changed while it was read", async () => {
    await writeFile(join(root, "log"), "12345");
    const growing: FileSystem = {
      ...nodeFileSystem,
      async *read(path, sizeHint) {
        await writeFile(path, "1234567890");
        yield* nodeFileSystem.read(path, sizeHint);
      },
    };
    const result = await index({ fs: growing });
    expect(result.problemCount).toBe(1);
    expect((await library()).log?.hash).toBeNull();
  });

  it("refuses a location that is missing or is a file, saying what to do", async () => {
    const code = async (path: string) => {
      const error = await index({ root: path }).catch((reason: unknown) => reason);
      expect(isTidemarkError(error)).toBe(true);
      return (error as { code: string }).code;
    };
    await writeFile(join(work, "file"), "");
    expect(await code(join(work, "nothing"))).toBe("FILE_LIBRARY_DIRECTORY_MISSING");
    expect(await code(join(work, "file"))).toBe("FILE_LIBRARY_NOT_A_DIRECTORY");
  });

  it("leaves out what it is told to, and stops at the limit without deleting the rest", async () => {
    for (const name of ["a", "b", "c"]) {
      await mkdir(join(root, name));
      await writeFile(join(root, name, "f"), name);
    }
    await index({ skip: [join(root, "b")] });
    expect(Object.keys(await library())).toEqual(["a", "a/f", "c", "c/f"]);
    const limited = await index({ maxFiles: 1 });
    expect(limited.deleted).toBe(0);
    expect(Object.keys(await library())).toEqual(["a", "a/f", "b", "c", "c/f"]);
  });

  it("can be cut off between any two batches and picks up where it was", async () => {
    for (let i = 0; i < 20; i++) {
      await mkdir(join(root, `d${i}`));
      await writeFile(join(root, `d${i}`, "f"), `content ${i}`);
    }
    for (const stopAt of [1, 3, 1, 2]) {
      const controller = new AbortController();
      let reads = 0;
      const counting: FileSystem = {
        ...nodeFileSystem,
        async *read(path, sizeHint) {
          if (++reads === stopAt) controller.abort(new Error("cut off"));
          yield* nodeFileSystem.read(path, sizeHint);
        },
      };
      await expect(index({ fs: counting, batchSize: 4, signal: controller.signal })).rejects.toThrow("cut off");
    }
    await index({ batchSize: 4 });
    expect(Object.keys(await library())).toHaveLength(40);
    expect(await index()).toMatchObject({ unchanged: 40 });
  });

  it("can be stopped in the midst of a file that has no end", async () => {
    await writeFile(join(root, "endless"), "x");
    const controller = new AbortController();
    let pieces = 0;
    const endless: FileSystem = {
      ...nodeFileSystem,
      async *read() {
        for (;;) {
          if (++pieces === 3) controller.abort(new Error("stopped"));
          // A run that did not stop would go on for ever.
          if (pieces > 10) return;
          yield Buffer.from("x");
        }
      },
    };
    await expect(index({ fs: endless, signal: controller.signal })).rejects.toThrow("stopped");
    expect(await library()).toEqual({});
  });

  it("tells its progress, which ends at the total", async () => {
    for (let i = 0; i < 10; i++) await writeFile(join(root, `f${i}`), `${i}`);
    const seen: number[] = [];
    let last = { done: 0, total: 0 };
    await index({
      batchSize: 3,
      onProgress: (progress) => {
        seen.push(progress.done);
        last = progress;
      },
    });
    expect(last).toMatchObject({ done: 10, total: 10 });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size).toBeGreaterThan(2);
  });
});
