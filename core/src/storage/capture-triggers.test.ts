import { describe, expect, it } from "vitest";
import {
  capture,
  connect,
  databaseWith,
  inOtherProcess,
  model,
  registry,
  taken,
  triggersOf,
} from "./capture.test-support.js";
import { planCapture } from "./capture-plan.js";
import { captureTriggers } from "./capture-triggers.js";

const NOTE = "CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT, body TEXT)";
const note = model({ table: "note", columns: ["title", "body"] });

function notes() {
  const db = databaseWith(NOTE);
  capture(db, note);
  return db;
}

describe("what is written", () => {
  it("is logged as birth, edits of the columns that changed, and death", () => {
    const db = notes();
    db.exec("INSERT INTO note (uuid, title) VALUES ('a', 'x')");
    db.exec("UPDATE note SET title = 'y', body = NULL WHERE uuid = 'a'");
    db.exec("UPDATE note SET title = 'z', body = 'b' WHERE uuid = 'a'");
    db.exec("DELETE FROM note");
    expect(taken(db)).toEqual(["birth a", "edit a 1", "edit a 1,2", "death a key=1"]);
  });

  it("carries the local key of a row that is born or gets another identity", () => {
    const db = notes();
    db.exec("INSERT INTO note (id, uuid) VALUES (7, 'a')");
    db.exec("UPDATE note SET uuid = 'b'");
    const births = db.prepare("SELECT record, key FROM tidemark_outbox WHERE mask = -1 ORDER BY seq").raw().all();
    expect(births).toEqual([
      ["a", 7],
      ["b", 7],
    ]);
  });

  it("carries the wall time as a julian day", () => {
    const db = notes();
    db.exec("INSERT INTO note (uuid) VALUES ('a')");
    const difference = db.prepare("SELECT abs(t - julianday('now')) FROM tidemark_outbox").pluck().get();
    expect(difference).toBeLessThan(0.01);
  });

  it("is not logged when no value changes", () => {
    const db = notes();
    db.exec("INSERT INTO note (uuid, title) VALUES ('a', 'x'); DELETE FROM tidemark_outbox");
    db.exec("UPDATE note SET title = 'x', body = NULL, id = 9");
    expect(taken(db)).toEqual([]);
  });

  it("is logged row by row for statements over many rows", () => {
    const db = notes();
    db.exec(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO note (uuid) SELECT 'u' || i FROM n",
    );
    db.exec("UPDATE note SET title = 't'");
    db.exec("DELETE FROM note");
    const lines = taken(db);
    expect(lines).toHaveLength(3000);
    expect(lines[999]).toBe("birth u1000");
    expect(lines[1999]).toBe("edit u1000 1");
    expect(lines[2999]).toBe("death u1000 key=1000");
  });

  it("is logged for a table without rowids", () => {
    const db = databaseWith("CREATE TABLE tag (uuid TEXT PRIMARY KEY NOT NULL, name TEXT) WITHOUT ROWID");
    capture(db, model({ table: "tag", key: null, columns: ["name"] }));
    db.exec("INSERT INTO tag VALUES ('a', 'x'); UPDATE tag SET name = 'y'; DELETE FROM tag");
    expect(taken(db)).toEqual(["birth a", "edit a 1", "death a"]);
  });

  it("is logged beside generated columns, which are not synced", () => {
    const db = databaseWith(
      "CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, title TEXT, upper TEXT AS (upper(title)) STORED, size INT AS (length(title)))",
    );
    capture(db, model({ table: "note", columns: ["title"] }));
    db.exec("INSERT INTO note (uuid, title) VALUES ('a', 'x'); UPDATE note SET title = 'y'");
    expect(taken(db)).toEqual(["birth a", "edit a 1"]);
  });

  it("is logged for every column of a table with more than one mask can hold", () => {
    const names = Array.from({ length: 120 }, (_, index) => `c${index + 1}`);
    const db = databaseWith(`CREATE TABLE wide (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, ${names.join(", ")})`);
    capture(db, model({ table: "wide", columns: names.map((name) => ({ column: name, affinity: "none" as const })) }));
    db.exec("INSERT INTO wide (uuid) VALUES ('a')");
    taken(db);
    for (const number of [1, 48, 49, 96, 97, 120]) {
      db.exec(`UPDATE wide SET c${number} = 'x'`);
      expect(taken(db)).toEqual([`edit a ${number}`]);
    }
    db.exec("UPDATE wide SET c48 = 1, c49 = 1, c120 = 1");
    expect([...taken(db)].sort()).toEqual(["edit a 120", "edit a 48", "edit a 49"]);
    db.exec(`UPDATE wide SET ${names.map((name) => `${name} = 'all'`).join(", ")}`);
    expect(
      taken(db)
        .flatMap((line) => line.split(" ")[2]!.split(","))
        .sort(),
    ).toEqual(names.map((_, index) => `${index + 1}`).sort());
  });

  it("is logged under any names", () => {
    const names = ['quo"te', "it's", "two words", "select", "größe ✓", "[brackets]", "semi;colon", "NEW"];
    const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
    for (const table of names) {
      const db = databaseWith(
        `CREATE TABLE ${quoted(table)} ("the ""key""" INTEGER PRIMARY KEY, "order" TEXT NOT NULL UNIQUE, ${names.map((name) => `${quoted(name)} UNIQUE`).join(", ")})`,
      );
      capture(
        db,
        model({
          table,
          key: 'the "key"',
          identity: "order",
          columns: names.map((column) => ({ column, affinity: "none" as const })),
          uniqueKeys: names.map((name) => [name]),
        }),
      );
      db.exec(`INSERT INTO ${quoted(table)} ("order") VALUES ('a')`);
      for (const name of names) db.exec(`UPDATE ${quoted(table)} SET ${quoted(name)} = 1`);
      db.exec(`DELETE FROM ${quoted(table)}`);
      expect(taken(db)).toEqual(["birth a", ...names.map((_, index) => `edit a ${index + 1}`), "death a key=1"]);
    }
  });
});

