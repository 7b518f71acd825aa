// Looks at a device's database after every commit of its kernel: enters what was stamped in the ledger, and checks the
// invariants that can be checked there and then. It reads with plain SQL, on the committing connection and unseen by it.

import type { Sqlite } from "../../storage/database.js";
import { noteDifferences, type Tables, TablesAlone } from "./alone.js";
import type { Ledger, WriteStamp } from "./ledger.js";
import { type LibraryModel, modelsOf } from "./library-model.js";
import { namesByNumber, readTable, recordValues } from "./record-values.js";
import type { SimulatedDisk } from "./simulated-disk.js";
import { Violation } from "./trace.js";

/** What a device knows and has promised, as its database says. */
export interface Knowledge {
  readonly origin: string;
  readonly ready: boolean;
  /** The clock's high-water mark: the own entry of the vector. */
  readonly hlc: number;
  readonly floor: number;
  /** Other origins, by id. */
  readonly vector: ReadonlyMap<string, number>;
  /** When each member joined, by origin id; those only whose join counts here. */
  readonly joins: ReadonlyMap<string, number>;
  /** Removed origins, by origin id. */
  readonly removals: ReadonlyMap<string, KnownRemoval>;
}

export interface KnownRemoval {
  readonly kind: string;
  /** The last time of it that counts; null before all members agree. */
  readonly settled: number | null;
}

/** The entry that counts for an origin: what was said, or that it has joined. */
export function entryOf(knowledge: Knowledge, origin: string): number {
  if (origin === knowledge.origin) return knowledge.hlc;
  return knowledge.vector.get(origin) ?? knowledge.joins.get(origin) ?? 0;
}

interface StateRow {
  readonly device: string | null;
  readonly self: number | null;
  readonly hlc: number;
  readonly floor: number;
  readonly sequence: number;
  readonly ready: number;
  readonly log_id: string;
}

interface StampRow {
  readonly model: number;
  readonly record: string;
  readonly col: number;
  readonly hlc: number;
  readonly origin: number;
  readonly prior_hlc: number;
  readonly prior_origin: number;
  readonly age: number | null;
}

const BIRTH = -1;
const DEATH = -2;

/** Those of every version: a device stamps anew what it only keeps for others, too. */
const ALL_MODELS = modelsOf(2);

export class CommitWatch {
  readonly #device: string;
  readonly #models: () => readonly LibraryModel[];
  readonly #ledger: Ledger;
  readonly #others: () => readonly CommitWatch[];
  #sequence = 0;
  #logId = "";
  #knowledge: Knowledge | null = null;
  /** The last that a loss of power can't take back. */
  #durable: Knowledge | null = null;
  #changes = -1;
  /** Set while the device goes by an origin of which others know more than its database does: it was restored. */
  #restored: { readonly origin: string; readonly from: number; readonly upTo: number } | null = null;
  #isReplaced = false;
  /** Removed origins of which this device has known at some time what counts. */
  readonly #settled = new Set<string>();
  readonly #alone = new TablesAlone();

  constructor({
    device,
    models,
    ledger,
    others,
  }: {
    /** Whose database it is; what a copy says of another device is not said of this one. */
    readonly device: string;
    /** Of the version that the device runs. */
    readonly models: () => readonly LibraryModel[];
    readonly ledger: Ledger;
    /** Of all other devices. */
    readonly others: () => readonly CommitWatch[];
  }) {
    this.#device = device;
    this.#models = models;
    this.#ledger = ledger;
    this.#others = others;
  }

  /** As of the last commit; null while the device is no member. */
  get knowledge(): Knowledge | null {
    return this.#knowledge;
  }

  /** As of the last commit that nothing can take back. */
  get durable(): Knowledge | null {
    return this.#durable;
  }

  /** Whether its database was restored from a backup, and nobody has found out yet. */
  get isBehindItself(): boolean {
    return this.#restored !== null && this.#restored.origin === this.#knowledge?.origin;
  }

  /** Whether it is to start on another database than it had. */
  get isReplaced(): boolean {
    return this.#isReplaced;
  }

  /** What the device had stamped between its backup and its restoration, if nobody has found out: nobody has heard of it. */
  get lostWithDatabase(): { readonly origin: string; readonly from: number; readonly upTo: number } | null {
    return this.isBehindItself ? this.#restored : null;
  }

  /** Call before the device starts on another database than it had: nothing of what was known need be in it. */
  replaced(): void {
    this.#knowledge = null;
    this.#durable = null;
    this.#isReplaced = true;
  }

