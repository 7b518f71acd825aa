// Every change that any device has stamped, with its value, and what the library must look like when all of them are
// merged and nothing is ever forgotten. It is written from the rules alone and shares no code with the kernel's merge.

import type { LibraryModel } from "./library-model.js";

/** Time and origin id. Origin `""` stands above all others: a floor. */
export interface WriteStamp {
  readonly hlc: number;
  readonly origin: string;
}

export type Value = string | number | null;

export type Write =
  | {
      readonly kind: "birth";
      readonly model: string;
      readonly record: string;
      readonly stamp: WriteStamp;
      readonly values: ReadonlyMap<string, Value>;
      /** Since when the life counts, where it was stamped anew: a time above every origin; 0 is before all. */
      readonly age?: number;
    }
  | {
      readonly kind: "death";
      readonly model: string;
      readonly record: string;
      readonly stamp: WriteStamp;
      /** The birth that carried it; absent for a delete. */
      readonly carriedBy?: WriteStamp;
    }
  | {
      readonly kind: "edit";
      readonly model: string;
      readonly record: string;
      readonly stamp: WriteStamp;
      /** One column, or all of them where the record has one stamp. */
      readonly column: string | null;
      readonly values: ReadonlyMap<string, Value>;
    };

/** Where a value comes from: the birth or the edit that stands. */
export interface Standing {
  readonly value: Value;
  /** Null: from before there was anybody to stamp for. */
  readonly stamp: WriteStamp | null;
}

/** A record as it must be. */
export interface ExpectedRecord {
  readonly visible: boolean;
  readonly life: WriteStamp | null;
  /** By column; before references that do not hold are read as NULL. */
  readonly standing: ReadonlyMap<string, Standing>;
  /** As they read. */
  readonly values: ReadonlyMap<string, Value>;
}

const BEFORE_ALL: WriteStamp = { hlc: 0, origin: "" };

export class Ledger {
  readonly #writes = new Map<string, Write>();

  get size(): number {
    return this.#writes.size;
  }

  [Symbol.iterator](): IterableIterator<Write> {
    return this.#writes.values();
  }

  has(write: Key): boolean {
    return this.#writes.has(keyOf(write));
  }

  /** What the library held before its second member came; it has no stamps. */
  addUnstamped(model: string, record: string, values: ReadonlyMap<string, Value>): void {
    this.add({ kind: "birth", model, record, stamp: BEFORE_ALL, values });
  }

  add(write: Write): void {
    this.#writes.set(keyOf(write), write);
  }

  /** The last time that an origin has stamped. */
  lastOf(origin: string): number {
    let last = 0;
    for (const { stamp } of this) if (stamp.origin === origin && stamp.hlc > last) last = stamp.hlc;
    return last;
  }

  /** There is one member again, and nothing was heard of by anybody else. */
  clear(): void {
    this.#writes.clear();
  }

  /** What is left if only some stamps count. */
  counting(counts: (stamp: WriteStamp) => boolean): Ledger {
    const left = new Ledger();
    for (const write of this) {
      // A death that came with a birth is part of it, whoever's it was.
      const { hlc, origin } = write.kind === "death" && write.carriedBy !== undefined ? write.carriedBy : write.stamp;
      if (hlc === 0 || counts({ hlc, origin })) left.add(write);
    }
    return left;
  }

  /** A loss of power took back what an origin had stamped after `hlc`. */
  lose(origin: string, hlc: number): number {
    let lost = 0;
    const isLost = (stamp: WriteStamp) => stamp.origin === origin && stamp.hlc > hlc;
    for (const [key, write] of this.#writes) {
      if (!isLost(write.stamp) && !(write.kind === "death" && write.carriedBy && isLost(write.carriedBy))) continue;
      this.#writes.delete(key);
      lost += 1;
    }
    return lost;
  }

  /** All records that were ever made, by model. */
  merged(models: readonly LibraryModel[]): ReadonlyMap<string, ReadonlyMap<string, ExpectedRecord>> {
    const records = new Map(models.map(({ name }) => [name, new Map<string, Merging>()]));
    for (const write of this.#writes.values()) {
      const group = records.get(write.model);
      if (group === undefined) continue;
      const merging = group.get(write.record) ?? { births: [], death: null, edits: [] };
      group.set(write.record, merging);
      if (write.kind === "birth") merging.births.push(write);
      else if (write.kind === "edit") merging.edits.push(write);
      else if (merging.death === null || isLater(write.stamp, merging.death)) merging.death = write.stamp;
    }
    const states = new Map(
      models.map((model) => [
        model.name,
        new Map([...records.get(model.name)!].map(([record, merging]) => [record, settle(model, merging)])),
      ]),
    );
    withdraw(models, states);
    return new Map(
      models.map((model) => [
        model.name,
        new Map(
          [...states.get(model.name)!].map(([record, state]) => [record, expected(model, record, state, states)]),
        ),
      ]),
    );
  }
}

