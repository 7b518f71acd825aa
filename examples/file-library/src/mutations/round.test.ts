import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { openTestLibrary, type TestLibrary } from "../library.test-support.js";
import { makeRound } from "./round.js";
import { buildScratchTree } from "./scratch-tree.js";
import { SeededRandom } from "./seeded-random.js";

const DEVICE = "0b7a1f0e-9f6f-4c7b-8d7e-5a1f5f0c0001";

describe("a round of changes", () => {
  const open: TestLibrary[] = [];
  afterEach(async () => {
    for (const library of open.splice(0)) await library.close();
  });

  /** A library with a scratch tree, indexed, changed and indexed again. */
  async function changedLibrary({ seed, rounds = 1 }: { seed: string; rounds?: number }) {
    const library = await openTestLibrary({ deviceId: DEVICE });
    open.push(library);
    const root = join(library.directory, "scratch");
    await buildScratchTree({ root, seed: "tree", files: 60 });
    await library.index(root);
    const before = await tables(library);
    let progress = { done: 0, total: 0 };
    let turns = 0;
    for (let i = 0; i < rounds; i++) {
      await makeRound({
        dataSource: library.dataSource,
        deviceId: DEVICE,
        scratchRoot: root,
        seed,
        round: "r",
        fileChanges: 60,
        recordChanges: 200,
        nextTurn: () => {
          turns++;
          return setImmediate();
        },
        onProgress: (now) => {
          progress = now;
        },
      });
    }
    const decided = { files: await filesBelow(root), ...(await tables(library)) };
    const result = await library.index(root);
    return { library, root, before, decided, result, progress, turns, after: await tables(library) };
  }

  it("ends with the change that is under way when it is stopped", async () => {
    const library = await openTestLibrary({ deviceId: DEVICE });
    open.push(library);
    const root = join(library.directory, "scratch");
    await buildScratchTree({ root, seed: "tree", files: 10 });
    const controller = new AbortController();
    let done = 0;
    const round = makeRound({
      dataSource: library.dataSource,
      deviceId: DEVICE,
      scratchRoot: root,
      seed: "stop",
      round: "r",
      fileChanges: 10,
      recordChanges: 10,
      nextTurn: setImmediate,
      onProgress: (progress) => {
        done = progress.done;
        if (done === 12) controller.abort(new Error("stopped"));
      },
      signal: controller.signal,
    });
    await expect(round).rejects.toThrow("stopped");
    expect(done).toBe(12);
  });

  async function filesBelow(root: string): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const item of await readdir(root, { withFileTypes: true, recursive: true })) {
      const path = join(item.parentPath, item.name);
      // The name that is not UTF-8 can't be opened by its text; it is there or not.
      const content = item.name.includes("\u{fffd}")
        ? "bytes"
        : item.isSymbolicLink()
          ? await readlink(path)
          : item.isFile()
            ? (await readFile(path)).toString("base64")
            : "directory";
      found[path.slice(root.length)] = content;
    }
    return found;
  }

  async function tables({ dataSource }: TestLibrary) {
    return {
      tags: await dataSource.query<{ uuid: string }[]>("SELECT uuid, name, colour FROM tag ORDER BY uuid"),
      taggings: await dataSource.query<unknown[]>(
        `SELECT e.name AS entry, t.uuid AS tag FROM entry_tag et
         JOIN entry e ON e.id = et.entryId JOIN tag t ON t.id = et.tagId ORDER BY e.name, t.uuid`,
      ),
      metadata: await dataSource.query<unknown[]>("SELECT notes, favourite, rating FROM user_metadata ORDER BY id"),
      entries: await dataSource.query<{ name: string }[]>("SELECT name FROM entry ORDER BY name"),
      described: await dataSource.query<unknown[]>("SELECT name FROM entry WHERE metadataId IS NOT NULL ORDER BY name"),
    };
  }

  it("changes files, tags, taggings and metadata", async () => {
    const { before, after, result, progress, turns, library } = await changedLibrary({ seed: "one" });
    expect(before.tags).toEqual([]);
    expect(after.tags.length).toBeGreaterThan(8);
    expect(after.taggings.length).toBeGreaterThan(10);
    expect(after.metadata.length).toBeGreaterThan(10);
    expect(after.described.length).toBeGreaterThan(10);
    for (const count of [result.added, result.changed, result.moved, result.deleted]) expect(count).toBeGreaterThan(0);
    expect(progress).toEqual({ done: 260, total: 260 });
    expect(turns).toBe(200);
    expect(await library.dataSource.query("PRAGMA foreign_key_check")).toEqual([]);
  });

  it("is the same for the same seed, and another for another", async () => {
    // Before the tree is indexed again: there the file system has a say too, because it may give the inode of a deleted
    // directory to a new one, which the indexer then takes for the old one with all its tags.
    const { decided: first } = await changedLibrary({ seed: "one" });
    const { decided: second } = await changedLibrary({ seed: "one" });
    const { decided: other } = await changedLibrary({ seed: "two" });
    expect(second).toEqual(first);
    expect(first.taggings.length).toBeGreaterThan(10);
    expect(first.described.length).toBeGreaterThan(10);
    for (const part of ["files", "tags", "taggings", "metadata"] as const) {
      expect(other[part], part).not.toEqual(first[part]);
    }
  });

  it("can be made again after it was cut off", async () => {
    const { after, library } = await changedLibrary({ seed: "one", rounds: 2 });
    expect(new Set(after.tags.map(({ uuid }) => uuid)).size).toBe(after.tags.length);
    expect(await library.dataSource.query("PRAGMA foreign_key_check")).toEqual([]);
  });

  it("leaves the indexed library and the tree in step", async () => {
    const { root, library } = await changedLibrary({ seed: "three" });
    expect(await library.index(root)).toMatchObject({ added: 0, changed: 0, moved: 0, deleted: 0, problemCount: 0 });
  });
});

describe("seeded chance", () => {
  it("repeats itself, keeps its bounds and is spread evenly", () => {
    const numbers = (seed: string) => {
      const random = new SeededRandom(seed);
      return Array.from({ length: 10_000 }, () => random.int(10));
    };
    const first = numbers("a");
    expect(numbers("a")).toEqual(first);
    expect(numbers("b")).not.toEqual(first);
    for (let digit = 0; digit < 10; digit++) {
      const share = first.filter((number) => number === digit).length / first.length;
      expect(Math.abs(share - 0.1)).toBeLessThan(0.02);
    }
  });
});
