import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished } from "vitest";
import { nameAllocator } from "../../storage/names.js";
import { park } from "../../storage/parked.js";
import { migrateSyncTables } from "../../storage/schema.js";
import { addWaiting } from "../../storage/waiting.js";
import { emptyDatabase, modelsOf } from "./library-model.js";
import { recordValues } from "./record-values.js";
import { SimulatedDisk } from "./simulated-disk.js";

/** A device's database with the models of the application, of which records can be read as the ledger does. */
async function database() {
  const db = new Database(Buffer.from(await emptyDatabase(1)));
  onTestFinished(() => void db.close());
  migrateSyncTables({ db, logId: "log" });
  const observer = { committed: () => undefined, crashed: () => undefined };
  const disk = new SimulatedDisk({ path: ":memory:", observer, nowMs: () => 0, checkpoints: false });
  const numbers = nameAllocator(db);
  const numberOf = (name: string) => numbers.model(name);
  const columnOf = (model: string, name: string) => numbers.column(numberOf(model), name);
  const read = (name: string, record: string) => {
    const model = modelsOf(1).find((it) => it.name === name);
    return Object.fromEntries(recordValues({ disk, db, number: numberOf(name), model, record }));
  };
  return { db, numberOf, columnOf, read };
}

describe("the values of a record", () => {
  it("are those of a change that the schema refuses, and not what the row still has", async () => {
    const { db, numberOf, columnOf, read } = await database();
    db.exec("INSERT INTO badge (uuid, code, name) VALUES ('b0', 'c0', 'first'), ('b2', 'c1', 'before')");
    expect(read("Badge", "b2")).toEqual({ code: "c1", name: "before" });
    const [code, name] = ["code", "name"].map((column) => columnOf("Badge", column)) as [number, number];
    const values = new Map([
      [code, "c0"],
      [name, "after"],
    ]);
    const parked = { kind: "quarantined", reason: "UNIQUE constraint failed: badge.code", values } as const;
    park({ db, model: numberOf("Badge"), record: "b2", parked, now: 0 });
    expect(read("Badge", "b2")).toEqual({ code: "c0", name: "after" });
    expect(read("Badge", "b0")).toEqual({ code: "c0", name: "first" });
  });

  it("are what is kept of a record that has no row, and the target of a reference that waits", async () => {
    const { db, numberOf, columnOf, read } = await database();
    const folder = numberOf("Folder");
    const values = new Map([[columnOf("Folder", "name"), "hidden"]]);
    park({ db, model: folder, record: "f0", parked: { kind: "hidden", reason: "", values }, now: 0 });
    expect(read("Folder", "f0")).toEqual({ name: "hidden" });
    db.exec("INSERT INTO folder (uuid, name, size) VALUES ('f1', 'here', 3)");
    const column = columnOf("Folder", "parent");
    addWaiting(db, { targetModel: folder, target: "f9", model: folder, record: "f1", column });
    expect(read("Folder", "f1")).toEqual({ name: "here", size: 3, parent: "f9" });
  });
});
