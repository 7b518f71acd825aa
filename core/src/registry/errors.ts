import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of the entity registry, with its stable code. All of them stop the start; none comes later. */
export const registryErrors = {
  // Declarations

  frozen: ({ entity, by }: { readonly entity: string; readonly by: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_FROZEN",
      what: `${entity} can't be registered any more`,
      why: "the entities are read once, when the data source opens, because capture is installed and peers are told of them then",
      advice: `Let ${by} register it earlier: in the options of createTidemark, or during a plugin's activate`,
      details: { entity, by },
    }),
  doubled: ({ entity, first, second }: { readonly entity: string; readonly first: string; readonly second: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_DOUBLED",
      what: `${entity} is registered twice`,
      why: `by ${first} and by ${second}, and no rule says which of them would count`,
      advice: "Remove one of the two",
      details: { entity, first, second },
    }),
  doubledTable: ({
    entity,
    other,
    table,
  }: {
    readonly entity: string;
    readonly other: string;
    readonly table: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_DOUBLED_TABLE",
      what: `${entity} can't be registered`,
      why: `its table "${table}" is registered already, by ${other}, and a table is one model`,
      advice:
        "Register one of them: it stands for the whole table, with single-table inheritance for all classes in it",
      details: { entity, other, table },
    }),
  invalidOption: ({
    entity,
    option,
    why,
    advice,
  }: {
    readonly entity: string;
    readonly option: string;
    readonly why: string;
    readonly advice: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_OPTION",
      what: `The option "${option}" of ${entity} can't be used`,
      why,
      advice,
      details: { entity, option },
    }),
  doubledModelName: ({
    name,
    entity,
    other,
  }: {
    readonly name: string;
    readonly entity: string;
    readonly other: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_DOUBLED_NAME",
      what: `Two models can't both be called "${name}"`,
      why: `${entity} and ${other} have the same name on the wire`,
      advice: `Give one of them another with { name: "…" }; the one that peers know already must keep it`,
      details: { name, entity, other },
    }),

  // Entities and tables

  dataSourceClosed: () =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_DATA_SOURCE_CLOSED",
      what: "The entities can't be read",
      why: "the data source is not initialized, and TypeORM knows tables and relations only afterwards",
      advice: "Await dataSource.initialize() first",
    }),
  unknownEntity: ({
    entity,
    nearest,
    from,
  }: {
    readonly entity: string;
    readonly nearest: string | undefined;
    readonly from: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_UNKNOWN_ENTITY",
      what: `${from} names the entity ${entity}, which can't be found`,
      why: "the data source does not have it",
      advice: `${suggestion(nearest)}Add it to "entities" of the data source, before it is initialized`,
      details: { entity, nearest },
    }),
  missingEntity: ({ from }: { readonly from: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_MISSING_ENTITY",
      what: `${from} names no entity`,
      why: "the value is undefined or not an entity; two modules that import each other see each other's classes too late",
      advice: `Write a function, { to: () => Entry }, or the entity's name, { to: "Entry" }`,
      details: { from },
    }),
  ambiguousEntity: ({ entity, tables }: { readonly entity: string; readonly tables: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_AMBIGUOUS_ENTITY",
      what: `The name "${entity}" does not say which entity is meant`,
      why: `the data source has several of that name, in the tables ${list(tables)}`,
      advice: "Give the class instead of its name",
      details: { entity, tables },
    }),
  notATable: ({ entity, kind }: { readonly entity: string; readonly kind: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_NOT_A_TABLE",
      what: `${entity} can't be synced`,
      why: `it is ${kind}, whose rows are made from those of other tables`,
      advice: "Register the entities that the rows come from, and rebuild what is derived in their afterBackfill",
      details: { entity, kind },
    }),
  otherDatabase: ({ entity, database }: { readonly entity: string; readonly database: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_OTHER_DATABASE",
      what: `${entity} can't be synced`,
      why: `it is stored in another file ("${database}"), and a record and its log entry can't commit together across two files`,
      advice: "Move its table into the data source's own database",
      details: { entity, database },
    }),
  reservedTable: ({ entity, table }: { readonly entity: string; readonly table: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_RESERVED_TABLE",
      what: `${entity} can't be synced`,
      why: `its table is called "${table}", and names that begin with tidemark_ are those of Tidemark's own tables`,
      advice: "Give the table another name",
      details: { entity, table },
    }),
  missingTable: ({ entity, table }: { readonly entity: string; readonly table: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_MISSING_TABLE",
      what: `${entity} can't be synced`,
      why: `the database has no table "${table}"`,
      advice: "Run the migrations (or synchronize) before Tidemark starts",
      details: { entity, table },
    }),
  missingColumn: ({ entity, table, property, column }: ColumnFacts) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_MISSING_COLUMN",
      what: `${entity} can't be synced`,
      why: `the table "${table}" has no column "${column}" for the property "${property}"`,
      advice: "Run the migrations (or synchronize) before Tidemark starts",
      details: { entity, table, property, column },
    }),

  // Properties named in options

  unknownProperty: ({
    entity,
    option,
    property,
    nearest,
  }: {
    readonly entity: string;
    readonly option: string;
    readonly property: string;
    readonly nearest: string | undefined;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_UNKNOWN_PROPERTY",
      what: `"${option}" of ${entity} names the property "${property}", which can't be found`,
      why: "the entity has no such property, and its table no such column",
      advice: `${suggestion(nearest)}Write the property's own path, such as "address.street" for one in an embedded object`,
      details: { entity, option, property, nearest },
    }),
  propertyWithoutColumn: ({ entity, option, property }: PropertyFacts) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_PROPERTY_WITHOUT_COLUMN",
      what: `"${option}" of ${entity} can't name the property "${property}"`,
      why: "nothing of it is stored in this entity's table: it is the other side of a relation, or computed",
      advice: "Name the property of the entity that holds the column, or leave it out",
      details: { entity, option, property },
    }),
  ambiguousProperty: ({ entity, option, property, columns }: PropertyFacts & { readonly columns: readonly string[] }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_AMBIGUOUS_PROPERTY",
      what: `"${option}" of ${entity} can't name the property "${property}"`,
      why: `it stands for several columns: ${list(columns)}`,
      advice: "Name one of the columns instead",
      details: { entity, option, property, columns },
    }),
  excludedKey: ({
    entity,
    property,
    column,
  }: {
    readonly entity: string;
    readonly property: string;
    readonly column: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_EXCLUDED_KEY",
      what: `"${property}" of ${entity} can't be excluded`,
      why: `the column "${column}" belongs to the primary key or is the identity; without it a record can't be told from others`,
      advice: 'Take it out of "exclude". A local integer key never leaves the device anyway',
      details: { entity, property, column },
    }),
  excludedRequired: ({
    entity,
    property,
    column,
  }: {
    readonly entity: string;
    readonly property: string;
    readonly column: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_EXCLUDED_REQUIRED",
      what: `"${property}" of ${entity} can't be excluded`,
      why: `the column "${column}" is NOT NULL and has no default, so that a record from another device could not be inserted`,
      advice: "Make the column nullable, give it a default in the database, or sync it",
      details: { entity, property, column },
    }),
  unsyncedProperty: ({ entity, option, property, why }: PropertyFacts & { readonly why: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_UNSYNCED_PROPERTY",
      what: `"${option}" of ${entity} can't name the property "${property}"`,
      why,
      advice: `Take it out of "${option}"`,
      details: { entity, option, property },
    }),
  doubledColumnName: ({
    entity,
    name,
    columns,
  }: {
    readonly entity: string;
    readonly name: string;
    readonly columns: readonly string[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_DOUBLED_COLUMN_NAME",
      what: `Two columns of ${entity} can't both be called "${name}"`,
      why: `the columns ${list(columns)} have the same name on the wire`,
      advice: `Give one of them another: wireNames: { "${columns.at(-1)}": "…" }`,
      details: { entity, name, columns },
    }),

  // Identity

  noIdentity: ({ entity, table }: { readonly entity: string; readonly table: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_NO_IDENTITY",
      what: `${entity} can't be synced`,
      why: "nothing tells which of its records on two devices are the same: a local key has another value on each of them",
      advice: `Add a uuid beside the key of "${table}": @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid: string; or make the primary key a uuid; or name a text column with { identity: "…" }`,
      details: { entity, table },
    }),
  compositeKey: ({
    entity,
    columns,
    others,
  }: {
    readonly entity: string;
    readonly columns: readonly string[];
    readonly others: readonly string[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_COMPOSITE_KEY",
      what: `${entity} can't be synced`,
      why: `an identity can be derived from its primary key (${list(columns)}) only if every column of it is a required reference, and ${list(others)} ${others.length === 1 ? "is" : "are"} not`,
      advice: `Declare the missing references as relations or with { references: { … } }, or add a uuid: @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid: string`,
      details: { entity, columns, others },
    }),
  nullableIdentity: ({ entity, column }: IdentityFacts) =>
    identityError({
      entity,
      column,
      code: "TIDEMARK_REGISTRY_NULLABLE_IDENTITY",
      why: "it may be NULL, and a record without identity can't be synced. (SQLite takes NULL in a primary key too, unless it says NOT NULL)",
      advice: "Make the column NOT NULL, after giving every row a uuid",
    }),
  identityNotUnique: ({ entity, column }: IdentityFacts) =>
    identityError({
      entity,
      column,
      code: "TIDEMARK_REGISTRY_IDENTITY_NOT_UNIQUE",
      why: "no unique index stands on it alone and over all rows, so that two records could share it, and finding one would mean reading the table",
      advice: `Declare it unique: @Column({ type: "varchar", unique: true })`,
    }),
  identityCollation: ({ entity, column }: IdentityFacts) =>
    identityError({
      entity,
      column,
      code: "TIDEMARK_REGISTRY_IDENTITY_COLLATION",
      why: "it, or its unique index, has a collation other than BINARY, so that identities that differ would count as equal",
      advice: "Remove the collation from the column and from its unique index",
    }),
  identityNotText: ({ entity, column, affinity }: IdentityFacts & { readonly affinity: string }) =>
    identityError({
      entity,
      column,
      code: "TIDEMARK_REGISTRY_IDENTITY_NOT_TEXT",
      why: `SQLite gives it ${affinity} affinity by its declared type, and may store a text that looks like a number as one`,
      advice: `Declare it as text: @Column({ type: "varchar", unique: true })`,
    }),
  identityIsReference: ({ entity, column }: IdentityFacts) =>
    identityError({
      entity,
      column,
      code: "TIDEMARK_REGISTRY_IDENTITY_IS_REFERENCE",
      why: "it refers to another record, and an identity is not a reference at the same time",
      advice: `Leave "identity" out if it is the primary key: the identity is then derived from the reference. Else add a uuid column of its own`,
    }),
  nullableKey: ({ entity, column }: IdentityFacts) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_NULLABLE_KEY",
      what: `${entity} can't be synced`,
      why: `its primary key "${column}" may be NULL, as SQLite allows for keys whose type is not exactly INTEGER`,
      advice: "Declare it INTEGER PRIMARY KEY, as TypeORM does, or NOT NULL",
      details: { entity, column },
    }),

  // References

  targetNotRegistered: ({
    entity,
    property,
    target,
  }: {
    readonly entity: string;
    readonly property: string;
    readonly target: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_TARGET_NOT_REGISTERED",
      what: `"${property}" of ${entity} can't be synced`,
      why: `it refers to ${target}, which is not registered, so that other devices would not have its target`,
      advice: `Register ${target}, or keep the property on this device: exclude: ["${property}"]`,
      details: { entity, property, target },
    }),
  compositeReference: ({
    entity,
    property,
    columns,
  }: {
    readonly entity: string;
    readonly property: string;
    readonly columns: readonly string[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_COMPOSITE_REFERENCE",
      what: `"${property}" of ${entity} can't be synced`,
      why: `it joins by several columns (${list(columns)}), and a reference is one column`,
      advice: `Give the target a uuid column and join by it: @JoinColumn({ referencedColumnName: "uuid" }); or exclude: ["${property}"]`,
      details: { entity, property, columns },
    }),
  referenceNotUnique: ({ entity, property, target, targetColumn, why }: TargetFacts & { readonly why: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_REFERENCE_TARGET",
      what: `"${property}" of ${entity} can't be synced`,
      why: `it refers to "${targetColumn}" of ${target}, ${why}`,
      advice: "Let it refer to the primary key, the identity, or a synced column that is unique by itself",
      details: { entity, property, target, targetColumn },
    }),
  compositeTarget: ({
    entity,
    property,
    target,
  }: {
    readonly entity: string;
    readonly property: string;
    readonly target: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_COMPOSITE_TARGET",
      what: `"references" of ${entity} can't say what "${property}" refers to`,
      why: `${target} has no primary key of one column`,
      advice: `Declare a relation that joins by a unique column: @JoinColumn({ referencedColumnName: "uuid" })`,
      details: { entity, property, target },
    }),
  targetDerived: ({
    entity,
    property,
    target,
  }: {
    readonly entity: string;
    readonly property: string;
    readonly target: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_TARGET_DERIVED",
      what: `"${property}" of ${entity} can't be synced`,
      why: `it refers to ${target}, whose identity is derived from its own references`,
      advice: `Give ${target} a column @Column({ type: "varchar", unique: true }) @Generated("uuid") uuid: string, and register it with { identity: "uuid" }; or exclude: ["${property}"]`,
      details: { entity, property, target },
    }),
  referenceConflict: ({
    entity,
    column,
    declarations,
  }: {
    readonly entity: string;
    readonly column: string;
    readonly declarations: readonly string[];
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_REFERENCE_CONFLICT",
      what: `The column "${column}" of ${entity} can't be synced`,
      why: `it is declared to refer to different things: ${declarations.join("; ")}`,
      advice: `Say which one it is with { references: { "${column}": { to: … } } }, or correct the declaration that is wrong`,
      details: { entity, column, declarations },
    }),
  undeclaredForeignKey: ({
    entity,
    column,
    table,
  }: {
    readonly entity: string;
    readonly column: string;
    readonly table: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_UNDECLARED_REFERENCE",
      what: `The column "${column}" of ${entity} can't be synced`,
      why: `the database has a foreign key on it to "${table}", but neither a relation nor an option says so, and the key's local value would mean another record elsewhere`,
      advice: `Declare it: references: { "${column}": { to: … } }; or keep it on this device: exclude: ["${column}"]`,
      details: { entity, column, table },
    }),
  foreignKeyElsewhere: ({
    entity,
    column,
    table,
    target,
  }: {
    readonly entity: string;
    readonly column: string;
    readonly table: string;
    readonly target: string;
  }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_REFERENCE_ELSEWHERE",
      what: `The column "${column}" of ${entity} can't be synced`,
      why: `it is declared to refer to ${target}, but the database has a foreign key on it to "${table}"`,
      advice: "Correct the declaration, or migrate the foreign key",
      details: { entity, column, table, target },
    }),

  // Ownership

  ownerUnknownStep: ({
    entity,
    owner,
    step,
    at,
    nearest,
  }: OwnerFacts & { readonly step: string; readonly at: string; readonly nearest: string | undefined }) =>
    ownerError({
      entity,
      owner,
      code: "TIDEMARK_REGISTRY_OWNER_STEP",
      why: `${at} has no property "${step}"`,
      advice: `${suggestion(nearest)}Write the properties that lead from record to record up to the device, such as "location.volume.device"`,
    }),
  ownerNotReference: ({
    entity,
    owner,
    step,
    at,
    why,
  }: OwnerFacts & { readonly step: string; readonly at: string; readonly why: string }) =>
    ownerError({
      entity,
      owner,
      code: "TIDEMARK_REGISTRY_OWNER_NOT_A_REFERENCE",
      why: `"${step}" of ${at} ${why}`,
      advice:
        "Every step must be a many-to-one or one-to-one relation that holds the join column, or a declared reference",
    }),
  ownerEndsElsewhere: ({
    entity,
    owner,
    end,
    device,
  }: OwnerFacts & { readonly end: string; readonly device: string }) =>
    ownerError({
      entity,
      owner,
      code: "TIDEMARK_REGISTRY_OWNER_END",
      why: `it ends at ${end}, and must end at ${device}, the entity with isDevice`,
      advice: `Lengthen or correct the path so that its last step refers to ${device}`,
    }),
  noDeviceModel: ({ entity, owner }: OwnerFacts) =>
    ownerError({
      entity,
      owner,
      code: "TIDEMARK_REGISTRY_NO_DEVICE",
      why: "no entity is registered with isDevice, at which it could end",
      advice:
        'Register the entity whose identities are device ids with { isDevice: true }, or make this one { ownership: { kind: "shared" } }',
    }),
  deviceWithOwner: ({ entity, owner }: OwnerFacts) =>
    ownerError({
      entity,
      owner,
      code: "TIDEMARK_REGISTRY_DEVICE_OWNER",
      why: "the entity is registered with isDevice, and a device owns its own record",
      advice: 'Write { kind: "device", owner: "" }',
    }),
  twoDeviceModels: ({ entity, other }: { readonly entity: string; readonly other: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_TWO_DEVICES",
      what: `${entity} and ${other} can't both have isDevice`,
      why: "a library has one model whose identities are device ids",
      advice: "Remove isDevice from one of them",
      details: { entity, other },
    }),
  deviceWithoutIdentity: ({ entity }: { readonly entity: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_DEVICE_IDENTITY",
      what: `${entity} can't have isDevice`,
      why: "its identity is derived from references, and that of a device is its device id",
      advice:
        'Give it a text column that holds the device id, unique and not nullable, and name it with { identity: "…" }',
      details: { entity },
    }),

  // Trees

  treeWithoutParent: ({ entity, why }: { readonly entity: string; readonly why: string }) =>
    new TidemarkError({
      code: "TIDEMARK_REGISTRY_TREE_PARENT",
      what: `The tree of ${entity} can't be synced`,
      why: `${why}, and the rest of a tree is rebuilt from the parents`,
      advice: "Declare the parent with @TreeParent() and let it be synced",
      details: { entity },
    }),
};

