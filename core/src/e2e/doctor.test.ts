import { readFileSync } from "node:fs";
import { type AnyPlugin, API_VERSION, definePlugin, logMaintenance, TidemarkError } from "@tidemark/plugin-api";
import { Column, Entity, JoinTable, ManyToMany, ManyToOne, PrimaryGeneratedColumn } from "typeorm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { Examination, type Patient } from "../doctor/examination.js";
import { judgeStorage, type StorageFigures } from "../doctor/storage.js";
import { type Diagnosis, FINDING_CODES, type FindingCode, renderDiagnosis } from "../kernel/diagnosis.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { onFile, query, shared, TestLibrary } from "./library.test-support.js";

// A device is damaged in all the ways that the doctor knows of, and must find just that.

@Entity()
class Machine {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
}

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "", unique: true }) name!: string;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "text", default: "" }) text!: string;
  @ManyToOne(() => Note, { nullable: true, onDelete: "CASCADE" }) parent!: Note | null;
  @ManyToMany(() => Tag) @JoinTable() tags!: Tag[];
}

@Entity()
class Item {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ type: "varchar", unique: true }) uuid!: string;
  @Column({ type: "varchar", default: "" }) label!: string;
  @ManyToOne(() => Machine, { nullable: false, onDelete: "CASCADE" }) machine!: Machine;
}

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary({
    entities: [Machine, Tag, Note, Item],
    declarations: [
      ...shared(Tag, Note, { entity: Machine, isDevice: true }),
      { entity: Item, ownership: { kind: "device", owner: "machine" } },
    ],
  });
});
afterEach(() => library.dispose());

/** Two devices in step, with 30 notes that are in the log. */
async function filled(): Promise<{ a: TestKernel; b: TestKernel }> {
  const { a, b } = await library.pair();
  await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t1', 'red'), ('t2', 'blue')");
  await a.dataSource.query(
    `WITH RECURSIVE c(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM c WHERE i < 39)
     INSERT INTO note (uuid, text) SELECT 'n' || i, 'text ' || i FROM c`,
  );
  await a.dataSource.query("INSERT INTO note_tags_tag (noteId, tagId) SELECT id, 1 FROM note LIMIT 5");
  await b.dataSource.query("INSERT INTO machine (uuid) VALUES ('b')");
  await b.dataSource.query("INSERT INTO item (uuid, machineId) VALUES ('i1', 1)");
  await library.settle(a, b);
  return { a, b };
}

function behindCapture({ database }: TestKernel, ...statements: readonly string[]): void {
  onFile(
    database,
    "PRAGMA foreign_keys = OFF",
    "BEGIN IMMEDIATE",
    "INSERT INTO tidemark_applying VALUES (1)",
    ...statements,
    "DELETE FROM tidemark_applying",
    "COMMIT",
  );
}

const brief = ({ findings }: Diagnosis) =>
  findings.map(({ code, severity, model, count, examples }) => ({ code, severity, model, count, examples }));

function codes({ findings }: Diagnosis): readonly FindingCode[] {
  return findings.map(({ code }) => code);
}

