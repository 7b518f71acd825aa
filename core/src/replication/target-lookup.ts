import type { SyncModel } from "../registry/model.js";
import type { Sqlite } from "../storage/database.js";
import type { RecordReader } from "../storage/record-reader.js";
import type { LocalKey } from "../storage/row-writer.js";

/** Finds the local key behind the identity of a reference's target; null when the target is not in its table. */
export interface TargetLookup {
  /** Tells which targets of records that the batch did not bring are looked for next, so that they can be asked for at once. */
  expect(db: Sqlite, wanted: ReadonlyMap<SyncModel, ReadonlySet<string>>): void;
  find(db: Sqlite, model: SyncModel, identity: string): LocalKey | null;
  /** Tells that a row came or went within this batch. */
  changed(model: SyncModel, identity: string, key: LocalKey | null): void;
}

/** The plain way: one query per reference. Counts them, because that number is what batching saves. */
export class PlainLookup implements TargetLookup {
  readonly #reader: RecordReader;
  #lookups = 0;

  constructor(reader: RecordReader) {
    this.#reader = reader;
  }

  get lookups(): number {
    return this.#lookups;
  }

  expect(): void {}

  find(db: Sqlite, model: SyncModel, identity: string): LocalKey | null {
    this.#lookups += 1;
    return this.#reader.localKeyOf(db, model, identity);
  }

  changed(): void {}
}

/** How far the tables had come when something was read from them. */
export interface TableVersion {
  /** `PRAGMA data_version` of the writing connection: moves with every commit of another connection. */
  readonly dataVersion: number;
  /** `Applier.writes`: moves with what the kernel itself writes, for any peer. */
  readonly writes: number;
}

/**
 * What a transform has resolved before the transaction. A resolution holds only if nobody has committed in between, neither
 * the application nor the kernel for another peer: {@link ResolvedLookup.recheck} notices, asks again with one query per
 * model, and drops what has vanished or moved.
 */
export class ResolvedLookup implements TargetLookup {
  readonly #plain: PlainLookup;
  readonly #reader: RecordReader;
  readonly #resolved: Map<SyncModel, Map<string, LocalKey | null>>;
  #version: TableVersion;

  constructor({
    reader,
    plain,
    resolved,
    version,
  }: {
    readonly reader: RecordReader;
    readonly plain: PlainLookup;
    readonly resolved: Map<SyncModel, Map<string, LocalKey | null>>;
    /** Before the transform ran. */
    readonly version: TableVersion;
  }) {
    this.#reader = reader;
    this.#plain = plain;
    this.#resolved = resolved;
    this.#version = version;
  }

  /** Call at the beginning of every transaction that uses the lookup, with the version that it finds. */
  recheck(db: Sqlite, version: TableVersion): void {
    const { dataVersion, writes } = this.#version;
    if (version.dataVersion === dataVersion && version.writes === writes) return;
    this.#version = version;
    for (const [model, keys] of this.#resolved) {
      const present = this.#reader.localKeys(db, model, [...keys.keys()]);
      for (const identity of keys.keys()) keys.set(identity, present.get(identity) ?? null);
    }
  }

  /**
   * What the transform could not know of: the references of records that have waited for one of this batch. They may be
   * very many, so they are asked for as the others were: one query per model.
   */
  expect(db: Sqlite, wanted: ReadonlyMap<SyncModel, ReadonlySet<string>>): void {
    for (const [model, identities] of wanted) {
      const known = this.#resolved.get(model);
      const unknown = [...identities].filter((identity) => known?.has(identity) !== true);
      if (unknown.length === 0) continue;
      const present = this.#reader.localKeys(db, model, unknown);
      for (const identity of unknown) this.changed(model, identity, present.get(identity) ?? null);
    }
  }

  find(db: Sqlite, model: SyncModel, identity: string): LocalKey | null {
    const known = this.#resolved.get(model)?.get(identity);
    return known === undefined ? this.#plain.find(db, model, identity) : known;
  }

  /** Call after the batch's own writes, with the version that they have made: all of them were told. */
  follow(version: TableVersion): void {
    this.#version = version;
  }

  changed(model: SyncModel, identity: string, key: LocalKey | null): void {
    // Nothing can refer to the rows of a junction, and they have no key that could be asked for again.
    if (model.localKey === null) return;
    let keys = this.#resolved.get(model);
    if (keys === undefined) {
      keys = new Map();
      this.#resolved.set(model, keys);
    }
    keys.set(identity, key);
  }
}
