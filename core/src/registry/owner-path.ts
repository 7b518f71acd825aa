import { registryErrors } from "./errors.js";
import { nearestOf } from "./nearest.js";
import type { PlannedReferences } from "./references.js";
import type { RegisteredTable } from "./registered-table.js";

/** One step of an owner path: a referring column of a table. */
export interface OwnerStep {
  readonly table: RegisteredTable;
  readonly column: string;
}

/**
 * Follows an owner path from record to record, by the names of properties, up to the model of the devices. Returns its
 * steps; none for the device model itself. Throws when a step can't be taken, or the path ends elsewhere.
 */
export function resolveOwnerPath({
  table,
  owner,
  device,
  referencesOf,
}: {
  readonly table: RegisteredTable;
  readonly owner: string;
  /** The model with `isDevice`. */
  readonly device: RegisteredTable | null;
  readonly referencesOf: (table: RegisteredTable) => PlannedReferences;
}): readonly OwnerStep[] {
  const { entity } = table;
  if (table === device) {
    if (owner !== "") throw registryErrors.deviceWithOwner({ entity, owner });
    return [];
  }
  if (device === null) throw registryErrors.noDeviceModel({ entity, owner });

  const steps: OwnerStep[] = [];
  let at = table;
  let rest = owner;
  while (rest !== "" || steps.length === 0) {
    const step = nextStep({ entity, owner, at, rest, references: referencesOf(at) });
    steps.push({ table: at, column: step.column });
    at = step.target;
    rest = step.rest;
  }
  if (at !== device) throw registryErrors.ownerEndsElsewhere({ entity, owner, end: at.entity, device: device.entity });
  return steps;
}

/** Takes the longest start of `rest` that is a property of `at`: the path of a property may have dots of its own. */
function nextStep({
  entity,
  owner,
  at,
  rest,
  references,
}: {
  readonly entity: string;
  readonly owner: string;
  readonly at: RegisteredTable;
  readonly rest: string;
  readonly references: PlannedReferences;
}): { readonly column: string; readonly target: RegisteredTable; readonly rest: string } {
  const names = rest.split(".");
  for (let length = names.length; length > 0; length--) {
    const property = names.slice(0, length).join(".");
    const columns = at.properties.columnsByPath.get(property);
    const fail = (why: string) =>
      registryErrors.ownerNotReference({ entity, owner, step: property, at: at.entity, why });
    if (columns === undefined) {
      if (at.properties.columnless.has(property)) {
        throw fail("is the other side of a relation, or computed, and leads to no single record");
      }
      continue;
    }
    const [column, ...others] = columns;
    if (others.length > 0) throw fail("stands for several columns");
    const reference = references.get(column!);
    if (reference === undefined) throw fail("is not a reference, or is excluded");
    return { column: column!, target: reference.target, rest: names.slice(length).join(".") };
  }
  const step = names[0]!;
  const known = [...at.properties.columnsByPath.entries()]
    .filter(([, columns]) => columns.some((column) => references.has(column)))
    .map(([path]) => path);
  throw registryErrors.ownerUnknownStep({ entity, owner, step, at: at.entity, nearest: nearestOf(step, known) });
}