describe("a change that only SQLite can see", () => {
  const change = (
    declared: string,
    affinity: "none" | "text" | "integer" | "real" | "numeric",
    from: string,
    to: string,
  ) => {
    const db = databaseWith(`CREATE TABLE v (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, c ${declared})`);
    capture(db, model({ table: "v", columns: [{ column: "c", affinity }] }));
    db.exec(`INSERT INTO v (uuid, c) VALUES ('a', ${from})`);
    taken(db);
    db.exec(`UPDATE v SET c = ${to}`);
    return taken(db).length === 1;
  };

  it.each([
    ["the case of letters under NOCASE", "TEXT COLLATE NOCASE", "text", "'abc'", "'ABC'"],
    ["trailing spaces under RTRIM", "TEXT COLLATE RTRIM", "text", "'abc'", "'abc '"],
    ["a byte of a blob", "BLOB", "none", "x'0102'", "x'0103'"],
    ["a byte of a blob after a NUL", "BLOB", "none", "x'0000'", "x'0001'"],
    ["text that differs after a NUL", "TEXT", "text", "'a' || char(0) || 'b'", "'a' || char(0) || 'c'"],
    ["a text that becomes a blob of the same bytes", "TEXT", "text", "'abc'", "x'616263'"],
    ["a value that becomes NULL", "TEXT", "text", "'abc'", "NULL"],
    ["NULL that becomes the empty text", "TEXT", "text", "NULL", "''"],
    ["2^53 + 1 that becomes 2^53", "INTEGER", "integer", "9007199254740993", "9007199254740992"],
    ["the last bit of a real", "REAL", "real", "0.3", "0.30000000000000004"],
    ["1 that becomes 1.0 without affinity", "", "none", "1", "1.0"],
    ["1 that becomes '1' without affinity", "", "none", "1", "'1'"],
  ] as const)("is logged: %s", (_, declared, affinity, from, to) => {
    expect(change(declared, affinity, from, to)).toBe(true);
  });

  it.each([
    ["NULL to NULL", "TEXT", "text", "NULL", "NULL"],
    ["1 to 1.0 in an INTEGER column, which stores 1", "INTEGER", "integer", "1", "1.0"],
    ["1 to '1' in an INTEGER column, which stores 1", "INTEGER", "integer", "1", "'1'"],
    ["1 to 1.0 in a NUMERIC column, which stores 1", "NUMERIC", "numeric", "1", "1.0"],
    ["0.0 to -0.0 in a REAL column, which stores 0.0", "REAL", "real", "0.0", "-0.0"],
    ["a blob to itself", "BLOB", "none", "x'00ff'", "x'00ff'"],
  ] as const)("is not logged when the stored value stays: %s", (_, declared, affinity, from, to) => {
    expect(change(declared, affinity, from, to)).toBe(false);
  });
});

