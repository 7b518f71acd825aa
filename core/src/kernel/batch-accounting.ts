// Proves that a transform has lost nothing: what goes into beforeApplyBatch comes out, once, as it was. Silent loss is the
// worst fault that a sync engine can have. Nothing is repaired here; a batch that doesn't add up fails.

import { isDeepStrictEqual } from "node:util";
import type {
  ApplyBatch,
  Operation,
  OperationOutcome,
  OperationReference,
  ReferenceResolution,
} from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";

/** More ids than these in a message help nobody. */
const MOST_NAMED = 10;

/**
 * The batch to go on with after the transform of `pluginId`: `before` with the operations, deferrals and rejections of
 * `after`. Throws `TIDEMARK_HOOK_UNACCOUNTED` when an operation is missing, doubled, invented, or changed in anything but
 * the resolution of its references, and when a deferral or rejection has no reason.
 */
export function accountFor({
  before,
  after,
  pluginId,
}: {
  readonly before: ApplyBatch;
  /** Written by a plugin, so nothing of its shape is taken for granted. */
  readonly after: unknown;
  readonly pluginId: string;
}): ApplyBatch {
  if (after === before) return before;
  const fail = (why: string, ids: readonly number[] = []): never => {
    throw kernelErrors.unaccounted({ id: pluginId, why, operations: ids.slice(0, MOST_NAMED) });
  };
  if (!isObject(after)) return fail("it is not a batch");
  const { operations, deferred, rejected } = after;
  if (!Array.isArray(operations) || !Array.isArray(deferred) || !Array.isArray(rejected)) {
    return fail("`operations`, `deferred` and `rejected` must all be lists");
  }

  const originals = new Map(before.operations.map((operation) => [operation.id, operation]));
  const missing = new Set(originals.keys());
  for (const { id } of before.deferred) missing.add(id);
  for (const { id } of before.rejected) missing.add(id);
  const known = new Set(missing);
  const seen = (id: number): void => {
    if (missing.delete(id)) return;
    fail(known.has(id) ? `operation ${id} comes twice` : `operation ${String(id)} was not in the batch`, [id]);
  };

  for (const operation of operations as readonly unknown[]) {
    if (!isObject(operation)) return fail("one of its operations is not an object");
    const id = operation.id as number;
    seen(id);
    const original = originals.get(id);
    if (original === undefined) return fail(`operation ${id} had been deferred or rejected by an earlier plugin`, [id]);
    const fault = faultOf(original, operation);
    if (fault !== undefined) fail(`in operation ${id} (${original.model}), ${fault}`, [id]);
  }
  for (const outcomes of [deferred, rejected] as readonly (readonly unknown[])[]) {
    for (const outcome of outcomes) {
      if (!isObject(outcome)) return fail("one of its deferrals or rejections is not an object");
      const id = outcome.id as number;
      seen(id);
      if (typeof outcome.reason !== "string" || outcome.reason === "") {
        fail(`operation ${id} is deferred or rejected without a reason`, [id]);
      }
    }
  }
  if (missing.size > 0) {
    const ids = [...missing];
    const named = ids.slice(0, MOST_NAMED).join(", ");
    fail(`${ids.length === 1 ? `operation ${named} is` : `${ids.length} operations are`} missing: ${named}`, ids);
  }
  // Whose batch it is, and what for, is not the plugin's to say.
  return {
    ...before,
    operations: operations as readonly Operation[],
    deferred: deferred as readonly OperationOutcome[],
    rejected: rejected as readonly OperationOutcome[],
  };
}

/**
 * Freezes what a transform is given, so that a write in place throws where it stands instead of slipping past
 * {@link accountFor}, which can't tell an object from itself.
 */
export function freezeBatch(batch: ApplyBatch): ApplyBatch {
  for (const operation of batch.operations) {
    if (Object.isFrozen(operation)) continue;
    for (const reference of operation.references) Object.freeze(reference);
    Object.freeze(operation.references);
    Object.freeze(operation.values);
    Object.freeze(operation);
  }
  Object.freeze(batch.operations);
  Object.freeze(batch.deferred);
  Object.freeze(batch.rejected);
  return Object.freeze(batch);
}

/** What is different from the original and may not be; the first that is found. */
function faultOf(original: Operation, operation: Readonly<Record<string, unknown>>): string | undefined {
  if ((operation as unknown) === original) return undefined;
  if (operation.model !== original.model) return "`model` was changed";
  if (operation.record !== original.record) return "`record` was changed";
  if (operation.kind !== original.kind) return "`kind` was changed";
  if (operation.values !== original.values && !isDeepStrictEqual(operation.values, original.values)) {
    return "`values` were changed";
  }
  const { references } = operation;
  if (references === original.references) return undefined;
  if (!Array.isArray(references) || references.length !== original.references.length) {
    return "a reference was added or removed";
  }
  for (const [index, reference] of original.references.entries()) {
    const other: unknown = references[index];
    if (other === reference) continue;
    if (!isObject(other) || !isSameReference(reference, other))
      return `the reference "${reference.column}" was changed`;
    if (!isResolution(other.resolution)) return `the reference "${reference.column}" has a resolution that is none`;
  }
  return undefined;
}

function isSameReference(original: OperationReference, other: Readonly<Record<string, unknown>>): boolean {
  return (
    other.column === original.column &&
    other.targetModel === original.targetModel &&
    other.identity === original.identity &&
    other.required === original.required
  );
}

function isResolution(value: unknown): value is ReferenceResolution | undefined {
  if (value === undefined) return true;
  if (!isObject(value)) return false;
  return (
    value.kind === "missing" ||
    (value.kind === "found" && ["number", "bigint", "string"].includes(typeof value.localKey))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