interface ColumnFacts {
  readonly entity: string;
  readonly table: string;
  readonly property: string;
  readonly column: string;
}

interface PropertyFacts {
  readonly entity: string;
  readonly option: string;
  readonly property: string;
}

interface IdentityFacts {
  readonly entity: string;
  readonly column: string;
}

interface TargetFacts {
  readonly entity: string;
  readonly property: string;
  readonly target: string;
  readonly targetColumn: string;
}

interface OwnerFacts {
  readonly entity: string;
  readonly owner: string;
}

function identityError({
  entity,
  column,
  ...rest
}: IdentityFacts & { readonly code: string; readonly why: string; readonly advice: string }): TidemarkError {
  return new TidemarkError({
    ...rest,
    what: `The column "${column}" can't be the identity of ${entity}`,
    details: { entity, column },
  });
}

function ownerError({
  entity,
  owner,
  ...rest
}: OwnerFacts & { readonly code: string; readonly why: string; readonly advice: string }): TidemarkError {
  return new TidemarkError({
    ...rest,
    what: `The owner path "${owner}" of ${entity} can't be followed`,
    details: { entity, owner },
  });
}

function suggestion(nearest: string | undefined): string {
  return nearest === undefined ? "" : `Did you mean "${nearest}"? `;
}

function list(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}
