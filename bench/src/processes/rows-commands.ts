import type { DatasetOptions } from "../library/dataset.js";

/** What the process without Tidemark does: the baselines, and the databases that devices start from. */
export interface RowsCommands {
  /** A database with the schema that TypeORM makes of the models, and the rows of the library. */
  readonly seed: { readonly input: RowsInput; readonly output: null };
  /** The bare loop: prepared inserts by better-sqlite3, all keys known. */
  readonly bare: { readonly input: RowsInput; readonly output: BareOutput };
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