describe("the doctor", () => {
  it("finds nothing wrong with devices that are in step, and says what it has looked at", async () => {
    const { a, b } = await filled();
    for (const kernel of [a, b]) {
      const diagnosis = await kernel.tidemark.doctor();
      expect(brief(diagnosis)).toEqual([]);
      expect(diagnosis).toMatchObject({
        healthy: true,
        examined: { tables: 5, rows: 39, logEntries: 39, parkedRecords: 0, members: 2 },
      });
      expect(renderDiagnosis(diagnosis)).toBe(
        "All is well: looked at 39 rows in 5 tables, 39 log entries, 0 parked records and 2 members in 0.0 s.",
      );
    }
  });

  it("changes nothing", async () => {
    const { a } = await filled();
    behindCapture(a, "DELETE FROM note WHERE uuid = 'n12'", "UPDATE note SET parentId = 4711");
    onFile(a.database, "PRAGMA wal_checkpoint(TRUNCATE)");
    const before = readFileSync(a.database);
    expect((await a.tidemark.doctor()).healthy).toBe(false);
    expect(readFileSync(a.database).equals(before)).toBe(true);
    expect(readFileSync(`${a.database}-wal`)).toHaveLength(0);
  });

  it("works while the device is paused, and not when it has stopped", async () => {
    const a = await library.device("a");
    await a.tidemark.pause();
    expect((await a.tidemark.doctor()).healthy).toBe(true);
    await a.tidemark.stop();
    await expect(a.tidemark.doctor()).rejects.toMatchObject({ code: "TIDEMARK_KERNEL_STATE" });
  });

  it("lets the event loop have its turn, and leaves no reader behind", async () => {
    const { a } = await filled();
    let acquired = 0;
    let released = 0;
    a.tidemark.events.on("leaseAcquired", () => acquired++);
    a.tidemark.events.on("leaseReleased", () => released++);
    await a.tidemark.doctor();
    expect(acquired).toBeGreaterThan(0);
    expect(released).toBe(acquired);
  });
});

describe("references", () => {
  it("that lead nowhere are named, by foreign key, by registration, in junctions and in tables that are not synced", async () => {
    const { a } = await filled();
    behindCapture(
      a,
      "CREATE TABLE outside (n INTEGER, note TEXT REFERENCES note (uuid)) ",
      "CREATE TABLE pairs (a INTEGER, b INTEGER, n INTEGER REFERENCES tag, PRIMARY KEY (b, a)) WITHOUT ROWID",
      "INSERT INTO outside VALUES (1, 'n11'), (2, 'nobody'), (3, NULL)",
      "INSERT INTO pairs VALUES (1, 2, 1), (1, 3, 99), (2, 1, NULL)",
      "UPDATE note SET parentId = 4711 WHERE uuid IN ('n15', 'n16')",
      "UPDATE note SET parentId = id WHERE uuid = 'n17'",
      "INSERT INTO note_tags_tag VALUES (1, 77)",
    );
    const found = brief(await a.tidemark.doctor());
    expect(found).toEqual([
      expect.objectContaining({ code: "dangling-references", model: "Note", count: 2, examples: ["n15", "n16"] }),
      expect.objectContaining({ code: "dangling-references", model: "Note.tags", count: 1, examples: ["1 77"] }),
      expect.objectContaining({ code: "dangling-references", model: null, count: 1, examples: ["2"] }),
      expect.objectContaining({ code: "dangling-references", model: null, count: 1, examples: ["3 1"] }),
    ]);
    // SQLite comes to the same.
    expect(query(a.database, "PRAGMA foreign_key_check")).toHaveLength(5);
  });

  it("are found on every page of a long table", async () => {
    const { a } = await filled();
    behindCapture(
      a,
      `WITH RECURSIVE c(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM c WHERE i < 7999)
       INSERT INTO note (uuid, parentId) SELECT 'm' || i, CASE WHEN i % 1000 = 7 THEN -1 END FROM c`,
    );
    const [finding] = (await a.tidemark.doctor()).findings;
    expect(finding).toMatchObject({
      code: "dangling-references",
      count: 7,
      examples: ["m1007", "m2007", "m3007", "m4007", "m5007"],
    });
  });

  it("can't lead to records without an identity that travels, which are named", async () => {
    const { a } = await filled();
    await a.dataSource.query("INSERT INTO note (uuid) VALUES ('not fit'), ('ürsprünglich'), (''), (x'61')");
    expect(brief(await a.tidemark.doctor())).toEqual([
      { code: "unfit-identities", severity: "warning", model: "Note", count: 3, examples: ['"not fit"', '""', '"a"'] },
    ]);
  });
});