describe("an identity", () => {
  it("that is changed by an update is a death and a birth, in that order", () => {
    const db = databaseWith("CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, title TEXT, folder INT)");
    const folder = model({ number: 2, table: "folder" });
    const owned = model({
      table: "note",
      columns: ["title", { column: "folder", affinity: "integer", target: folder }],
      owner: (columns) => [columns[1]!],
    });
    capture(db, owned);
    db.exec("INSERT INTO note (id, uuid, title, folder) VALUES (5, 'a', 't', 7)");
    taken(db);
    db.exec("UPDATE note SET uuid = 'b', title = 'u', folder = 8, id = 6");
    expect(taken(db)).toEqual(["death a key=5 hop=7", "birth b hop=8"]);
  });

  it("that changes only in case is another identity", () => {
    const db = databaseWith("CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE COLLATE NOCASE, title TEXT)");
    capture(db, model({ table: "note", columns: ["title"] }));
    db.exec("INSERT INTO note (uuid) VALUES ('a')");
    taken(db);
    db.exec("UPDATE note SET uuid = 'A'");
    expect(taken(db)).toEqual(["death a key=1", "birth A"]);
  });

  it("is not touched by a change of the local integer key", () => {
    const db = notes();
    db.exec("INSERT INTO note (uuid) VALUES ('a')");
    taken(db);
    db.exec("UPDATE note SET id = 77");
    db.exec("UPDATE note SET rowid = 78");
    expect(taken(db)).toEqual([]);
  });

  it("that is derived and holds no number is readable all the same", () => {
    const db = databaseWith("CREATE TABLE j (a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (a, b))");
    const target = model({ number: 2, table: "x" });
    const key = { affinity: "integer" as const, target };
    const columns = [
      { column: "a", ...key },
      { column: "b", ...key },
    ];
    capture(db, model({ table: "j", columns, derived: ["a", "b"] }));
    expect(triggersOf(db, "j")).not.toContain("tidemark_capture_1_update_0");
    db.exec("INSERT INTO j VALUES ('x', 2)");
    expect(taken(db)).toEqual(["birth [0,2]"]);
  });

  it("that is derived is logged as the local keys, and any key column changes it", () => {
    const db = databaseWith(
      "CREATE TABLE note_tag (tagId INTEGER NOT NULL, noteId INTEGER NOT NULL, position INT, PRIMARY KEY (noteId, tagId))",
    );
    const target = model({ number: 2, table: "x" });
    capture(
      db,
      model({
        table: "note_tag",
        columns: [
          { column: "noteId", affinity: "integer", target },
          { column: "tagId", affinity: "integer", target },
          { column: "position", affinity: "integer" },
        ],
        derived: ["noteId", "tagId"],
      }),
    );
    db.exec("INSERT INTO note_tag (noteId, tagId) VALUES (5, 7); UPDATE note_tag SET position = 1, noteId = 5");
    db.exec("UPDATE note_tag SET tagId = 8; DELETE FROM note_tag");
    expect(taken(db)).toEqual(["birth [5,7]", "edit [5,7] 3", "death [5,7]", "birth [5,8]", "death [5,8]"]);
    db.exec(
      "INSERT INTO note_tag (noteId, tagId) VALUES (5, 7); INSERT OR REPLACE INTO note_tag (noteId, tagId) VALUES (5, 7)",
    );
    expect(taken(db)).toEqual(["birth [5,7]", "birth [5,7]"]);
  });

  it("that is derived from identities is readable JSON, whatever they are", () => {
    const db = databaseWith("CREATE TABLE link (a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b)) WITHOUT ROWID");
    const target = model({ number: 2, table: "x", key: null });
    const reference = { target, byIdentity: true };
    capture(
      db,
      model({
        table: "link",
        columns: [
          { column: "a", ...reference },
          { column: "b", ...reference },
        ],
        derived: ["a", "b"],
      }),
    );
    const identities = ["plain", 'quo"te', "back\\slash", "it's", "tab\tline\n\u0001\u001f", "größe ✓ 🎈", "]"];
    const insert = db.prepare("INSERT INTO link VALUES (?, ?)");
    for (const identity of identities) insert.run(identity, "b");
    const records = db.prepare("SELECT record FROM tidemark_outbox ORDER BY seq").pluck().all() as string[];
    expect(records.map((record) => JSON.parse(record))).toEqual(identities.map((identity) => [identity, "b"]));
    db.prepare("DELETE FROM tidemark_outbox").run();
    insert.run("nul\0", "b");
    expect(JSON.parse(db.prepare("SELECT record FROM tidemark_outbox").pluck().get() as string)).toEqual([null, "b"]);
  });

  it("that is derived from one reference is followed also through the rowid", () => {
    const db = databaseWith("CREATE TABLE profile (userId INTEGER PRIMARY KEY, name TEXT)");
    const target = model({ number: 2, table: "x" });
    const userId = { column: "userId", affinity: "integer" as const, target };
    capture(db, model({ table: "profile", columns: [userId, "name"], derived: ["userId"] }));
    db.exec("INSERT INTO profile VALUES (1, 'a'); UPDATE profile SET rowid = 2");
    expect(taken(db)).toEqual(["birth [1]", "death [1]", "birth [2]"]);
  });
});

