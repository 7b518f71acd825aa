import type { Sqlite } from "../storage/database.js";
import { foldName } from "../storage/identifiers.js";
import { registryErrors } from "./errors.js";
import { columnOfProperty } from "./properties.js";
import type { PlannedReferences } from "./references.js";
import { namedProperty, type RegisteredTable } from "./registered-table.js";
import { comparesBinary, type TableColumn } from "./table-shape.js";

/**
 * What tells that two records on two devices are the same, and by which column the rows are found here. Refuses what
 * could not tell it reliably.
 */
export type PlannedIdentity =
  | { readonly kind: "column"; readonly column: string; readonly localKey: LocalKey }
  /** `columns` is the primary key, in its order. */
  | { readonly kind: "derived"; readonly columns: readonly string[]; readonly localKey: null };

interface LocalKey {
  readonly column: string;
  readonly kind: "integer" | "identity";
}

/** The property that is taken for the identity when the options name none and the primary key is not text. */
const DEFAULT_PROPERTY = "uuid";

/** Decides the identity of a table: the one that is named, else the key of references, else the text key, else `uuid`. */
export function planIdentity({
  db,
  table,
  references,
}: {
  readonly db: Sqlite;
  readonly table: RegisteredTable;
  readonly references: PlannedReferences;
}): PlannedIdentity {
  const { entity, declaration, shape } = table;
  const key = shape.primaryKey;
  const named = declaration.identity;
  if (named !== undefined) return columnIdentity(columnOfProperty(namedProperty(table, "identity", named)));

  const isRequiredReference = ({ name, nullable }: TableColumn) => references.has(name) && !nullable;
  // Even if there is a uuid: two devices that join the same two records mean one junction, and with a uuid each would
  // have two that clash.
  if (key.length > 0 && key.every(isRequiredReference)) {
    return { kind: "derived", columns: key.map(({ name }) => name), localKey: null };
  }
  const [single] = key;
  if (key.length === 1 && single!.affinity === "text" && !references.has(single!.name))
    return columnIdentity(single!.name);
  const uuid = defaultColumn(table);
  if (uuid !== undefined) return columnIdentity(uuid);
  if (key.length > 1) {
    const others = key.filter((column) => !isRequiredReference(column)).map(({ name }) => name);
    throw registryErrors.compositeKey({ entity, columns: key.map(({ name }) => name), others });
  }
  throw registryErrors.noIdentity({ entity, table: shape.name });

  function columnIdentity(column: string): PlannedIdentity {
    const { affinity, nullable } = shape.columnByName.get(foldName(column))!;
    if (references.has(column)) throw registryErrors.identityIsReference({ entity, column });
    if (affinity !== "text") throw registryErrors.identityNotText({ entity, column, affinity });
    if (nullable) throw registryErrors.nullableIdentity({ entity, column });
    const indexes = shape.uniqueIndexes.filter(({ columns }) => columns.length === 1 && columns[0] === column);
    if (indexes.length === 0) throw registryErrors.identityNotUnique({ entity, column });
    if (!indexes.every(({ binary }) => binary) || !comparesBinary({ db, table: shape.name, column })) {
      throw registryErrors.identityCollation({ entity, column });
    }
    return { kind: "column", column, localKey: localKeyOf(column) };
  }

  /** A key of several columns, of references, or of anything but integers means something, and is synced as columns are. */
  function localKeyOf(identity: string): LocalKey {
    const [column] = key;
    const isLocal =
      key.length === 1 && column !== undefined && column.affinity === "integer" && !references.has(column.name);
    if (!isLocal) return { column: identity, kind: "identity" };
    if (column.nullable) throw registryErrors.nullableKey({ entity, column: column.name });
    return { column: column.name, kind: "integer" };
  }
}

function defaultColumn({ properties, shape }: RegisteredTable): string | undefined {
  const [column, ...others] = properties.columnsByPath.get(DEFAULT_PROPERTY) ?? [DEFAULT_PROPERTY];
  return others.length === 0 ? shape.columnByName.get(foldName(column!))?.name : undefined;
}
