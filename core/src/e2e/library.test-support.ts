// Several devices of one library, for tests from end to end: real kernels on real files, a network in memory, and a clock
// that the test moves. Files are compared as SQLite sees them, through a connection that knows nothing of TypeORM.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { EntityDeclaration } from "@tidemark/plugin-api";
import Database from "better-sqlite3";
import { expect } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTestKernel, type TestKernel, type TestKernelOptions } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";

type Declared = EntityDeclaration["entity"];

/** Declares entities as shared, with further options where they are given. */
export function shared(...entities: readonly (Declared | EntityDeclarationOf)[]): EntityDeclaration[] {
  return entities.map((entity) =>
    typeof entity === "object" && "entity" in entity
      ? { ownership: { kind: "shared" }, ...entity }
      : { entity, ownership: { kind: "shared" } },
  );
}

type EntityDeclarationOf = Omit<EntityDeclaration, "ownership"> & Partial<Pick<EntityDeclaration, "ownership">>;

export interface Models {
  readonly entities: TestKernelOptions["entities"];
  readonly declarations: readonly EntityDeclaration[];
}

export class TestLibrary {
  readonly clock = new ManualClock();
  readonly network = new InMemoryNetwork({ clock: this.clock, random: new SeededRandom(1) });
  readonly #models: Models;
  readonly #kernels = new Set<TestKernel>();

  constructor(models: Models) {
    this.#models = models;
  }

  /** A device that runs. The first one founds the library; the others dial somebody. */
  async device(
    name: string,
    options: Partial<TestKernelOptions> & {
      /** Called once the tables exist and before the kernel starts. */
      readonly before?: (kernel: TestKernel) => Promise<void> | void;
    } = {},
  ): Promise<TestKernel> {
    const { before, ...rest } = options;
    const kernel = await createTestKernel({
      device: name,
      clock: this.clock,
      network: this.network,
      ...this.#models,
      ...rest,
    });
    this.#kernels.add(kernel);
    if (before !== undefined) {
      await kernel.dataSource.initialize();
      await before(kernel);
    }
    await kernel.tidemark.start();
    return kernel;
  }

  /** Two devices that are in step: a, and b which has joined through a. */
  async pair(): Promise<{ a: TestKernel; b: TestKernel }> {
    const a = await this.device("a");
    const b = await this.device("b", { dial: ["a"] });
    await this.settle(a, b);
    return { a, b };
  }

  /** Lets time pass until the devices hold the same records; fails when they don't come into step. */
  async settle(...kernels: readonly TestKernel[]): Promise<void> {
    let last: unknown;
    for (let turn = 0, calm = 0; turn < 60; turn++) {
      await this.clock.advance(300);
      const states = await Promise.all(kernels.map(stateOf));
      last = states;
      const common = commonModels(kernels);
      const [first, ...others] = states.map(({ digests }) => JSON.stringify(common.map((model) => digests.get(model))));
      const idle = states.every(
        ({ status }) => status.origin !== null && status.backfill === null && status.outbox === 0,
      );
      calm = idle && others.every((other) => other === first) ? calm + 1 : 0;
      if (calm === 3) return;
    }
    const shown = (last as Awaited<ReturnType<typeof stateOf>>[]).map(({ digests, status }) => ({
      digests: Object.fromEntries(digests),
      status,
    }));
    const failures = kernels.map((kernel) => [
      ...kernel.recordedOf("catchUpFailed"),
      ...kernel.recordedOf("peerRefused"),
    ]);
    throw new Error(`the devices did not come into step: ${JSON.stringify({ shown, failures }, null, 1)}`);
  }

  /** Stops a device and starts it again on the same file, perhaps with other models. */
  async restart(name: string, kernel: TestKernel, options: Partial<TestKernelOptions> = {}): Promise<TestKernel> {
    await kernel.tidemark.stop();
    if (kernel.dataSource.isInitialized) await kernel.dataSource.destroy();
    // The first kernel stays in the set: it deletes the file in the end.
    return this.device(name, { database: kernel.database, ...options });
  }