describe("capture", () => {
  it("is compared with what the models need", async () => {
    const { a } = await filled();
    const [trigger] = query<{ name: string }>(
      a.database,
      "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'note' AND name LIKE '%birth'",
    );
    onFile(a.database, `DROP TRIGGER "${trigger!.name}"`);
    const diagnosis = await a.tidemark.doctor();
    expect(brief(diagnosis)).toEqual([
      { code: "capture-gap", severity: "error", model: "Note", count: 1, examples: [] },
    ]);
    expect(diagnosis.findings[0]!.why).toContain(trigger!.name);
  });

  it("is turned off by what somebody leaves for its triggers, and on again at the next start", async () => {
    const { a, b } = await filled();
    onFile(a.database, "INSERT INTO tidemark_applying VALUES (1)");
    await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('unseen', 'unseen')");
    const diagnosis = await a.tidemark.doctor();
    expect(brief(diagnosis)).toEqual([{ code: "capture-gap", severity: "error", model: null, count: 1, examples: [] }]);
    expect(diagnosis.findings[0]!.what).toBe("No change is captured at all");
    const again = await library.restart("a", a, { role: "found" });
    expect(again.recordedOf("captureGap").map(({ model }) => model)).toContain("Tag");
    await again.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('seen', 'seen')");
    await library.clock.advance(5_000);
    // What went unseen has been found by comparing with the peer.
    expect(query(b.database, "SELECT uuid FROM tag WHERE uuid LIKE '%seen' ORDER BY uuid")).toEqual([
      { uuid: "seen" },
      { uuid: "unseen" },
    ]);
    expect(codes(await again.tidemark.doctor())).toEqual([]);
  });

  it("warns of triggers that write synced tables by themselves", async () => {
    const { a } = await filled();
    onFile(
      a.database,
      "CREATE TRIGGER shout AFTER UPDATE ON tag BEGIN UPDATE note SET text = upper(text); END",
      `CREATE TRIGGER polite AFTER UPDATE ON tag WHEN NOT EXISTS (SELECT 1 FROM tidemark_applying)
       BEGIN UPDATE note SET text = upper(text); END`,
    );
    expect(brief(await a.tidemark.doctor())).toEqual([
      { code: "application-trigger", severity: "warning", model: null, count: 1, examples: ["shout"] },
    ]);
  });
});