describe("OR REPLACE, OR IGNORE and upserts", () => {
  const NAMED = `CREATE TABLE tag (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT UNIQUE, folder INT);
    INSERT INTO tag VALUES (1, 'a', 'red', 9), (2, 'b', 'blue', 9)`;
  const tag = model({
    table: "tag",
    columns: ["name", { column: "folder", affinity: "integer", target: model({ number: 2, table: "folder" }) }],
    uniqueKeys: [["name"]],
    owner: (columns) => [columns[1]!],
  });
  const tags = (schema = NAMED) => {
    const db = databaseWith(schema);
    capture(db, tag);
    return db;
  };

  it("replacing a record of the same identity is a birth, with nobody suspected", () => {
    const db = tags();
    db.exec("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('a', 'green')");
    expect(taken(db)).toEqual(["birth a"]);
  });

  it("replacing a record of another identity names it as suspect, with its key and hop", () => {
    const db = tags();
    db.exec("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('c', 'red')");
    expect(taken(db)).toEqual(["suspect a key=1 hop=9", "birth c"]);
  });

  it("also logs the death where recursive_triggers is on", () => {
    const db = tags();
    db.pragma("recursive_triggers = ON");
    db.exec("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('c', 'red')");
    expect(taken(db)).toEqual(["suspect a key=1 hop=9", "death a key=1 hop=9", "birth c"]);
    db.exec("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('b', 'navy')");
    expect(taken(db)).toEqual(["death b key=2 hop=9", "birth b"]);
  });

  it("names every record that stands in the way", () => {
    const db = tags();
    db.exec("INSERT OR REPLACE INTO tag (id, uuid, name) VALUES (1, 'c', 'blue')");
    expect([...taken(db)].sort()).toEqual(["birth c", "suspect a key=1 hop=9", "suspect b key=2 hop=9"]);
  });

  it("replacing by update names the record that gives way", () => {
    const db = tags();
    db.exec("UPDATE OR REPLACE tag SET name = 'red' WHERE uuid = 'b'");
    expect(taken(db)).toEqual(["suspect a key=1 hop=9", "edit b 1 hop=9"]);
    db.exec("UPDATE OR REPLACE tag SET folder = 10, name = 'red'");
    expect(taken(db)).toEqual(["edit b 2 hop=9"]);
  });

  it("replacing by update of the integer key names the record that gives way", () => {
    const db = tags();
    db.exec("UPDATE OR REPLACE tag SET id = 1 WHERE uuid = 'b'");
    expect(taken(db)).toEqual(["suspect a key=1 hop=9"]);
  });

  it("a NULL in a unique key stands in nobody's way", () => {
    const db = tags();
    db.exec("UPDATE tag SET name = NULL");
    taken(db);
    db.exec("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('c', NULL)");
    expect(taken(db)).toEqual(["birth c"]);
  });

  it("an ignored insert leaves a false suspect and nothing else", () => {
    const db = tags();
    db.exec("INSERT OR IGNORE INTO tag (uuid, name) VALUES ('c', 'red')");
    expect(taken(db)).toEqual(["suspect a key=1 hop=9"]);
    db.exec("INSERT OR IGNORE INTO tag (uuid, name) VALUES ('c', 'green')");
    expect(taken(db)).toEqual(["birth c"]);
  });

  it("an upsert is an edit where the record exists", () => {
    const db = tags();
    const upsert = db.prepare(
      "INSERT INTO tag (uuid, name) VALUES (?, ?) ON CONFLICT (uuid) DO UPDATE SET name = excluded.name",
    );
    upsert.run("a", "pink");
    upsert.run("a", "pink");
    upsert.run("c", "green");
    expect(taken(db)).toEqual(["edit a 1 hop=9", "birth c"]);
  });

  it("a conflict clause of the statement does not reach the outbox", () => {
    const db = tags();
    db.exec("INSERT OR REPLACE INTO tag (uuid, name) VALUES ('c', 'green')");
    db.exec("UPDATE OR REPLACE tag SET name = 'lime' WHERE uuid = 'c'");
    expect(taken(db)).toEqual(["birth c", "edit c 1"]);
  });

  it("costs nothing where no other key can clash", () => {
    const plan = planCapture(model({ table: "tag", key: null, columns: ["name"] }), registry([]));
    expect(captureTriggers(plan).filter(({ sql }) => sql.includes(" BEFORE "))).toEqual([]);
  });
});

