import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removalOf } from "../storage/vectors.js";
import { at, type Device } from "./apply.test-support.js";
import { LibraryAlone } from "./library.test-support.js";
import { settleRemovals } from "./settling.js";

let alone: LibraryAlone;
let device: Device;
beforeEach(() => {
  alone = new LibraryAlone();
  device = alone.device;
  Object.assign(alone.library.deps, { logger: { info() {} } });
});
afterEach(() => {
  expect(device.db.pragma("foreign_key_check")).toEqual([]);
  device.db.close();
});

/** c is removed, and b has told that it knows so and has nothing of c. */
async function settleRemovalOfC(): Promise<readonly string[]> {
  device.db.exec(
    "UPDATE tidemark_member SET removed_kind = 'removed', removed_hlc = 9, removed_by = 'origin-1' WHERE num = 3",
  );
  device.members.load(device.db);
  const told = device.db.prepare("INSERT INTO tidemark_vector (member, origin, hlc) VALUES (?, ?, ?)");
  told.run(2, 2, 10);
  told.run(2, removalOf(3), 1);
  told.run(1, 2, 10);
  return (await settleRemovals(alone.library)).map(({ origin }) => origin);
}

describe("what a removed member left half sent", () => {
  it("is stamped anew with the values that it has here", async () => {
    device.apply([
      device.folder("d", at(10)),
      device.file("f", at(11, 3), "d", "text"),
      device.link("f", "d", at(12, 3)),
    ]);
    device.db.exec("UPDATE file SET name = 'not theirs'; INSERT INTO tidemark_restore (model, record) VALUES (2, 'f')");
    expect(await settleRemovalOfC()).toEqual(["origin-3"]);
    expect(device.rows()).toMatchObject({ files: [["f", "not theirs", 1, "d"]], links: [["f", "d"]] });
    expect(device.db.prepare("SELECT DISTINCT origin FROM tidemark_stamp WHERE model <> 1").pluck().all()).toEqual([1]);
    expect(device.db.prepare("SELECT record FROM tidemark_restore").all()).toEqual([]);
  });

  it("is gone where a refused change has taken its row: nobody has its values", async () => {
    device.apply([
      device.folder("d", at(10)),
      device.file("f", at(11, 3), "d", "text"),
      device.link("f", "d", at(12, 3)),
    ]);
    device.db.exec(`DELETE FROM link; DELETE FROM file;
      INSERT INTO tidemark_restore (model, record) VALUES (2, 'f'), (3, 'f d')`);
    expect(await settleRemovalOfC()).toEqual(["origin-3"]);
    expect(device.rows()).toMatchObject({ folders: [["d", "folder d", null]], files: [], links: [] });
    expect(device.aside()).toMatchObject({
      parked: [],
      stamps: [
        [1, "d", -1, 10, 2, 0, 0, null],
        [2, "f", -2, expect.any(Number), 1, 0, 0, null],
        [3, "f d", -2, expect.any(Number), 1, 0, 0, null],
      ],
    });
    expect(device.db.prepare("SELECT record FROM tidemark_restore").all()).toEqual([]);
  });

  it("stays where it is kept aside, which no change has damaged", async () => {
    device.apply([device.file("f", at(11, 3), "d", "text")]);
    device.db.exec("INSERT INTO tidemark_restore (model, record) VALUES (2, 'f')");
    expect(await settleRemovalOfC()).toEqual(["origin-3"]);
    expect(device.kinds()).toEqual([["f", "hidden"]]);
    device.apply([device.folder("d", at(10))]);
    expect(device.rows().files).toEqual([["f", "text", 1, "d"]]);
  });
});
