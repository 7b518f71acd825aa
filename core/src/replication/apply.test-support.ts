// One device without a kernel: tables of an application, the sync tables, and what merges into both. For tests of what
// arrives, record by record.

import type { WireValue } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import type { SyncModel, SyncRegistry } from "../registry/model.js";
import { LogTransaction } from "../storage/log-transaction.js";
import { Members } from "../storage/members.js";
import { handMadeRegistry } from "../storage/models.test-support.js";
import { RecordReader } from "../storage/record-reader.js";
import { migrateSyncTables } from "../storage/schema.js";
import { Applier, type ApplyOptions, type ApplyResult, type Reconsidered } from "./apply.js";
import type { IncomingRecord } from "./incoming.js";
import { LateReferences } from "./late-references.js";
import { diedLocally, type RecordState, type Stamp, UNSTAMPED } from "./record-state.js";
import type { SettledBlock } from "./settled-block.js";
import { PlainLookup, type TargetLookup } from "./target-lookup.js";

/** One device: its tables, its log, and what merges into both. */
export class Device {
  /** What the connection has run since it was emptied last, with its values. */
  readonly statements: string[] = [];
  readonly db: InstanceType<typeof Database> = new Database(":memory:", {
    verbose: (sql) => void this.statements.push(String(sql)),
  });
  readonly registry: SyncRegistry;
  readonly members = new Members();
  readonly applier: Applier;
  readonly trees: [string, string[]][] = [];
  readonly reader: RecordReader;

  constructor() {
    this.db.pragma("foreign_keys = ON");
    this.db.exec(`
      CREATE TABLE folder (
        id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT, parent_id INTEGER REFERENCES folder (id)
      );
      CREATE TABLE file (
        id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT UNIQUE, size INTEGER DEFAULT 7 CHECK (size >= 0),
        folder_id INTEGER NOT NULL REFERENCES folder (id) ON DELETE RESTRICT
      );
      CREATE TABLE link (
        file_id INTEGER NOT NULL REFERENCES file (id), folder_id INTEGER NOT NULL REFERENCES folder (id),
        PRIMARY KEY (file_id, folder_id)
      );
      CREATE TABLE partner (
        uuid TEXT PRIMARY KEY NOT NULL, other TEXT NOT NULL REFERENCES partner (uuid) DEFERRABLE INITIALLY DEFERRED
      );
      CREATE TABLE note (
        uuid TEXT PRIMARY KEY NOT NULL, text TEXT, about REFERENCES folder (id), file_id INTEGER REFERENCES file (id)
      );
      CREATE TABLE outsider (file_id INTEGER REFERENCES file (id));
    `);
    this.registry = handMadeRegistry(this.db, [
      {
        table: "folder",
        identity: "uuid",
        localKey: "id",
        columns: ["name", "parent_id"],
        references: { parent_id: "folder" },
      },
      {
        table: "file",
        identity: "uuid",
        localKey: "id",
        columns: ["name", "size", "folder_id"],
        references: { folder_id: "folder" },
      },
      {
        table: "link",
        identity: ["file_id", "folder_id"],
        columns: ["file_id", "folder_id"],
        references: { file_id: "file", folder_id: "folder" },
      },
      { table: "partner", identity: "uuid", columns: ["other"], references: { other: "partner" } },
      {
        table: "note",
        identity: "uuid",
        columns: ["text", "about", "file_id"],
        references: { about: "folder", file_id: "file" },
      },
    ]);
    for (const model of this.registry.models) {
      const referencedBy = this.registry.models.flatMap((other) =>
        other.references.filter((it) => it.reference!.target === model).map((column) => ({ model: other, column })),
      );
      Object.assign(model, {
        referencedBy,
        level: ["folder", "file", "link", "note"].indexOf(model.name),
        uniqueKeys: model.name === "file" ? [["name"]] : [],
        tree: model.name === "folder" ? {} : null,
      });
    }
    migrateSyncTables({ db: this.db, logId: "log" });
    this.db.exec(`
      INSERT INTO tidemark_member (num, origin, device, name, join_hlc)
        VALUES (1, 'origin-1', 'a', 'a', 1), (2, 'origin-2', 'b', 'b', 1), (3, 'origin-3', 'c', 'c', 1);
      UPDATE tidemark_state SET self = 1, ready = 1;
    `);
    this.members.load(this.db);
    this.reader = new RecordReader({ registry: this.registry });
    const common = { registry: this.registry, reader: this.reader, members: this.members };
    this.applier = new Applier({
      ...common,
      late: new LateReferences(common),
      now: () => 5_000,
      rebuildTree: (_, model, changed) => void this.trees.push([model.name, [...changed].sort()]),
    });
  }

  model(name: string): SyncModel {
    return this.registry.byName.get(name)!;
  }

