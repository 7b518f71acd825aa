import { describe, expect, it } from "vitest";
import { uninstallCapture, verifyCapture } from "./capture.js";
import { capture, databaseWith, inOtherProcess, model, taken, triggersOf } from "./capture.test-support.js";
import type { Sqlite } from "./database.js";

const SCHEMA = `CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT, body TEXT);
  CREATE TABLE tag (uuid TEXT PRIMARY KEY NOT NULL, name TEXT)`;
const note = model({ table: "note", columns: ["title", "body"] });
const tag = model({ number: 2, table: "tag", key: null, columns: ["name"] });

const NOTE_TRIGGERS = ["birth", "death", "identity", "replace_insert", "replace_update", "update_0"].map(
  (name) => `tidemark_capture_1_${name}`,
);

function uninstall(db: Sqlite) {
  db.transaction(() => uninstallCapture(db)).immediate();
}

describe("installing", () => {
  it("reports models that are seen for the first time, and nothing when all is as it was", () => {
    const db = databaseWith(SCHEMA);
    expect(capture(db, note, tag)).toEqual({
      installed: [
        { model: 1, table: "note" },
        { model: 2, table: "tag" },
      ],
      changed: [],
      removed: [],
      gaps: [],
      foreignTriggers: [],
    });
    expect(triggersOf(db, "note")).toEqual(NOTE_TRIGGERS);
    const version = db.pragma("schema_version", { simple: true });
    const changes = db.prepare("SELECT total_changes()").pluck();
    const before = changes.get();
    expect(capture(db, note, tag)).toEqual({ installed: [], changed: [], removed: [], gaps: [], foreignTriggers: [] });
    expect(db.pragma("schema_version", { simple: true })).toBe(version);
    expect(changes.get()).toBe(before);
  });

  it("follows an intended change of the plan, which is no gap", () => {
    const db = databaseWith(SCHEMA);
    capture(db, model({ table: "note", columns: ["title"] }));
    expect(capture(db, note)).toMatchObject({ changed: [{ model: 1, table: "note" }], gaps: [] });
    db.exec("INSERT INTO note (uuid) VALUES ('a'); UPDATE note SET body = 'b'");
    expect(taken(db)).toEqual(["birth a", "edit a 2"]);
    capture(db, model({ table: "note", columns: ["title"] }));
    db.exec("UPDATE note SET body = 'c'");
    expect(taken(db)).toEqual([]);
  });

  it("removes and names the models that are no longer registered", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note, tag);
    expect(capture(db, note)).toMatchObject({ removed: [{ model: 2, table: "tag" }], gaps: [] });
    expect(triggersOf(db, "tag")).toEqual([]);
    db.exec("INSERT INTO tag VALUES ('a', 'x')");
    expect(taken(db)).toEqual([]);
  });

  it("lets two models change places", () => {
    const db = databaseWith(SCHEMA);
    const one = model({ table: "note", key: null, columns: ["title"] });
    const two = model({ number: 2, table: "tag", key: null, columns: ["name"] });
    capture(db, one, two);
    const report = capture(
      db,
      model({ table: "tag", key: null, columns: ["name"] }),
      model({ number: 2, table: "note", key: null, columns: ["title"] }),
    );
    expect(report).toMatchObject({ gaps: [], changed: [{ model: 1 }, { model: 2 }] });
    db.exec("INSERT INTO tag VALUES ('a', 'x'); INSERT INTO note (uuid) VALUES ('b')");
    expect(taken(db)).toEqual(["birth a", "birth 2:b"]);
  });

  it("takes nothing for a gap where another process renamed a table and a column by plain SQL", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note, tag);
    inOtherProcess(
      db.name,
      "db.exec(\"ALTER TABLE note RENAME TO 'my \\\"note\\\"'; ALTER TABLE 'my \\\"note\\\"' RENAME COLUMN title TO 'the title'\")",
    );
    db.exec(`INSERT INTO "my ""note""" (uuid) VALUES ('a'); UPDATE "my ""note""" SET "the title" = 'x'`);
    expect(taken(db)).toEqual(["birth a", "edit a 1"]);
    const renamed = model({ table: 'my "note"', columns: ["the title", "body"] });
    expect(capture(db, renamed, tag)).toMatchObject({ changed: [{ model: 1, table: 'my "note"' }], gaps: [] });
  });
});