interface Merging {
  readonly births: Extract<Write, { kind: "birth" }>[];
  death: WriteStamp | null;
  readonly edits: Extract<Write, { kind: "edit" }>[];
}

interface State {
  living: boolean;
  visible: boolean;
  life: WriteStamp;
  standing: Map<string, Standing & { readonly at: WriteStamp }>;
}

type States = ReadonlyMap<string, ReadonlyMap<string, State>>;

/** Births above the death; the newest sets every column, and edits after it set theirs. */
function settle(model: LibraryModel, { births, death, edits }: Merging): State {
  const living = births.filter(({ stamp }) => (stamp.hlc === 0 ? death === null : !death || isLater(stamp, death)));
  const [newest] = living.slice().sort((a, b) => (isLater(a.stamp, b.stamp) ? -1 : 1));
  const standing: State["standing"] = new Map();
  if (newest === undefined) return { living: false, visible: false, life: BEFORE_ALL, standing };
  for (const { name } of model.columns) {
    let at = newest.stamp;
    let value = newest.values.get(name) ?? null;
    for (const edit of edits) {
      if ((edit.column !== null && edit.column !== name) || !isLater(edit.stamp, at)) continue;
      at = edit.stamp;
      value = edit.values.get(name) ?? null;
    }
    standing.set(name, { value, at, stamp: at.hlc === 0 ? null : at });
  }
  const life = living.map(lifeOf).reduce((first, stamp) => (isLater(first, stamp) ? stamp : first));
  return { living: true, visible: true, life, standing };
}

function lifeOf({ stamp, age = stamp.hlc }: Extract<Write, { kind: "birth" }>): WriteStamp {
  return age === stamp.hlc ? stamp : { hlc: age, origin: "" };
}

/** Hides what refers, where it must, to something that is not there; and what refers to that. */
function withdraw(models: readonly LibraryModel[], states: States): void {
  for (let again = true; again; ) {
    again = false;
    for (const model of models) {
      for (const [record, state] of states.get(model.name)!) {
        if (!state.visible) continue;
        const holdsAll = model.columns.every(
          ({ name, to, required }) => to === null || !required || holds(state, record, model.name, name, to, states),
        );
        if (holdsAll) continue;
        state.visible = false;
        again = true;
      }
    }
  }
}

function holds(state: State, record: string, model: string, column: string, to: string, states: States): boolean {
  const { value, at } = state.standing.get(column)!;
  const target = states.get(to)?.get(String(value));
  if (value === null || target === undefined || !target.visible) return false;
  if (to === model && value === record) return true;
  return target.life.hlc === 0 || isLater(at, target.life);
}

function expected(model: LibraryModel, record: string, state: State, states: States): ExpectedRecord {
  const values = new Map<string, Value>();
  for (const { name, to, required } of model.columns) {
    const standing = state.standing.get(name);
    if (standing === undefined) continue;
    const lost = to !== null && !required && !holds(state, record, model.name, name, to, states);
    values.set(name, lost ? null : standing.value);
  }
  return { visible: state.visible, life: state.living ? state.life : null, standing: state.standing, values };
}

interface Key {
  readonly kind: Write["kind"];
  readonly model: string;
  readonly record: string;
  readonly stamp: WriteStamp;
  readonly column?: string | null;
  readonly carriedBy?: WriteStamp;
}

function keyOf({ kind, model, record, stamp, column = null, carriedBy }: Key): string {
  return JSON.stringify([kind, model, record, stamp.hlc, stamp.origin, column, carriedBy?.hlc, carriedBy?.origin]);
}

/** By time, then by origin id; a floor stands above every origin of its time. */
export function isLater(a: WriteStamp, b: WriteStamp): boolean {
  if (a.hlc !== b.hlc) return a.hlc > b.hlc;
  if (a.hlc === 0 || a.origin === b.origin || b.origin === "") return false;
  return a.origin === "" || a.origin > b.origin;
}