  /**
   * Call before the kernel starts: what the database says now counts. Throws if it has less than what was durable, or less than was
   * committed although nothing could be lost.
   */
  recovered(disk: SimulatedDisk, { powerLoss }: { readonly powerLoss: boolean }): void {
    const db = disk.application!;
    const before = powerLoss ? this.#durable : this.#knowledge;
    const state = readState(disk, db);
    const now = this.#ownKnowledge(disk, db, state);
    const hadLeft = this.#knowledge === null;
    if (before !== null && now === null && !hadLeft)
      throw new Violation("nothing committed is lost", "the membership is gone");
    if (before !== null && now !== null) checkForward(before, now);
    const highest = now === null ? 0 : Math.max(0, ...this.#others().map((other) => other.#heardOf(now.origin)));
    // A founder that nobody has joined is what it is.
    const isAnybodysBusiness = now !== null && (now.joins.size > 1 || highest > 0);
    if (this.#isReplaced && now !== null && isAnybodysBusiness) {
      this.#restored = { origin: now.origin, from: now.hlc, upTo: Math.max(highest, this.#ledger.lastOf(now.origin)) };
    }
    if (this.#restored !== null && this.#restored.origin === now?.origin) {
      this.#ledger.lose(now.origin, Math.max(now.hlc, this.#restored.upTo));
    } else if (now !== null) {
      const lost = this.#ledger.lose(now.origin, now.hlc);
      if (now.joins.size <= 1) this.#ledger.clear();
      for (const other of this.#others()) {
        const known = other.#knowledge?.vector.get(now.origin) ?? 0;
        if (known > now.hlc) {
          throw new Violation(
            "durable before sent",
            `${now.origin} has gone back to ${now.hlc}, and another device has ${known} of it (${lost} writes lost)`,
          );
        }
      }
    }
    if (this.#isReplaced) {
      this.#alone.forget();
      if (now !== null && staysAlone(now)) {
        const { origin, hlc } = now;
        this.#alone.note({ origin, hlc, tables: this.#readTables(disk, db, null) });
      }
    } else if (powerLoss && now !== null) this.#alone.goBack(now.origin, now.hlc);
    this.#isReplaced = false;
    this.#sequence = state?.sequence ?? 0;
    this.#logId = state?.log_id ?? "";
    this.#knowledge = now;
    this.#durable = now;
    this.#changes = -1;
  }

  /** Call after each commit of the kernel. Throws a {@link Violation}. */
  committed(disk: SimulatedDisk, { durable }: { readonly durable: boolean }): void {
    const db = disk.writer!;
    const changes = disk.prepareUnseen(db, "SELECT total_changes()").pluck().get() as number;
    if (changes === this.#changes) return;
    this.#changes = changes;
    const state = readState(disk, db);
    if (state === undefined) return;
    if (state.log_id !== this.#logId) {
      this.#logId = state.log_id;
      this.#sequence = 0;
    }
    const before = this.#knowledge;
    const now = this.#ownKnowledge(disk, db, state);
    if (now !== null) {
      const alone = before !== null && before.origin === now.origin && before.joins.size <= 1;
      if (alone && now.joins.size > 1 && !this.isBehindItself) this.#noteUnstamped(disk, db);
      this.#noteWrites(disk, db, now, before);
      this.#noteAlone(disk, db, now);
      if (before !== null && before.origin === now.origin) checkForward(before, now);
    }
    for (const [origin, { settled }] of now?.removals ?? []) if (settled !== null) this.#settled.add(origin);
    this.#sequence = state.sequence;
    this.#knowledge = now;
    if (durable) {
      this.#durable = now;
      this.#alone.keep();
    }
    if (now !== null && (now.floor !== before?.floor || now.ready !== before.ready)) this.#checkFloors();
    const dangling = disk.prepareUnseen(db, "PRAGMA foreign_key_check").all();
    if (dangling.length > 0) throw new Violation("references lead somewhere", JSON.stringify(dangling));
    const applying = disk.prepareUnseen(db, "SELECT count(*) FROM tidemark_applying").pluck().get();
    if (applying !== 0) throw new Violation("capture is never left silent", "tidemark_applying holds a row");
  }

  #noteAlone(disk: SimulatedDisk, db: Sqlite, now: Knowledge): void {
    // What is written meanwhile is not the library's yet.
    if (disk.prepareUnseen(db, "SELECT 1 FROM tidemark_outbox").get() !== undefined) return;
    const { origin, hlc, floor } = now;
    const before = this.#alone.of(origin);
    const stays = staysAlone(now);
    if (before === null && !stays) {
      this.#alone.note({ origin, hlc, tables: null });
      return;
    }
    const tables = this.#readTables(disk, db, before);
    if (before !== null) {
      // The fold has raised the floor over what it has consumed, and nothing above that is without a stamp.
      const stamp = { hlc: floor, origin };
      noteDifferences({ ledger: this.#ledger, models: this.#models(), before, now: tables, stamp });
    }
    this.#alone.note({ origin, hlc, tables: stays ? tables : null });
  }

  /**
   * What is here of an origin whose join was never heard of came in a round that broke off. It is nobody's until the device
   * drops its stamps with all others: from then on the device answers for it, as if it had made it.
   */
  #readTables(disk: SimulatedDisk, db: Sqlite, before: Tables | null): Tables {
    const tables = new Map(this.#models().map((model) => [model.name, readTable(disk, db, model)]));
    const nobodys = disk.prepareUnseen(
      db,
      `SELECT DISTINCT m.name, s.record FROM tidemark_stamp s JOIN tidemark_model m ON m.num = s.model
       WHERE s.origin IN (SELECT num FROM tidemark_member WHERE join_hlc IS NULL)`,
    );
    for (const [model, record] of nobodys.raw().all() as [string, string][]) {
      const former = before?.get(model)?.get(record);
      if (former === undefined) tables.get(model)?.delete(record);
      else tables.get(model)?.set(record, former);
    }
    return tables;
  }

  #heardOf(origin: string): number {
    return this.#knowledge?.vector.get(origin) ?? 0;
  }

  #ownKnowledge(disk: SimulatedDisk, db: Sqlite, state: StateRow | undefined): Knowledge | null {
    return state === undefined || state.device !== this.#device ? null : knowledgeOf(disk, db, state);
  }

  /** Nobody may have forgotten what somebody lacks: no floor lies above any entry of a member's durable vector. */
  #checkFloors(): void {
    const all = [this, ...this.#others()];
    for (const forgetful of all) {
      if (forgetful.#knowledge === null) continue;
      const { origin: own, floor, joins, removals } = forgetful.#knowledge;
      if (removals.has(own)) continue;
      // Of whom all members agree what counts, nobody need wait for any more.
      const isGone = (origin: string) => removals.has(origin) && all.some((watch) => watch.#settled.has(origin));
      for (const member of all) {
        const known = member === forgetful ? member.#knowledge : member.#durable;
        if (known === null || !known.ready || !joins.has(known.origin) || isGone(known.origin)) continue;
        // Also while it goes by another one by now, which a loss of power could still take back.
        if (known.origin === member.#restored?.origin) continue;
        for (const origin of joins.keys()) {
          if (isGone(origin)) continue;
          const entry = entryOf(known, origin) || joins.get(origin)!;
          if (entry >= floor) continue;
          throw new Violation(
            "the stable point overtakes nobody",
            `${forgetful.#knowledge!.origin} has forgotten up to ${floor}, and ${known.origin} has ${origin} up to ${entry}`,
          );
        }
      }
    }
  }

  #noteUnstamped(disk: SimulatedDisk, db: Sqlite): void {
    for (const model of this.#models()) {
      for (const [record, values] of readTable(disk, db, model)) this.#ledger.addUnstamped(model.name, record, values);
    }
  }

  #noteWrites(disk: SimulatedDisk, db: Sqlite, now: Knowledge, before: Knowledge | null): void {
    const rows = disk
      .prepareUnseen(
        db,
        `SELECT model, record, col, hlc, origin, prior_hlc, prior_origin, age FROM tidemark_stamp
         WHERE seq > ? AND (origin = (SELECT self FROM tidemark_state) OR prior_hlc > 0)`,
      )
      .all(this.#sequence) as StampRow[];
    if (rows.length === 0) return;
    const origins = namesByNumber(disk, db, "SELECT num, origin AS name FROM tidemark_member");
    const modelNames = namesByNumber(disk, db, "SELECT num, name FROM tidemark_model");
    for (const row of rows) {
      const model = ALL_MODELS.find(({ name }) => name === modelNames.get(row.model))!;
      const named = { model: model.name, record: row.record };
      if (row.prior_hlc > 0) {
        const origin = row.prior_origin === 0 ? "" : origins.get(row.prior_origin)!;
        const carriedBy = { hlc: row.hlc, origin: origins.get(row.origin)! };
        this.#ledger.add({ kind: "death", ...named, stamp: { hlc: row.prior_hlc, origin }, carriedBy });
      }
      if (origins.get(row.origin) !== now.origin) continue;
      const stamp: WriteStamp = { hlc: row.hlc, origin: now.origin };
      const kind = row.col === DEATH ? "death" : row.col >= 0 ? "edit" : "birth";
      const column = row.col > 0 ? this.#columnName(disk, db, row) : null;
      if (this.#ledger.has({ kind, ...named, stamp, column })) continue;
      // What is issued at a join is born at the time that the join has kept for it.
      const atJoin = row.col === BIRTH && row.hlc === (now.joins.get(now.origin) ?? 0) + 1;
      if (before !== null && before.origin === now.origin && row.hlc <= before.hlc && !atJoin) {
        throw new Violation(
          "own stamps strictly increase",
          `${model.name} ${row.record} got ${row.hlc}, and the clock stood at ${before.hlc}`,
        );
      }
      if (kind === "death") this.#ledger.add({ kind, ...named, stamp });
      else {
        const known = this.#models().find(({ name }) => name === model.name);
        const values = recordValues({ disk, db, number: row.model, model: known, record: row.record });
        this.#ledger.add(
          kind === "birth"
            ? { kind, ...named, stamp, values, ...(row.age !== null && { age: row.age }) }
            : { kind, ...named, stamp, column, values },
        );
      }
    }
  }

  #columnName(disk: SimulatedDisk, db: Sqlite, { model, col }: StampRow): string {
    const name = disk.prepareUnseen(db, "SELECT name FROM tidemark_column WHERE model = ? AND num = ?");
    return name.pluck().get(model, col) as string;
  }
}

function readState(disk: SimulatedDisk, db: Sqlite): StateRow | undefined {
  const exists = disk.prepareUnseen(db, "SELECT 1 FROM sqlite_master WHERE name = 'tidemark_state'").get();
  if (exists === undefined) return undefined;
  const state = disk.prepareUnseen(db, "SELECT device, self, hlc, floor, sequence, ready, log_id FROM tidemark_state");
  return state.get() as StateRow;
}

function knowledgeOf(disk: SimulatedDisk, db: Sqlite, state: StateRow): Knowledge | null {
  if (state.self === null) return null;
  const members = disk
    .prepareUnseen(db, "SELECT num, origin, join_hlc, removed_kind, settled_hlc FROM tidemark_member")
    .all() as {
    num: number;
    origin: string;
    join_hlc: number | null;
    removed_kind: string | null;
    settled_hlc: number | null;
  }[];
  const names = new Map(members.map(({ num, origin }) => [num, origin]));
  const entries = disk
    .prepareUnseen(db, "SELECT origin, hlc FROM tidemark_vector WHERE member = ?")
    .all(state.self) as {
    origin: number;
    hlc: number;
  }[];
  return {
    origin: names.get(state.self)!,
    ready: state.ready === 1,
    hlc: state.hlc,
    floor: state.floor,
    vector: new Map(entries.map(({ origin, hlc }) => [names.get(origin) ?? `!${names.get(-origin)}`, hlc])),
    joins: new Map(members.flatMap(({ origin, join_hlc }) => (join_hlc === null ? [] : [[origin, join_hlc] as const]))),
    removals: new Map(
      members.flatMap(({ origin, removed_kind, settled_hlc }) =>
        removed_kind === null ? [] : [[origin, { kind: removed_kind, settled: settled_hlc }] as const],
      ),
    ),
  };
}

/** Whether nobody is left but the device itself, and nobody's removal has still to be settled. */
function isAlone({ origin, joins, removals }: Knowledge): boolean {
  if (removals.has(origin)) return false;
  return [...joins.keys()].every((other) => other === origin || typeof removals.get(other)?.settled === "number");
}

/** The same of a library that has had others: what the first member writes before anybody joins is no change to anybody. */
function staysAlone(knowledge: Knowledge): boolean {
  return knowledge.joins.size > 1 && isAlone(knowledge);
}

function checkForward(before: Knowledge, now: Knowledge): void {
  if (before.origin !== now.origin) return;
  // Of a founder that nobody has joined nobody has heard anything: it may put its clock right.
  if (now.joins.size <= 1) return;
  if (now.hlc < before.hlc) {
    throw new Violation("the clock never goes back", `${before.origin} was at ${before.hlc} and is at ${now.hlc}`);
  }
  if (now.floor < before.floor) {
    throw new Violation("the floor never goes back", `${before.origin} was at ${before.floor} and is at ${now.floor}`);
  }
  for (const [origin, hlc] of before.vector) {
    const entry = now.vector.get(origin) ?? 0;
    if (entry >= hlc) continue;
    throw new Violation("vectors never go back", `${now.origin} had ${origin} up to ${hlc} and has ${entry}`);
  }
}