describe("the log", () => {
  it("is compared with the rows", async () => {
    const { a, b } = await filled();
    await a.dataSource.query("DELETE FROM note WHERE uuid = 'n20'");
    await library.settle(a, b);
    behindCapture(
      a,
      "DELETE FROM note WHERE uuid IN ('n30', 'n31')",
      "INSERT INTO note (uuid) VALUES ('n20')",
      "INSERT INTO tidemark_parked SELECT num, 'n32', 'hidden', 'because', '{}', 0 FROM tidemark_model WHERE name = 'Note'",
      "INSERT INTO tidemark_extra SELECT num, 'n99', 9, '1' FROM tidemark_model WHERE name = 'Note'",
    );
    expect(brief(await a.tidemark.doctor()).filter(({ code }) => code !== "hidden-records")).toEqual([
      { code: "records-missing", severity: "error", model: "Note", count: 2, examples: ["n30", "n31"] },
      { code: "records-not-deleted", severity: "error", model: "Note", count: 1, examples: ["n20"] },
      { code: "records-in-two-places", severity: "error", model: "Note", count: 1, examples: ["n32"] },
      { code: "leftovers", severity: "info", model: "Note", count: 1, examples: ["n99"] },
    ]);
  });

  it("is well while what it has forgotten waits to be swept away, with what was kept of the dead", async () => {
    const { a, b } = await filled();
    library.network.cut("a", "b");
    await a.dataSource.query("DELETE FROM note WHERE uuid = 'n20'");
    await library.clock.advance(1_000);
    await b.dataSource.query("UPDATE note SET text = 'too late' WHERE uuid = 'n20'");
    await library.clock.advance(1_000);
    library.network.heal("a", "b");
    await library.settle(a, b);
    const keptDead = () => query(a.database, "SELECT record FROM tidemark_parked WHERE kind = 'dead'");
    expect(keptDead()).toEqual([{ record: "n20" }]);
    const maintenance = a.tidemark.services.get(logMaintenance);
    for (let turn = 0; turn < 3; turn++) {
      for (const kernel of [a, b]) {
        await kernel.tidemark.services.get(logMaintenance).acknowledge();
        await library.clock.advance(500);
      }
      expect(await maintenance.prune({ maxSlices: 0 })).toMatchObject({ stamps: 0, more: true });
    }
    expect(brief(await a.tidemark.doctor())).toEqual([]);
    await maintenance.prune();
    expect(keptDead()).toEqual([]);
  });

  it.each([
    ["behind its end", "UPDATE tidemark_stamp SET seq = 4711 WHERE record = 'n12'"],
    ["place that another", "UPDATE tidemark_stamp SET seq = 7 WHERE record IN ('n12', 'n13')"],
    ["never reached", "UPDATE tidemark_stamp SET hlc = 1 << 52 WHERE record = 'n12'"],
    ["without a time", "UPDATE tidemark_stamp SET hlc = -5 WHERE record = 'n12'"],
    ["never reached", "UPDATE tidemark_state SET hlc = 'noon'"],
    ["not known", "UPDATE tidemark_stamp SET origin = 9 WHERE record = 'n12'"],
    ["not known", "DELETE FROM tidemark_member"],
    ["model that has no name", "UPDATE tidemark_stamp SET model = 99 WHERE record = 'n12'"],
    ["column that has no name", "UPDATE tidemark_stamp SET col = 99 WHERE record = 'n12'"],
  ])("is damaged where an entry stands or is, as it says: %s", async (words, damage) => {
    const { a } = await filled();
    onFile(a.database, damage);
    const found = (await a.tidemark.doctor()).findings.filter(({ code }) => code === "log-damaged");
    expect(found.map(({ what }) => what).join()).toContain(words);
    expect(found[0]!.severity).toBe("error");
  });

  it("is not judged by rows whose changes have no stamp yet", async () => {
    const { a } = await filled();
    const inserted = a.dataSource.query("INSERT INTO note (uuid) SELECT 'x' || uuid FROM note");
    const diagnosis = a.tidemark.doctor();
    await a.dataSource.query("DELETE FROM note WHERE uuid LIKE 'xn2%'");
    await inserted;
    expect((await diagnosis).healthy).toBe(true);
  });
});

/** Keeps back, or throws away, whatever comes of notes. */
function picky(what: "deferred" | "rejected"): AnyPlugin {
  return definePlugin({
    manifest: { id: "picky", version: "1.0.0", apiVersion: API_VERSION },
    activate({ hooks }) {
      hooks.beforeApplyBatch.tap((batch) => {
        const notes = batch.operations.filter(({ model }) => model === "Note");
        const named = notes.map(({ id }) => ({ id, reason: "it is a note" }));
        return {
          ...batch,
          operations: batch.operations.filter(({ model }) => model !== "Note"),
          [what]: [...batch[what], ...named],
        };
      });
    },
  });
}

