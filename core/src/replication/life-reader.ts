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
  readonly #unstamped = new Map<SyncModel, boolean>();

  constructor(db: Sqlite) {
    this.#db = db;
  }

  want(model: SyncModel, record: string): void {
    const records = this.#wanted.get(model) ?? new Set();
    records.add(record);
    this.#wanted.set(model, records);
  }

  /** Whether no record of the model has a stamp, so that none needs to be wanted: most models, most of the time. */
  allUnstamped(model: SyncModel): boolean {
    let unstamped = this.#unstamped.get(model);
    if (unstamped === undefined) {
      const any = prepared(this.#db, "SELECT EXISTS (SELECT 1 FROM tidemark_stamp WHERE model = ?)");
      unstamped = any.pluck().get(model.number) === 0;
      this.#unstamped.set(model, unstamped);
    }
    return unstamped;
  }

  of(model: SyncModel, record: string): Stamp {
    let lives = this.#lives.get(model);
    if (lives === undefined) {
      lives = new Map();
      if (!this.allUnstamped(model)) {
        for (const [name, logged] of loadLogged(this.#db, model.number, [...(this.#wanted.get(model) ?? [])])) {
          lives.set(name, lifeOf(stateOf(logged, true)));
        }
      }
      this.#lives.set(model, lives);
    }
    return lives.get(record) ?? UNSTAMPED;
  }
}