  async dispose(): Promise<void> {
    for (const kernel of [...this.#kernels].reverse()) await kernel.dispose();
    this.#kernels.clear();
  }
}

async function stateOf(kernel: TestKernel) {
  const digests = new Map<string, string>();
  for (const model of modelsOf(kernel)) {
    const { rows, digest } = await kernel.tidemark.digest(model);
    digests.set(model, `${rows} ${digest}`);
  }
  return { digests, status: await kernel.tidemark.status() };
}

function modelsOf(kernel: TestKernel): readonly string[] {
  return kernel.recordedOf("modelsRegistered")[0]!.models;
}

function commonModels(kernels: readonly TestKernel[]): readonly string[] {
  return modelsOf(kernels[0]!).filter((model) => kernels.every((kernel) => modelsOf(kernel).includes(model)));
}

/** What SQLite holds: per row and column the storage class, the bytes, and the value as SQL text. */
export interface StoredCell {
  readonly type: string;
  readonly hex: string;
  readonly quoted: string;
  /** For reals: all 64 bits. */
  readonly bits?: string;
}

/** Reads a table as SQLite sees it, by `key`; `local` are the columns that mean something on one device only. */
export function stored(
  file: string,
  table: string,
  { key = "uuid", local = ["id"] }: { readonly key?: string; readonly local?: readonly string[] } = {},
): Map<string, Record<string, StoredCell>> {
  const db = new Database(file, { readonly: true });
  try {
    const columns = (db.pragma(`table_xinfo(${quoted(table)})`) as { name: string }[])
      .map(({ name }) => name)
      .filter((name) => !local.includes(name));
    const parts = columns.flatMap((name) => {
      const c = quoted(name);
      return [`typeof(${c})`, `hex(CAST(${c} AS BLOB))`, `quote(${c})`, c];
    });
    const rows = db
      .prepare(`SELECT ${quoted(key)}, ${parts.join(", ")} FROM ${quoted(table)} ORDER BY 1`)
      .raw()
      .safeIntegers(true)
      .all() as unknown[][];
    return new Map(
      rows.map(([name, ...cells]) => [
        String(name),
        Object.fromEntries(columns.map((column, index) => [column, cellOf(cells.slice(index * 4, index * 4 + 4))])),
      ]),
    );
  } finally {
    db.close();
  }
}

function cellOf([type, hex, text, value]: readonly unknown[]): StoredCell {
  const cell = { type: String(type), hex: String(hex), quoted: String(text) };
  if (typeof value !== "number") return cell;
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(value);
  return { ...cell, bits: bits.toString("hex") };
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Expects a table to hold the same on all devices, bit for bit; returns it. */
export function expectSameTable(
  kernels: readonly TestKernel[],
  table: string,
  options: Parameters<typeof stored>[2] = {},
): Map<string, Record<string, StoredCell>> {
  const [first, ...others] = kernels.map((kernel) => stored(kernel.database, table, options));
  for (const other of others) expect(other).toEqual(first);
  return first!;
}

/** Runs statements through a connection of its own in this process, without any of our code. */
export function onFile(file: string, ...statements: readonly string[]): void {
  const db = new Database(file, { timeout: 5_000 });
  try {
    for (const statement of statements) db.exec(statement);
  } finally {
    db.close();
  }
}

/** Reads through a connection of its own. */
export function query<Row>(file: string, sql: string, ...parameters: readonly unknown[]): Row[] {
  const db = new Database(file, { readonly: true });
  try {
    return db.prepare(sql).all(...parameters) as Row[];
  } finally {
    db.close();
  }
}

const run = promisify(execFile);

/** Runs statements in another process with plain better-sqlite3 and none of our code. */
export async function inOtherProcess(file: string, ...statements: readonly string[]): Promise<void> {
  const program = `
    const Database = require("better-sqlite3");
    const db = new Database(${JSON.stringify(file)}, { timeout: 10000 });
    for (const statement of ${JSON.stringify(statements)}) db.exec(statement);
    db.close();
  `;
  await run(process.execPath, ["-e", program], { cwd: import.meta.dirname });
}

/** Expects that no reference dangles. */
export function expectNoViolations(...kernels: readonly TestKernel[]): void {
  for (const { database } of kernels) expect(query(database, "PRAGMA foreign_key_check")).toEqual([]);
}