  apply(records: readonly IncomingRecord[], options: Partial<ApplyOptions> = {}): ApplyResult {
    return this.#inTransaction((tx, lookup) =>
      this.applier.apply({
        ...{ tx, records, lookup, backfill: false, shortWay: false, ties: "none", forgotten: 0, settledTo: 0 },
        ...options,
      }),
    );
  }

  /** A stretch of a block of a backfill page. */
  applyBlock(
    block: SettledBlock,
    from: number,
    to: number,
    shortWay: boolean,
    lookup: TargetLookup = new PlainLookup(this.reader),
  ): ApplyResult {
    return this.#inTransaction((tx) =>
      this.applier.applyBlock({
        ...{ tx, block, from, to, lookup, shortWay, backfill: true, ties: "unstamped", forgotten: 0, settledTo: 0 },
      }),
    );
  }

  reconsider(records: readonly Reconsidered[]): ApplyResult {
    return this.#inTransaction((tx, lookup) => this.applier.reconsider({ tx, records, lookup }));
  }

  #inTransaction<T>(body: (tx: LogTransaction, lookup: PlainLookup) => T): T {
    return this.db.transaction(() => {
      const tx = new LogTransaction(this.db, () => 0);
      const result = body(tx, new PlainLookup(this.reader));
      tx.save();
      return result;
    })();
  }

  /** The tables by identity, as people see them. */
  rows() {
    const all = (sql: string) => this.db.prepare(sql).raw().all() as string[][];
    return {
      folders: all(
        "SELECT f.uuid, f.name, p.uuid FROM folder f LEFT JOIN folder p ON p.id = f.parent_id ORDER BY f.uuid",
      ),
      files: all(
        "SELECT f.uuid, f.name, f.size, d.uuid FROM file f JOIN folder d ON d.id = f.folder_id ORDER BY f.uuid",
      ),
      links: all(
        "SELECT f.uuid, d.uuid FROM link l JOIN file f ON f.id = l.file_id JOIN folder d ON d.id = l.folder_id ORDER BY 1, 2",
      ),
      partners: all("SELECT uuid, other FROM partner ORDER BY uuid"),
      notes: all(
        `SELECT n.uuid, n.text, d.uuid, typeof(n.about), f.uuid FROM note n
         LEFT JOIN folder d ON d.id = n.about LEFT JOIN file f ON f.id = n.file_id ORDER BY 1`,
      ),
    };
  }

  /** What is kept beside the tables. */
  aside() {
    const all = (sql: string) => this.db.prepare(sql).raw().all() as string[][];
    return {
      parked: all("SELECT model, record, kind, vals FROM tidemark_parked ORDER BY model, record"),
      waiting: all("SELECT model, record, col, target FROM tidemark_waiting ORDER BY model, record, col"),
      stamps: all(
        "SELECT model, record, col, hlc, origin, prior_hlc, prior_origin, age FROM tidemark_stamp ORDER BY 1, 2, 3",
      ),
      extra: all("SELECT model, record, col, val FROM tidemark_extra ORDER BY 1, 2, 3"),
    };
  }

  kinds(): unknown {
    return this.db.prepare("SELECT record, kind FROM tidemark_parked ORDER BY record").raw().all();
  }

  /** Which tables of the application the statements since the last call have written to, in their order. */
  written(): readonly string[] {
    return this.statements.splice(0).flatMap((sql) => {
      const [, verb, table] = /^(INSERT|UPDATE|DELETE)(?: INTO| FROM)? "(\w+)"/.exec(sql) ?? [];
      return table === undefined || table.startsWith("tidemark") ? [] : [`${verb} ${table}`];
    });
  }

  get highWater(): unknown {
    return this.db.prepare("SELECT hlc FROM tidemark_state").pluck().get();
  }

  incoming(model: string, record: string, state: RecordState, values: Readonly<Record<string, WireValue>> = {}) {
    const of = this.model(model);
    return { model: of, record, state, values: of.columns.map(({ name }) => values[name]), extra: null };
  }

  born(model: string, record: string, at: Stamp, values: Readonly<Record<string, WireValue>>): IncomingRecord {
    return this.incoming(model, record, { births: [at], death: UNSTAMPED, columns: new Map() }, values);
  }

  died(model: string, record: string, at: Stamp): IncomingRecord {
    return this.incoming(model, record, diedLocally(at));
  }

  edited(model: string, record: string, at: Stamp, values: Readonly<Record<string, WireValue>>): IncomingRecord {
    const columns = new Map(Object.keys(values).map((name) => [this.model(model).columnByName.get(name)!.number, at]));
    return this.incoming(model, record, { births: [], death: UNSTAMPED, columns }, values);
  }

  folder(record: string, at: Stamp, parent: string | null = null): IncomingRecord {
    return this.born("folder", record, at, { name: `folder ${record}`, parent_id: parent });
  }

  file(record: string, at: Stamp, folder: string, name: string | null = null): IncomingRecord {
    return this.born("file", record, at, { name, size: 1, folder_id: folder });
  }

  note(record: string, at: Stamp, about: string | null, file: string | null = null): IncomingRecord {
    return this.born("note", record, at, { text: `note ${record}`, about, file_id: file });
  }

  partner(record: string, at: Stamp, other: string): IncomingRecord {
    return this.born("partner", record, at, { other });
  }

  link(file: string, folder: string, at: Stamp): IncomingRecord {
    return this.born("link", `${file} ${folder}`, at, { file_id: file, folder_id: folder });
  }
}

export const at = (hlc: number, origin = 2): Stamp => ({ hlc, origin });
export const counts = { applied: 0, superseded: 0, parked: 0, quarantined: 0, rejected: 0, deferred: 0, conflicts: 0 };
