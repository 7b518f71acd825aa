import { HybridLogicalClock } from "../clock/hybrid-logical-clock.js";
import type { Stamp } from "../replication/record-state.js";
import type { Sqlite } from "./database.js";
import { prepared } from "./statements.js";

interface StateRow {
  library: string | null;
  device: string | null;
  self: number | null;
  hlc: number;
  floor: number;
  sequence: number;
  log_id: string;
  token: number;
  ready: number;
}

/**
 * What every write to the log shares within one transaction: the clock, the local sequence, and this device's place in
 * the library. Read at the beginning, saved once at the end by {@link LogTransaction.save}; a rollback forgets it all, so
 * nothing of it is ever kept in memory between transactions.
 */
export class LogTransaction {
  readonly db: Sqlite;
  readonly #row: StateRow;
  readonly #clock: HybridLogicalClock;
  #sequence: number;
  #floor: number;
  #moved: number | null = null;
  #ticked = false;

  constructor(db: Sqlite, now: () => number) {
    this.db = db;
    this.#row = readState(db);
    this.#clock = new HybridLogicalClock({ now, highWater: this.#row.hlc });
    this.#sequence = this.#row.sequence;
    this.#floor = this.#row.floor;
  }

  /** The own member number; null while this device is not a member. */
  get self(): number | null {
    return this.#row.self;
  }

  /** S as far as it has been acted on: nothing at or below it carries a stamp. */
  get floor(): number {
    return this.#floor;
  }

  /** Where the clock stood before this transaction. */
  get clockBefore(): number {
    return this.#row.hlc;
  }

  /** The first time to which this transaction has moved the clock; null while it has not. */
  get firstMove(): number | null {
    return this.#moved;
  }

  /** Whether this transaction has given stamps of its own. */
  get ticked(): boolean {
    return this.#ticked;
  }

  get highWater(): number {
    return this.#clock.highWater;
  }

  get logId(): string {
    return this.#row.log_id;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Whether this device has the whole library and may serve it. */
  get ready(): boolean {
    return this.#row.ready === 1;
  }

  /** A new own stamp. Only a member has stamps to give. */
  tick(): Stamp {
    if (this.#row.self === null) throw new Error("a device that is not a member has no stamps");
    const hlc = this.#clock.tick();
    this.#ticked = true;
    this.#moved ??= hlc;
    return { hlc, origin: this.#row.self };
  }

  /** Moves the clock past a stamp that was received. */
  receive(hlc: number): void {
    this.#clock.receive(hlc);
    if (this.highWater > this.#row.hlc) this.#moved ??= this.highWater;
  }

  nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  raiseFloor(hlc: number): void {
    if (hlc > this.#floor) this.#floor = hlc;
  }

  save(): void {
    if (this.highWater === this.#row.hlc && this.#sequence === this.#row.sequence && this.#floor === this.#row.floor)
      return;
    prepared(this.db, "UPDATE tidemark_state SET hlc = ?, sequence = ?, floor = ?").run(
      this.highWater,
      this.#sequence,
      this.#floor,
    );
  }
}

export function readState(db: Sqlite): StateRow {
  return prepared(
    db,
    "SELECT library, device, self, hlc, floor, sequence, log_id, token, ready FROM tidemark_state",
  ).get() as StateRow;
}