describe("the way to the owner", () => {
  it("is logged as it was before a change, and as it is after a birth", () => {
    const db = databaseWith("CREATE TABLE entry (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, name TEXT, volume INT)");
    const volume = { column: "volume", affinity: "integer" as const, target: model({ number: 2, table: "volume" }) };
    capture(db, model({ table: "entry", columns: ["name", volume], owner: (columns) => [columns[1]!] }));
    db.exec(
      "INSERT INTO entry (uuid, volume) VALUES ('a', 3); UPDATE entry SET volume = 4; UPDATE entry SET name = 'x'",
    );
    expect(taken(db)).toEqual(["birth a hop=3", "edit a 2 hop=3", "edit a 1 hop=4"]);
    db.exec("UPDATE entry SET uuid = 'b', volume = 5; UPDATE entry SET volume = NULL; DELETE FROM entry");
    expect(taken(db)).toEqual(["death a key=1 hop=4", "birth b hop=5", "edit b 2 hop=5", "death b key=1"]);
  });
});

describe("consequences", () => {
  const tree = (action: string) => {
    const db = databaseWith(
      `CREATE TABLE folder (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, title TEXT);
       CREATE TABLE note (id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, folder INT REFERENCES folder (id) ${action})`,
    );
    const folder = model({ number: 2, table: "folder", columns: ["title"] });
    capture(db, folder, model({ table: "note", columns: [{ column: "folder", affinity: "integer", target: folder }] }));
    db.pragma("foreign_keys = ON");
    db.exec("INSERT INTO folder (uuid) VALUES ('f'); INSERT INTO note (uuid, folder) VALUES ('a', 1), ('b', 1)");
    taken(db);
    return db;
  };

  it("of a delete by cascade are logged, the children before the parent", () => {
    const db = tree("ON DELETE CASCADE");
    db.exec("DELETE FROM folder");
    expect(taken(db)).toEqual(["death a key=1", "death b key=2", "death 2:f key=1"]);
  });

  it("of SET NULL are logged as edits", () => {
    const db = tree("ON DELETE SET NULL");
    db.exec("DELETE FROM folder");
    expect(taken(db)).toEqual(["edit a 1", "edit b 1", "death 2:f key=1"]);
  });

  it("of a replaced parent are logged although the parent's own death is not", () => {
    const db = tree("ON DELETE CASCADE");
    db.exec("INSERT OR REPLACE INTO folder (id, uuid) VALUES (1, 'g')");
    expect(taken(db)).toEqual(["suspect 2:f key=1", "death a key=1", "death b key=2", "birth 2:g"]);
  });
});

