import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, type Logger, noopLogger, subscription } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import { DataSource, EntitySchema } from "typeorm";
import { onTestFinished } from "vitest";
import { tidemarkDataSourceOptions } from "./data-source-options.js";
import type { Sqlite } from "./database.js";
import type { SchemaGuard } from "./schema-guard.js";
import type { WriterAccount } from "./writer.js";

/** Real files, a real data source and recording doubles, for the tests of connections, gate and writer. */

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function temporaryFile(): string {
  return join(temporaryFolder(), "library.db");
}

/** A connection without any of our code, as another program would open it. */
export function openPlain(path: string, options: Database.Options = { timeout: 0 }): Sqlite {
  const connection = new Database(path, options);
  onTestFinished(() => void connection.close());
  return connection;
}

export interface Note {
  id: number;
  text: string;
}

export const noteSchema = new EntitySchema<Note>({
  name: "Note",
  columns: { id: { type: "integer", primary: true, generated: true }, text: { type: "text" } },
});

export function noteSource(
  path: string,
  prepareDatabase?: (db: Sqlite) => void | Promise<void>,
  { watched = true }: { readonly watched?: boolean } = {},
): DataSource {
  const options = {
    type: "better-sqlite3" as const,
    database: path,
    entities: [noteSchema],
    synchronize: true,
    ...(prepareDatabase && { prepareDatabase }),
  };
  return new DataSource(watched ? tidemarkDataSourceOptions(options) : options);
}

export async function openNoteSource(path: string, options?: { readonly watched?: boolean }): Promise<DataSource> {
  const dataSource = await noteSource(path, undefined, options).initialize();
  onTestFinished(() => dataSource.destroy());
  return dataSource;
}

/** The system's time, for tests of what happens beside a real event loop. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    return subscription(() => clearTimeout(timer));
  },
  setImmediate(callback) {
    const immediate = setImmediate(callback);
    return subscription(() => clearImmediate(immediate));
  },
};

export const noGuard: SchemaGuard = { beforeStatement() {}, afterSchemaChange() {} };

/** Does nothing with the books of the writer. */
export const noAccount: WriterAccount = { acquired() {}, released() {}, overdue() {}, abandoned() {} };

export interface RecordingLogger extends Logger {
  readonly lines: string[];
}

export function recordingLogger(): RecordingLogger {
  const lines: string[] = [];
  const note = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return { ...noopLogger, lines, warn: note("warn"), error: note("error") };
}