describe("parked records", () => {
  it("are told with their reason and their age", async () => {
    const { a, b } = await filled();
    library.network.cut("a", "b");
    await a.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t3', 'green')");
    await b.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('t4', 'green')");
    await a.dataSource.query("DELETE FROM tag WHERE uuid = 't2'");
    await b.dataSource.query("INSERT INTO note_tags_tag SELECT 1, id FROM tag WHERE uuid = 't2'");
    library.network.heal("a", "b");
    await library.clock.advance(3_000);
    const fresh = await a.tidemark.doctor();
    expect(brief(fresh)).toEqual([
      { code: "quarantined-records", severity: "warning", model: "Tag", count: 1, examples: ["t4"] },
      { code: "hidden-records", severity: "info", model: "Note.tags", count: 1, examples: ["n10 t2"] },
    ]);
    expect(fresh.findings[0]!.why).toContain("UNIQUE constraint failed: tag.name");
    library.clock.setWallClock(library.clock.now() + 2 * 24 * 3_600_000);
    const old = await a.tidemark.doctor();
    expect(old.findings.find(({ code }) => code === "hidden-records")).toMatchObject({
      severity: "warning",
      what: '1 record of "Note.tags" waits outside of its table for a record that it refers to, for 2 days',
    });
    expect(old.examined.parkedRecords).toBe(2);
  });

  it("are told when a plugin keeps them back or this version lacks their model", async () => {
    const a = await library.device("a");
    const deferring = await library.device("b", { dial: ["a"], plugins: [picky("deferred")] });
    const rejecting = await library.device("c", { dial: ["a"], plugins: [picky("rejected")] });
    const older = await library.device("d", { dial: ["a"], entities: [Tag], declarations: shared(Tag) });
    await library.settle(a, deferring, rejecting, older);
    await a.dataSource.query("INSERT INTO note (uuid) VALUES ('n1')");
    await library.clock.advance(2_000);
    expect(brief(await deferring.tidemark.doctor())).toMatchObject([
      { code: "deferred-records", severity: "info", model: "Note", examples: ["n1"] },
    ]);
    expect(brief(await rejecting.tidemark.doctor())).toMatchObject([
      { code: "quarantined-records", severity: "warning", model: "Note", examples: ["n1"] },
    ]);
    expect(brief(await older.tidemark.doctor())).toMatchObject([
      { code: "foreign-records", severity: "info", model: "Note", examples: ["n1"] },
    ]);
  });

  it("are told apart from those that wait for their values or for their time", async () => {
    const { a } = await filled();
    library.network.cut("a", "b");
    await a.dataSource.query("UPDATE item SET label = 'not mine'");
    await library.clock.advance(1_000);
    const due = fromPhysicalMs(library.clock.now() + 3 * 3_600_000);
    onFile(a.database, `INSERT INTO tidemark_deferred VALUES (1, ${due}, '{"origins":[],"groups":[]}')`);
    const diagnosis = await a.tidemark.doctor();
    expect(brief(diagnosis)).toEqual([
      { code: "records-to-restore", severity: "warning", model: null, count: 1, examples: ["i1"] },
      { code: "changes-from-the-future", severity: "warning", model: null, count: 1, examples: [] },
    ]);
    expect(diagnosis.findings[1]!.what).toContain("3 hours");
  });
});