describe("transactions and connections", () => {
  it("a rollback takes the log entries along", () => {
    const db = notes();
    db.exec("BEGIN; INSERT INTO note (uuid) VALUES ('a'); ROLLBACK");
    expect(taken(db)).toEqual([]);
  });

  it("of a transaction with a rolled back savepoint only the rest is logged", () => {
    const db = notes();
    db.exec("BEGIN; INSERT INTO note (uuid) VALUES ('a'); SAVEPOINT s; INSERT INTO note (uuid) VALUES ('b')");
    db.exec("ROLLBACK TO s; INSERT INTO note (uuid) VALUES ('c'); RELEASE s; COMMIT");
    expect(taken(db)).toEqual(["birth a", "birth c"]);
  });

  it("another connection is captured", () => {
    const db = notes();
    connect(db.name).exec("INSERT INTO note (uuid) VALUES ('a')");
    expect(taken(db)).toEqual(["birth a"]);
  });

  it("another process without any of our code is captured", () => {
    const db = notes();
    inOtherProcess(
      db.name,
      `db.exec("INSERT INTO note (uuid, title) VALUES ('a', 'x'); UPDATE note SET title = 'y'; DELETE FROM note")`,
    );
    expect(taken(db)).toEqual(["birth a", "edit a 1", "death a key=1"]);
  });

  it("an apply transaction is silent, and the next write is not", () => {
    const db = databaseWith(`${NOTE}; CREATE UNIQUE INDEX note_title ON note (title)`);
    capture(db, model({ table: "note", columns: ["title", "body"], uniqueKeys: [["title"]] }));
    db.exec("BEGIN; INSERT INTO tidemark_applying VALUES (1)");
    db.exec("INSERT INTO note (uuid, title) VALUES ('a', 'x'); UPDATE note SET title = 'y'");
    db.exec(
      "UPDATE note SET uuid = 'b'; INSERT OR REPLACE INTO note (uuid, title) VALUES ('c', 'y'); DELETE FROM note",
    );
    db.exec("DELETE FROM tidemark_applying; COMMIT");
    expect(taken(db)).toEqual([]);
    db.exec("INSERT INTO note (uuid) VALUES ('d')");
    expect(taken(db)).toEqual(["birth d"]);
  });
});

it("the triggers name no function or syntax that old versions of SQLite lack", () => {
  const text = captureTriggers(planCapture(note, registry([note])))
    .map(({ sql }) => sql)
    .join("\n");
  expect(text).not.toMatch(/unixepoch|RETURNING|json_|->|\bIIF\b|DISTINCT FROM|\bTRUE\b|\bFALSE\b|NULLS|OVER\s*\(/i);
  expect(text).toContain("julianday('now')");
});
