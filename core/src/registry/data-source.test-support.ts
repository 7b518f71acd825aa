import type { EntityDeclaration, EntityOptions, EntityTarget, TidemarkError } from "@tidemark/plugin-api";
import { isTidemarkError } from "@tidemark/plugin-api";
import {
  DataSource,
  type DataSourceOptions,
  EntitySchema,
  type EntitySchemaColumnOptions,
  type EntitySchemaOptions,
} from "typeorm";
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
  const numberIn = (names: string[], name: string) => {
    const known = names.indexOf(name);
    return known >= 0 ? known + 1 : names.push(name);
  };
  const models: string[] = [];
  const columns = new Map<number, string[]>();
  return {
    model: (name) => numberIn(models, name),
    column(model, name) {
      const names = columns.get(model) ?? [];
      columns.set(model, names);
      return numberIn(names, name);
    },
  };
}

export const LOCAL_ID = {
  type: "integer",
  primary: true,
  generated: true,
} as const satisfies EntitySchemaColumnOptions;
export const UUID = { type: "varchar", unique: true, generated: "uuid" } as const satisfies EntitySchemaColumnOptions;

/** An entity with a local integer key `id` and a `uuid`, unless `columns` say otherwise. */
export function entity(
  name: string,
  { columns, ...options }: Partial<EntitySchemaOptions<Record<string, unknown>>> = {},
): EntitySchema<Record<string, unknown>> {
  return new EntitySchema<Record<string, unknown>>({
    name,
    columns: { id: LOCAL_ID, uuid: UUID, ...columns },
    ...options,
  });
}

/** An entity with just these columns. */
export function bareEntity(
  name: string,
  options: Omit<EntitySchemaOptions<Record<string, unknown>>, "name">,
): EntitySchema<Record<string, unknown>> {
  return new EntitySchema<Record<string, unknown>>({ name, ...options });
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

/** A model's columns as text, sorted: `name`, `!` if it is not nullable, and `→ Model.column` if it is a reference. */
export function columnsOf(model: SyncModel): readonly string[] {
  return model.columns
    .map(
      ({ name, nullable, reference }) =>
        `${name}${nullable ? "" : "!"}${reference ? ` → ${reference.target.name}.${reference.targetColumn}` : ""}`,
    )
    .sort();
}