describe("membership, clock and vectors", () => {
  it("are told of a device that has not joined, or is about to", async () => {
    const lonely = await library.device("b", { dial: ["a"] });
    const diagnosis = await lonely.tidemark.doctor();
    expect(codes(diagnosis)).toEqual(["not-joined"]);
    expect(diagnosis.healthy).toBe(true);
    await library.device("a");
    await library.clock.advance(3_000);
    onFile(
      lonely.database,
      "UPDATE tidemark_state SET ready = 0",
      `INSERT INTO tidemark_backfill (id, mode, floor, cursors, started) VALUES (1, 'full', 0, '{}', ${library.clock.now() - 600_000})`,
    );
    const [finding] = (await lonely.tidemark.doctor()).findings;
    expect(finding).toMatchObject({ code: "backfilling", why: "a full backfill is under way, since 10 minutes" });
  });

  it.each<readonly [FindingCode, string]>([
    ["vectors-damaged", "INSERT INTO tidemark_vector VALUES (1, 77, 5)"],
    ["vectors-damaged", "UPDATE tidemark_state SET floor = hlc + 5"],
    ["vectors-damaged", "UPDATE tidemark_vector SET hlc = 5 WHERE member = (SELECT self FROM tidemark_state)"],
    ["gone-back-in-time", "UPDATE tidemark_vector SET hlc = 1 << 52 WHERE origin = (SELECT self FROM tidemark_state)"],
    ["no-member-any-more", "UPDATE tidemark_member SET removed_kind = 'removed', removed_hlc = 1, removed_by = origin"],
    ["peer-failing", "UPDATE tidemark_peer SET failures = 7"],
  ])("are looked at: %s after %s", async (code, damage) => {
    const { a, b } = await filled();
    // Everything that members know of each other stands in the tables.
    await library.clock.advance(200_000);
    await b.tidemark.stop();
    await a.tidemark.stop();
    onFile(a.database, damage);
    const again = await library.restart("a", a, { role: "found" });
    const diagnosis = await again.tidemark.doctor();
    expect(codes(diagnosis)).toContain(code);
    expect(diagnosis.healthy).toBe(false);
  });

  it("are told when a peer has been given up", async () => {
    const { a, b } = await filled();
    await b.tidemark.stop();
    await a.dataSource.query(`UPDATE tidemark_peer SET not_before = ${Number.MAX_SAFE_INTEGER}`);
    expect(brief(await a.tidemark.doctor())).toEqual([
      { code: "peer-given-up", severity: "warning", model: null, count: 1, examples: ["b"] },
    ]);
  });

  it("are told when the clock has run ahead, and when somebody keeps the others from forgetting", async () => {
    const { a, b } = await filled();
    await b.tidemark.stop();
    await a.dataSource.query("UPDATE note SET text = 'later' WHERE uuid = 'n11'");
    await library.clock.advance(1_000);
    library.clock.setWallClock(library.clock.now() + 8 * 24 * 3_600_000);
    expect(brief(await a.tidemark.doctor())).toEqual([
      { code: "pruning-held-back", severity: "warning", model: null, count: 1, examples: ["b"] },
    ]);
    library.clock.setWallClock(library.clock.now() - 30 * 24 * 3_600_000);
    const behind = await a.tidemark.doctor();
    expect(brief(behind)).toMatchObject([{ code: "clock-ahead", severity: "warning" }]);
    expect(behind.findings[0]!.what).toContain("22 days");
  });
});

describe("what can't be examined", () => {
  it.each([
    ["The membership of this device", "DELETE FROM tidemark_state"],
    ["The membership of this device", "DROP TABLE tidemark_peer"],
    ["The log", "INSERT INTO tidemark_parked SELECT num, 'n12', 'hidden', '', 'no JSON', 0 FROM tidemark_model"],
    ["What is kept aside", "INSERT INTO tidemark_parked VALUES (1, 'n12', 'nowhere', '', '{}', 0)"],
    ["The log", "DROP TABLE tidemark_outbox"],
    ["The log", "DROP TABLE note_tags_tag"],
  ])("is a finding, and no reason to leave the rest alone: %s after %s", async (subject, damage) => {
    const { a } = await filled();
    behindCapture(a, "UPDATE item SET machineId = 4711");
    onFile(a.database, "PRAGMA foreign_keys = OFF", damage);
    const { findings, healthy } = await a.tidemark.doctor();
    expect(healthy).toBe(false);
    const found = findings.find(({ what }) => what === `${subject} can't be examined`);
    expect(found).toMatchObject({ severity: "error", code: "not-examined" });
    expect(found!.advice).toContain("uninstall()");
    // A look at the rows is the last thing that happens.
    expect(findings.map(({ code }) => code)).toContain("dangling-references");
  });

  it("is mended as it says: nothing is lost, and the device is in step again", async () => {
    const { a, b } = await filled();
    await b.dataSource.query("INSERT INTO tag (uuid, name) VALUES ('made-here', 'made here')");
    onFile(b.database, "PRAGMA foreign_keys = OFF", "DELETE FROM tidemark_state");
    expect(codes(await b.tidemark.doctor())).toContain("not-examined");
    await b.tidemark.uninstall();
    const again = await library.restart("b", b, {
      role: "join",
      dial: ["a"],
      random: new SeededRandom(99),
    });
    await library.settle(a, again);
    expect(codes(await again.tidemark.doctor())).toEqual([]);
    expect(
      query(a.database, "SELECT uuid FROM tag ORDER BY uuid").map((row) => Object.values(row as object)[0]),
    ).toEqual(["made-here", "t1", "t2"]);
  });

  it("is none where the kernel itself says what to do", async () => {
    const stopped = new TidemarkError({ code: "TIDEMARK_POOL_CLOSED", what: "It ended", why: "so", advice: "Wait" });
    const examination = new Examination({} as Patient);
    await expect(examination.attempt("The log", () => Promise.reject(stopped))).rejects.toBe(stopped);
    expect(examination.findings).toEqual([]);
  });
});

