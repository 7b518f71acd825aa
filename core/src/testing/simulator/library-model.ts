// The application that the simulator runs: every kind of reference that a model can have, models that all devices share
// and models that a device owns. Said once, for TypeORM, for the kernel, and for whoever looks at the tables with plain
// SQL, so that what the kernel says of itself is never compared with itself.

import type { EntityDeclaration } from "@tidemark/plugin-api";
import { DataSource, EntitySchema, type EntitySchemaColumnOptions, type EntitySchemaRelationOptions } from "typeorm";

/** The versions of the application; the later one has a column and a model more. */
export type SchemaVersion = 1 | 2;

export interface ModelColumn {
  /** On the wire. */
  readonly name: string;
  /** Reads the value of the row `t` as it travels: a reference as its target's identity. */
  readonly sql: string;
  /** Name of the model that it refers to. */
  readonly to: string | null;
  readonly required: boolean;
}

export interface LibraryModel {
  /** On the wire. */
  readonly name: string;
  readonly table: string;
  /** Whether the record has one stamp, and not one for each column. */
  readonly owned: boolean;
  /** The identity of the row `t`. */
  readonly identity: string;
  readonly columns: readonly ModelColumn[];
  readonly since: SchemaVersion;
}

interface Described {
  readonly table: string;
  /** Path to the owning device; absent: shared. */
  readonly owner?: string;
  readonly isDevice?: boolean;
  readonly since?: SchemaVersion;
  readonly values: Readonly<Record<string, EntitySchemaColumnOptions & { readonly since?: SchemaVersion }>>;
  readonly references?: Readonly<Record<string, { readonly to: string; readonly required: boolean }>>;
  /** Required references that are plain columns with a foreign key. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Many-to-many: property to the model that it leads to. */
  readonly joins?: Readonly<Record<string, string>>;
}

const TEXT: EntitySchemaColumnOptions = { type: "varchar" };
const OPTIONAL_TEXT: EntitySchemaColumnOptions = { type: "varchar", nullable: true };

const DESCRIBED: Readonly<Record<string, Described>> = {
  Machine: { table: "machine", isDevice: true, values: { name: TEXT } },
  // Device-owned, and its owner may hand it over.
  Drive: {
    table: "drive",
    owner: "machine",
    values: { name: TEXT },
    references: { machine: { to: "Machine", required: true } },
  },
  // A tree.
  Folder: {
    table: "folder",
    values: { name: TEXT, size: { type: "integer", default: 0 } },
    references: { parent: { to: "Folder", required: false } },
    joins: { labels: "Label" },
  },
  // Device-owned through another record, with references of both kinds to shared ones.
  Item: {
    table: "item",
    owner: "drive.machine",
    values: { name: TEXT, note: OPTIONAL_TEXT },
    references: {
      drive: { to: "Drive", required: true },
      folder: { to: "Folder", required: true },
      shortcut: { to: "Folder", required: false },
    },
    joins: { labels: "Label" },
  },
  Label: { table: "label", values: { name: TEXT, colour: OPTIONAL_TEXT, mood: { ...OPTIONAL_TEXT, since: 2 } } },
  // A cycle of two models, one reference of which may be absent.
  Team: { table: "team", values: { name: TEXT }, references: { leader: { to: "Person", required: false } } },
  Person: { table: "person", values: { name: TEXT }, references: { team: { to: "Team", required: true } } },
  // A required reference to the own model, which TypeORM takes as a key and not as a relation: a whole refers to itself.
  Part: { table: "part", values: { name: TEXT }, keys: { wholeId: "Part" } },
  // Two records with the same code fit no table.
  Badge: { table: "badge", values: { code: { ...TEXT, unique: true }, name: TEXT } },
  Remark: {
    table: "remark",
    since: 2,
    values: { text: TEXT },
    references: { about: { to: "Folder", required: true } },
  },
};

/** The models of a version, junctions included, those that are referred to first. */
export function modelsOf(version: SchemaVersion): readonly LibraryModel[] {
  return MODELS.filter(({ since }) => since <= version).map((model) => ({
    ...model,
    columns: model.columns.filter(({ name }) => (DESCRIBED[model.name]?.values[name]?.since ?? 1) <= version),
  }));
}

