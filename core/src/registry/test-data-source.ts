import type { EntityDeclaration, EntityOptions, EntityTarget, TidemarkError } from "@tidemark/plugin-api";
import { isTidemarkError } from "@tidemark/plugin-api";
import { DataSource, type DataSourceOptions } from "typeorm";
import type { Sqlite } from "../storage/database.js";
import type { NumberAllocator, SyncModel, SyncRegistry } from "./model.js";
import { resolveRegistry } from "./resolve.js";

/** For the tests of this folder: real data sources in memory, and registries resolved against them. */

export interface TestSource {
  readonly dataSource: DataSource;
  readonly db: Sqlite;
}

/** Opens a data source in memory. With `schema` the tables are made by that SQL instead of by TypeORM. */
export async function openSource(
  entities: NonNullable<DataSourceOptions["entities"]>,
  { schema }: { readonly schema?: string } = {},
): Promise<TestSource> {
  const dataSource = new DataSource({
    type: "better-sqlite3",
    database: ":memory:",
    entities,
    synchronize: schema === undefined,
    prepareDatabase: (db: Sqlite) => {
      if (schema !== undefined) db.exec(schema);
    },
  });
  await dataSource.initialize();
  const { databaseConnection } = dataSource.driver as unknown as { readonly databaseConnection: Sqlite };
  return { dataSource, db: databaseConnection };
}

/** Numbers in the order of asking, from 1, kept in memory. */
export function memoryNumbers(): NumberAllocator {
  const names: string[] = [];
  const next = (name: string, from: number) => {
    const known = names.indexOf(name, from);
    return known >= 0 ? known : names.push(name) - 1;
  };
  const columns = new Map<number, string[]>();
  return {
    model: (name) => next(name, 0) + 1,
    column: (model, name) => {
      const known = columns.get(model) ?? [];
      columns.set(model, known);
      return known.includes(name) ? known.indexOf(name) + 1 : known.push(name);
    },
  };
}

export const SHARED = { ownership: { kind: "shared" } } as const satisfies EntityOptions;

/** A declaration of a shared entity, with further options. */
export function shared(entity: EntityTarget, options: Partial<EntityOptions> = {}): EntityDeclaration {
  return { ...SHARED, ...options, entity };
}

export function resolveFrom(source: TestSource, ...declarations: readonly EntityDeclaration[]): SyncRegistry {
  return resolveRegistry({ ...source, declarations, numbers: memoryNumbers() });
}

/** The error that a registration is refused with. */
export function refusal(source: TestSource, ...declarations: readonly EntityDeclaration[]): TidemarkError {
  try {
    resolveFrom(source, ...declarations);
  } catch (error) {
    if (isTidemarkError(error)) return error;
    throw error;
  }
  throw new Error("was not refused");
}

/** A model's columns as text: `name`, with `!` if it is not nullable and `→ Model` if it is a reference. */
export function columnsOf(model: SyncModel): readonly string[] {
  return model.columns
    .map(
      ({ name, nullable, reference }) =>
        `${name}${nullable ? "" : "!"}${reference ? ` → ${reference.target.name}.${reference.targetColumn}` : ""}`,
    )
    .sort();
}