describe("a gap", () => {
  it("is found when triggers are missing, and repaired by installing", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note, tag);
    expect(verifyCapture(db)).toEqual([]);
    inOtherProcess(
      db.name,
      `db.exec("CREATE TABLE copy AS SELECT * FROM note; DROP TABLE note; CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT, body TEXT); DROP TABLE copy")`,
    );
    const reason = `triggers are missing: ${["birth", "death", "identity", "update_0", "replace_insert", "replace_update"].map((name) => `tidemark_capture_1_${name}`).join(", ")}`;
    expect(verifyCapture(db)).toEqual([{ model: 1, table: "note", reason }]);
    expect(capture(db, note, tag).gaps).toEqual([{ model: 1, table: "note", reason }]);
    expect(verifyCapture(db)).toEqual([]);
    db.exec("INSERT INTO note (uuid) VALUES ('a')");
    expect(taken(db)).toEqual(["birth a"]);
  });

  it("is found when a trigger has been altered", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note, tag);
    db.exec(
      "DROP TRIGGER tidemark_capture_2_birth; CREATE TRIGGER tidemark_capture_2_birth AFTER INSERT ON tag BEGIN SELECT 1; END",
    );
    const gap = { model: 2, table: "tag", reason: "triggers have been altered: tidemark_capture_2_birth" };
    expect(verifyCapture(db)).toEqual([gap]);
    expect(capture(db, note, tag).gaps).toEqual([gap]);
    db.exec("INSERT INTO tag VALUES ('a', 'x')");
    expect(taken(db)).toEqual(["birth 2:a"]);
  });

  it("is not seen in a schema that moved for other reasons", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note, tag);
    db.exec("CREATE INDEX note_title ON note (title); ALTER TABLE note ADD COLUMN extra; VACUUM");
    expect(verifyCapture(db)).toEqual([]);
    expect(capture(db, note, tag).gaps).toEqual([]);
  });

  it("is not seen where nothing was ever installed", () => {
    expect(verifyCapture(databaseWith(SCHEMA))).toEqual([]);
  });
});

describe("triggers of the application", () => {
  const others = (trigger: string) => {
    const db = databaseWith(`${SCHEMA}; CREATE TABLE local (x); ${trigger}`);
    return capture(db, note, tag).foreignTriggers;
  };

  it("are named when they write synced tables", () => {
    expect(
      others(
        "CREATE TRIGGER mine AFTER INSERT ON note BEGIN INSERT INTO local VALUES (1); INSERT OR IGNORE INTO \"tag\" VALUES (NEW.uuid, 'x'); UPDATE note SET title = 'y'; END",
      ),
    ).toEqual([{ trigger: "mine", table: "note", writes: ["tag", "note"] }]);
  });

  it.each([
    [
      "write only local tables",
      "CREATE TRIGGER mine AFTER INSERT ON note BEGIN INSERT INTO local SELECT name FROM tag; END",
    ],
    [
      "ask the guard",
      "CREATE TRIGGER mine AFTER INSERT ON note WHEN NOT EXISTS (SELECT 1 FROM tidemark_applying) BEGIN DELETE FROM tag; END",
    ],
    ["stand on local tables", "CREATE TRIGGER mine AFTER INSERT ON local BEGIN DELETE FROM tag; END"],
  ])("are let be when they %s", (_, trigger) => {
    expect(others(trigger)).toEqual([]);
  });

  it("that write another synced table are captured on a local write", () => {
    const db = databaseWith(
      `${SCHEMA}; CREATE TRIGGER mine AFTER INSERT ON note BEGIN INSERT INTO tag VALUES (NEW.uuid, 'x'); END`,
    );
    capture(db, note, tag);
    db.exec("INSERT INTO note (uuid) VALUES ('a')");
    expect([...taken(db)].sort()).toEqual(["birth 2:a", "birth a"]);
  });
});

describe("uninstalling", () => {
  it("takes out every trigger, after which the sync tables may go", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note, tag);
    uninstall(db);
    expect([...triggersOf(db, "note"), ...triggersOf(db, "tag")]).toEqual([]);
    expect(db.prepare("SELECT count(*) FROM tidemark_capture").pluck().get()).toBe(0);
    db.exec("DROP TABLE tidemark_outbox; DROP TABLE tidemark_applying; DROP TABLE tidemark_capture");
    db.exec("INSERT INTO note (uuid) VALUES ('a'); DELETE FROM note");
    uninstall(db);
  });

  it("leaves the application's own triggers", () => {
    const db = databaseWith(`${SCHEMA}; CREATE TRIGGER mine AFTER INSERT ON note BEGIN DELETE FROM tag; END`);
    capture(db, note, tag);
    uninstall(db);
    expect(db.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").pluck().all()).toEqual(["mine"]);
  });

  it("counts as never installed afterwards", () => {
    const db = databaseWith(SCHEMA);
    capture(db, note);
    uninstall(db);
    expect(capture(db, note)).toMatchObject({ installed: [{ model: 1, table: "note" }], gaps: [] });
  });
});
