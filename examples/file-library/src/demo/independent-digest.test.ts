import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openTestLibrary, type TestLibrary } from "../library.test-support.js";
import { independentDigest } from "./independent-digest.js";
import { modelNameOf } from "./model-names.js";

const DEVICE = "0b7a1f0e-9f6f-4c7b-8d7e-5a1f5f0c0001";

describe("the demo's own digest", () => {
  let library: TestLibrary;

  beforeEach(async () => {
    library = await openTestLibrary({ deviceId: DEVICE });
    const root = join(library.directory, "tree");
    await mkdir(join(root, "d"), { recursive: true });
    await writeFile(join(root, "d/f"), "f");
    await library.index(root);
    const { dataSource } = library;
    await dataSource.query("INSERT INTO tag (id, uuid, name, colour) VALUES (1, 'tag-1', 'n', '#000')");
    await dataSource.query("INSERT INTO tag (id, uuid, name, colour) VALUES (2, 'tag-2', 'm', '#000')");
    await dataSource.query("INSERT INTO entry_tag (entryId, tagId) SELECT id, 1 FROM entry");
  });

  afterEach(() => library.close());

  async function digests() {
    const all: Record<string, string> = {};
    for (const metadata of library.dataSource.entityMetadatas) {
      const { rows, digest } = await independentDigest(library.dataSource, metadata);
      all[modelNameOf(metadata)] = `${rows} ${digest}`;
    }
    return all;
  }

  const differing = (a: Record<string, string>, b: Record<string, string>) =>
    Object.keys(a).filter((name) => a[name] !== b[name]);

  it("covers every table by its model's name", async () => {
    const all = await digests();
    expect(Object.keys(all).sort()).toEqual([
      "ContentIdentity",
      "Device",
      "Entry",
      "Entry.tags",
      "Location",
      "Tag",
      "UserMetadata",
      "Volume",
    ]);
    expect(all["Entry.tags"]).toMatch(/^2 /);
  });

  it("does not depend on local keys", async () => {
    const before = await digests();
    const { dataSource } = library;
    await dataSource.query("PRAGMA foreign_keys = OFF");
    await dataSource.query("UPDATE tag SET id = id + 100");
    await dataSource.query("UPDATE entry_tag SET tagId = tagId + 100");
    await dataSource.query("UPDATE entry SET id = 1000 - id, parentId = 1000 - parentId");
    await dataSource.query("UPDATE entry_tag SET entryId = 1000 - entryId");
    expect(await digests()).toEqual(before);
  });

  it("sees each kind of difference, in its own model only", async () => {
    const before = await digests();
    const { dataSource } = library;
    await dataSource.query("UPDATE tag SET colour = '#001' WHERE id = 2");
    const recoloured = await digests();
    expect(differing(before, recoloured)).toEqual(["Tag"]);
    await dataSource.query("UPDATE entry SET parentId = NULL");
    const flattened = await digests();
    expect(differing(recoloured, flattened)).toEqual(["Entry"]);
    await dataSource.query("UPDATE entry_tag SET tagId = 2");
    const retagged = await digests();
    expect(differing(flattened, retagged)).toEqual(["Entry.tags"]);
    await dataSource.query("UPDATE entry SET nameBytes = x'ff'");
    expect(differing(retagged, await digests())).toEqual(["Entry"]);
  });

  it("reads tables of several pages", async () => {
    const { dataSource } = library;
    await dataSource.query(
      `INSERT INTO tag (uuid, name, colour)
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
       SELECT 'many-' || i, 'n', '#000' FROM n`,
    );
    await dataSource.query(
      "INSERT INTO entry_tag (entryId, tagId) SELECT e.id, t.id FROM entry e, tag t WHERE t.id > 2",
    );
    const before = await digests();
    expect(before.Tag).toMatch(/^12002 /);
    expect(before["Entry.tags"]).toMatch(/^24002 /);
    await dataSource.query("UPDATE tag SET name = 'o' WHERE uuid = 'many-9999'");
    expect(differing(before, await digests())).toEqual(["Tag"]);
  });
});
