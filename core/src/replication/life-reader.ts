import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import { loadLogged, stateOf } from "../storage/stamp-store.js";
import { prepared } from "../storage/statements.js";
import { lifeOf, type Stamp, UNSTAMPED } from "./record-state.js";

/** Reads the lives of targets, one query per model. */
export class LifeReader {
  readonly #db: Sqlite;
  readonly #wanted = new Map<SyncModel, Set<string>>();
  readonly #lives = new Map<SyncModel, Map<string, Stamp>>();

  constructor(db: Sqlite) {
    this.#db = db;
  }

  want(model: SyncModel, record: string): void {
    const records = this.#wanted.get(model) ?? new Set();
    records.add(record);
    this.#wanted.set(model, records);
  }

  of(model: SyncModel, record: string): Stamp {
    let lives = this.#lives.get(model);
    if (lives === undefined) {
      lives = new Map();
      // Most models have no stamps at all most of the time.
      const any = prepared(this.#db, "SELECT EXISTS (SELECT 1 FROM tidemark_stamp WHERE model = ?)")
        .pluck()
        .get(model.number);
      if (any === 1) {
        for (const [name, logged] of loadLogged(this.#db, model.number, [...(this.#wanted.get(model) ?? [])])) {
          lives.set(name, lifeOf(stateOf(logged, true)));
        }
      }
      this.#lives.set(model, lives);
    }
    return lives.get(record) ?? UNSTAMPED;
  }
}
