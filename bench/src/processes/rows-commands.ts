import type { DatasetOptions } from "../library/dataset.js";

/** What the process without Tidemark does: the baselines, and the databases that devices start from. */
export interface RowsCommands {
  /** A database with the schema that TypeORM makes of the models, and the rows of the library. */
  readonly seed: { readonly input: RowsInput; readonly output: null };
  /** The bare loop: prepared inserts by better-sqlite3, all keys known. */
  readonly bare: { readonly input: RowsInput; readonly output: BareOutput };
  /** Bare updates of the first rows of content identities, by identity. */
  readonly updates: {
    readonly input: { readonly file: string; readonly rows: number };
    readonly output: { readonly durationMs: number };
  };
  /** The application's own writes to two databases in turn: one without triggers, one with those that capture. */
  readonly ownWrites: { readonly input: OwnWritesInput; readonly output: OwnWritesOutput };
  /** Entries by TypeORM, each reference looked up with `findOneBy`, in transactions of 500; into a database with the rest. */
  readonly orm: { readonly input: OrmInput; readonly output: { readonly rows: number; readonly durationMs: number } };
  /** The rows as JSON objects whose references are identities, gzipped in pages; in bytes. */
  readonly gzippedJson: {
    readonly input: DatasetOptions;
    readonly output: { readonly rows: number; readonly bytes: number };
  };
}

export interface RowsInput {
  readonly file: string;
  readonly dataset: DatasetOptions;
}

export interface BareOutput {
  readonly rows: number;
  readonly durationMs: number;
  /** Of all threads of the process, meanwhile. */
  readonly cpuMs: number;
  /** Of the file, after everything was written into it. */
  readonly fileBytes: number;
}

export interface OwnWritesInput {
  readonly plain: string;
  readonly captured: string;
  /** Rows that are inserted and updated in each round. */
  readonly rows: number;
  readonly rounds: number;
}

/** Medians over the rounds. */
export interface OwnWritesOutput {
  readonly off: WriteTimes;
  readonly on: WriteTimes;
}

export interface WriteTimes {
  readonly insertMs: number;
  readonly updateMs: number;
  readonly bulkUpdateMs: number;
}

export interface OrmInput extends RowsInput {
  /** Rows that are saved at most, of all tables in their order. */
  readonly rows: number;
}