/** For the kernel. */
export function declarationsOf(version: SchemaVersion): readonly EntityDeclaration[] {
  return described(version).map(([entity, { owner, isDevice = false, keys = {} }]) => ({
    entity,
    ownership: owner === undefined ? { kind: "shared" } : { kind: "device", owner },
    isDevice,
    references: Object.fromEntries(Object.entries(keys).map(([property, to]) => [property, { to }])),
  }));
}

/** For TypeORM. */
export function entitiesOf(version: SchemaVersion): readonly EntitySchema[] {
  return described(version).map(([name, { table, values, references = {}, keys = {}, joins = {} }]) => {
    const columns: Record<string, EntitySchemaColumnOptions> = {
      id: { type: "integer", primary: true, generated: "increment" },
      uuid: { type: "varchar", unique: true },
    };
    for (const [column, { since = 1, ...options }] of Object.entries(values))
      if (since <= version) columns[column] = options;
    for (const [property, target] of Object.entries(keys))
      columns[property] = { type: "integer", foreignKey: { target, onDelete: "CASCADE" } };
    const relations: Record<string, EntitySchemaRelationOptions> = {};
    for (const [property, { to, required }] of Object.entries(references)) {
      relations[property] = {
        type: "many-to-one",
        target: to,
        nullable: !required,
        onDelete: required ? "CASCADE" : "SET NULL",
      };
    }
    for (const [property, to] of Object.entries(joins)) {
      relations[property] = { type: "many-to-many", target: to, joinTable: { name: `${table}_${property}` } };
    }
    return new EntitySchema({ name, tableName: table, columns, relations });
  });
}

const EMPTY_DATABASES = new Map<SchemaVersion, Uint8Array>();

/** A database file with the tables of a version and nothing in them. Made once; TypeORM takes its time. */
export async function emptyDatabase(version: SchemaVersion): Promise<Uint8Array> {
  const known = EMPTY_DATABASES.get(version);
  if (known !== undefined) return known;
  const dataSource = new DataSource({
    type: "better-sqlite3",
    database: ":memory:",
    entities: [...entitiesOf(version)],
    synchronize: true,
    // Small pages keep the many small tables small, and fill up sooner.
    prepareDatabase: (db: { pragma(text: string): unknown }) => void db.pragma("page_size = 1024"),
  });
  await dataSource.initialize();
  const { databaseConnection } = dataSource.driver as unknown as { databaseConnection: { serialize(): Buffer } };
  const bytes = new Uint8Array(databaseConnection.serialize());
  await dataSource.destroy();
  EMPTY_DATABASES.set(version, bytes);
  return bytes;
}

function described(version: SchemaVersion): readonly (readonly [string, Described])[] {
  return Object.entries(DESCRIBED).filter(([, { since = 1 }]) => since <= version);
}

const MODELS: readonly LibraryModel[] = Object.entries(DESCRIBED).flatMap(([name, model]) => {
  const { table, owner, since = 1, values, references = {}, keys = {}, joins = {} } = model;
  const own: LibraryModel = {
    name,
    table,
    owned: owner !== undefined,
    identity: "t.uuid",
    since,
    columns: [
      ...Object.keys(values).map((column) => ({ name: column, sql: `t."${column}"`, to: null, required: false })),
      ...Object.entries(references).map(([property, { to, required }]) => ({
        name: property,
        sql: `(SELECT uuid FROM "${DESCRIBED[to]!.table}" WHERE id = t."${property}Id")`,
        to,
        required,
      })),
      ...Object.entries(keys).map(([property, to]) => ({
        name: property,
        sql: `(SELECT uuid FROM "${DESCRIBED[to]!.table}" WHERE id = t."${property}")`,
        to,
        required: true,
      })),
    ],
  };
  const junctions = Object.entries(joins).map(([property, to]): LibraryModel => {
    const target = DESCRIBED[to]!.table;
    const owning = `(SELECT uuid FROM "${table}" WHERE id = t."${table}Id")`;
    const inverse = `(SELECT uuid FROM "${target}" WHERE id = t."${target}Id")`;
    return {
      name: `${name}.${property}`,
      table: `${table}_${property}`,
      owned: false,
      identity: `${owning} || ' ' || ${inverse}`,
      since,
      columns: [
        { name: "owner", sql: owning, to: name, required: true },
        { name: "inverse", sql: inverse, to, required: true },
      ],
    };
  });
  return [own, ...junctions];
});
