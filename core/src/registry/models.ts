import { frozenMap } from "./frozen-map.js";
import type { PlannedIdentity } from "./identity.js";
import { levelsOf } from "./levels.js";
import type { NumberAllocator, SyncColumn, SyncModel, SyncRegistry } from "./model.js";
import type { OwnerStep } from "./owner-path.js";
import type { PlannedReferences } from "./references.js";
import type { RegisteredTable } from "./registered-table.js";
import { resolveTree } from "./tree.js";

/** What has been decided about a table before its model is made. */
export interface TablePlan {
  /** Columns that are not synced, those derived from trees included; the identity and the local key are not among them. */
  readonly excluded: ReadonlySet<string>;
  readonly references: PlannedReferences;
  readonly identity: PlannedIdentity;
  /** Names on the wire of the synced columns, by name in the table. */
  readonly columnNames: ReadonlyMap<string, string>;
}

type Draft = { -readonly [Key in keyof SyncModel]: SyncModel[Key] };

/**
 * Makes the models of planned tables, which have been validated. Models refer to each other, in circles too, so they are
 * made empty, filled, and then frozen.
 */
export function buildModels({
  plans,
  ownerSteps,
  numbers,
}: {
  /** In the order that the models are to have. */
  readonly plans: ReadonlyMap<RegisteredTable, TablePlan>;
  /** The owner paths of the tables that are owned by devices. */
  readonly ownerSteps: ReadonlyMap<RegisteredTable, readonly OwnerStep[]>;
  readonly numbers: NumberAllocator;
}): SyncRegistry {
  const drafts = new Map<RegisteredTable, Draft>();
  for (const table of plans.keys()) drafts.set(table, emptyModel(table, numbers.model(table.name)));

  // By name in the table.
  const columns = new Map<RegisteredTable, ReadonlyMap<string, SyncColumn>>();
  for (const [table, plan] of plans) {
    const made = buildColumns({ table, plan, plans, drafts, numbers });
    columns.set(table, made);
    fill(drafts.get(table)!, { table, plan, columns: made });
  }
  for (const [table, steps] of ownerSteps) {
    const path = Object.freeze(steps.map((step) => columns.get(step.table)!.get(step.column)!));
    drafts.get(table)!.ownership = Object.freeze({ kind: "device", path });
  }

  const models = Object.freeze([...drafts.values()]);
  const levels = levelsOf({
    nodes: models,
    targetsOf: (model) => model.references.map((column) => column.reference!.target),
  });
  for (const model of models) {
    model.level = levels.get(model)!;
    model.referencedBy = Object.freeze(
      models.flatMap((other) =>
        other.references
          .filter(({ reference }) => reference!.target === model)
          .map((column) => Object.freeze({ model: other, column })),
      ),
    );
  }
  for (const model of models) Object.freeze(model);
  return Object.freeze({
    models,
    byName: frozenMap(models.map((model) => [model.name, model] as const)),
    byNumber: frozenMap(models.map((model) => [model.number, model] as const)),
    levels: Object.freeze(
      Array.from({ length: Math.max(-1, ...levels.values()) + 1 }, (_, level) =>
        Object.freeze(models.filter((model) => model.level === level)),
      ),
    ),
    deviceModel: models.find(({ isDevice }) => isDevice) ?? null,
  });
}

/** A model with all that does not depend on others. */
function emptyModel({ declaration, name, shape }: RegisteredTable, number: number): Draft {
  return {
    number,
    name,
    table: shape.name,
    identity: { kind: "derived", columns: [] },
    localKey: null,
    ownership: Object.freeze({ kind: "shared" }),
    isDevice: declaration.isDevice ?? false,
    columns: [],
    columnByName: new Map(),
    columnByNumber: new Map(),
    references: [],
    referencedBy: [],
    uniqueKeys: [],
    level: 0,
    tree: null,
    afterBackfill: declaration.afterBackfill ?? null,
  };
}

function buildColumns({
  table,
  plan,
  plans,
  drafts,
  numbers,
}: {
  readonly table: RegisteredTable;
  readonly plan: TablePlan;
  readonly plans: ReadonlyMap<RegisteredTable, TablePlan>;
  readonly drafts: ReadonlyMap<RegisteredTable, Draft>;
  readonly numbers: NumberAllocator;
}): ReadonlyMap<string, SyncColumn> {
  const columns = new Map<string, SyncColumn>();
  for (const { name: column, affinity, nullable, defaultSql } of table.shape.columns) {
    const name = plan.columnNames.get(column);
    if (name === undefined) continue;
    const planned = plan.references.get(column);
    const targetIdentity = planned && plans.get(planned.target)!.identity;
    const reference =
      planned === undefined
        ? null
        : Object.freeze({
            target: drafts.get(planned.target)!,
            targetColumn: planned.targetColumn,
            byIdentity: targetIdentity?.kind === "column" && targetIdentity.column === planned.targetColumn,
            required: !nullable,
          });
    const number = numbers.column(drafts.get(table)!.number, name);
    columns.set(column, Object.freeze({ number, name, column, affinity, nullable, defaultSql, reference }));
  }
  return columns;
}

function fill(
  model: Draft,
  {
    table,
    plan: { identity },
    columns,
  }: { readonly table: RegisteredTable; readonly plan: TablePlan; readonly columns: ReadonlyMap<string, SyncColumn> },
): void {
  const byNumber = [...columns.values()].sort((a, b) => a.number - b.number);
  model.columns = Object.freeze(byNumber);
  model.columnByName = frozenMap(byNumber.map((column) => [column.name, column] as const));
  model.columnByNumber = frozenMap(byNumber.map((column) => [column.number, column] as const));
  model.references = Object.freeze(byNumber.filter(({ reference }) => reference !== null));
  model.identity =
    identity.kind === "column"
      ? Object.freeze({ kind: "column", column: identity.column })
      : Object.freeze({ kind: "derived", columns: Object.freeze(identity.columns.map((name) => columns.get(name)!)) });
  model.localKey = identity.localKey && Object.freeze({ ...identity.localKey });
  model.uniqueKeys = uniqueKeysOf(table, identity);
  model.tree = resolveTree({ table, columns });
}

/** Every set of columns once. A clash on the identity is no clash: it means the same record. */
function uniqueKeysOf({ shape }: RegisteredTable, identity: PlannedIdentity): SyncModel["uniqueKeys"] {
  const setOf = (columns: readonly string[]) => JSON.stringify([...columns].sort());
  const seen = new Set([setOf(identity.kind === "column" ? [identity.column] : identity.columns)]);
  const keys: (readonly string[])[] = [];
  for (const { columns } of shape.uniqueIndexes) {
    const set = setOf(columns);
    if (seen.has(set)) continue;
    seen.add(set);
    keys.push(Object.freeze([...columns]));
  }
  return Object.freeze(keys);
}