describe("storage", () => {
  const MIB = 1024 * 1024;
  const well: StorageFigures = {
    syncTableBytes: 200 * MIB,
    outbox: 50_000,
    isMember: true,
    journalEntries: 10_000,
    walBytes: 200 * MIB,
    freeBytes: 300 * MIB,
    journalMode: "wal",
    settings: { synchronous: 1, foreignKeys: true, recursiveTriggers: true },
  };
  const judged = (figures: Partial<StorageFigures>) => {
    const examination = new Examination({} as Patient);
    judgeStorage(examination, { ...well, ...figures });
    return examination.findings;
  };

  it.each<readonly [FindingCode | null, Partial<StorageFigures>]>([
    [null, {}],
    [null, { freeBytes: null }],
    ["large-sync-tables", { syncTableBytes: 300 * MIB }],
    ["backlog", { outbox: 60_000 }],
    ["backlog", { outbox: 60_000, isMember: false }],
    ["long-journal", { journalEntries: 10_001 }],
    ["large-wal", { walBytes: 300 * MIB }],
    ["little-disk-space", { freeBytes: 200 * MIB }],
    ["unsafe-settings", { journalMode: "delete" }],
    ["unsafe-settings", { settings: { ...well.settings, synchronous: 0 } }],
    ["unsafe-settings", { settings: { ...well.settings, foreignKeys: false } }],
    ["unsafe-settings", { settings: { ...well.settings, recursiveTriggers: false } }],
  ])("is judged as %s by %o", (code, figures) => {
    expect(judged(figures).map((finding) => finding.code)).toEqual(code === null ? [] : [code]);
  });

  it("is measured: the settings of the application's connection, the journal mode and the backlog", async () => {
    const a = await library.device("b", { dial: ["a"] });
    await a.dataSource.query("PRAGMA foreign_keys = OFF");
    await a.dataSource.query("PRAGMA recursive_triggers = OFF");
    await a.dataSource.query("PRAGMA synchronous = OFF");
    await a.dataSource.query(
      `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50001)
       INSERT INTO note (uuid) SELECT 'n' || i FROM c`,
    );
    const diagnosis = await a.tidemark.doctor();
    expect(codes(diagnosis)).toEqual([
      "unsafe-settings",
      "unsafe-settings",
      "unsafe-settings",
      "backlog",
      "not-joined",
    ]);
    const text = renderDiagnosis(diagnosis);
    expect(text).toContain("Something needs attention");
    expect(text).toContain(
      "Warning (unsafe-settings): The application's connection does not enforce foreign keys\n  Why: ",
    );
    expect(text).toContain("  What to do: Set it to NORMAL or FULL.");
  });
});

it("explains every finding in docs/troubleshooting.md", () => {
  const text = readFileSync(new URL("../../../docs/troubleshooting.md", import.meta.url), "utf8");
  expect(FINDING_CODES.filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
});
