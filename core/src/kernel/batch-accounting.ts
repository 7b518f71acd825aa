// Proves that transforms have lost nothing: what goes into beforeApplyBatch comes out, once, as it was. Silent loss is the
// worst fault that a sync engine can have. Nothing is repaired here; a batch that doesn't add up fails.

import { isDeepStrictEqual } from "node:util";
import type { ApplyBatch, Operation, OperationOutcome, OperationReference } from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";

/** More ids than these in a message help nobody. */
const MOST_NAMED = 10;

/**
 * The account of one batch on its way through the transforms. It notes what the batch was before any of them saw it, so
 * that a write in place is found like any other change; freezing thousands of objects would cost as much as applying them.
 */
export class BatchAccount {
  readonly #batch: ApplyBatch;
  readonly #operations: readonly NotedOperation[];
  /** The ids that plugins have deferred or rejected so far. */
  #setAside: ReadonlySet<number>;
  #places: ReadonlyMap<number, number> | undefined;

  /** `batch` is new from the kernel: nothing of it is deferred or rejected yet. */
  constructor(batch: ApplyBatch) {
    this.#batch = Object.freeze(batch);
    this.#operations = batch.operations.map(note);
    this.#setAside = new Set();
  }

  /**
   * The batch to go on with after the transform of `pluginId`: the original one with the operations, deferrals and
   * rejections of `after`. Throws `TIDEMARK_HOOK_UNACCOUNTED` when an operation is missing, doubled, invented, or changed
   * in anything but the resolution of its references, and when a deferral or rejection has no reason.
   */
  check({
    after,
    pluginId,
  }: {
    /** Written by a plugin, so nothing of its shape is taken for granted. */
    readonly after: unknown;
    readonly pluginId: string;
  }): ApplyBatch {
    const fail = (why: string, ids: readonly number[] = []): never => {
      throw kernelErrors.unaccounted({ id: pluginId, why, operations: ids.slice(0, MOST_NAMED) });
    };
    if (!isObject(after)) return fail("it is not a batch");
    const { operations, deferred, rejected } = after;
    if (!Array.isArray(operations) || !Array.isArray(deferred) || !Array.isArray(rejected)) {
      return fail("`operations`, `deferred` and `rejected` must all be lists");
    }

    /** By place in the original batch. */
    const seen = new Uint8Array(this.#operations.length);
    let left = seen.length;
    const place = (id: number, guess: number): number => {
      const found = this.#operations[guess]?.id === id ? guess : this.#placeOf(id);
      if (found === undefined) return fail(`operation ${String(id)} was not in the batch`, [id]);
      if (seen[found] === 1) return fail(`operation ${id} comes twice`, [id]);
      seen[found] = 1;
      left--;
      return found;
    };

    for (let index = 0; index < operations.length; index++) {
      const operation: unknown = operations[index];
      if (!isObject(operation)) return fail("one of its operations is not an object");
      const id = operation.id as number;
      // Most transforms keep the order, so the original is looked for in the same place first.
      const original = this.#operations[place(id, index)]!;
      if (this.#setAside.has(id))
        return fail(`operation ${id} had been deferred or rejected by an earlier plugin`, [id]);
      const fault = faultOf(original, operation);
      if (fault !== undefined) return fail(`in operation ${id} (${original.model}), ${fault}`, [id]);
    }
    const setAside = new Set<number>();
    for (const outcome of [...deferred, ...rejected] as readonly unknown[]) {
      if (!isObject(outcome)) return fail("one of its deferrals or rejections is not an object");
      const id = outcome.id as number;
      place(id, -1);
      setAside.add(id);
      if (typeof outcome.reason !== "string" || outcome.reason === "") {
        return fail(`operation ${id} is deferred or rejected without a reason`, [id]);
      }
    }
    if (left > 0) {
      const ids = this.#operations.filter((_, index) => seen[index] === 0).map(({ id }) => id);
      const named = ids.slice(0, MOST_NAMED).join(", ");
      return fail(
        `${ids.length === 1 ? `operation ${named} is` : `${ids.length} operations are`} missing: ${named}`,
        ids,
      );
    }
    this.#setAside = setAside;
    if ((after as unknown) === this.#batch) return this.#batch;
    return Object.freeze({
      // Whose batch it is, and what for, is not the plugin's to say.
      ...this.#batch,
      operations: operations as readonly Operation[],
      deferred: deferred as readonly OperationOutcome[],
      rejected: rejected as readonly OperationOutcome[],
    });
  }

  #placeOf(id: number): number | undefined {
    this.#places ??= new Map(this.#operations.map((operation, place) => [operation.id, place]));
    return this.#places.get(id);
  }
}

/** What of an operation must stay as it is, held apart from the objects that plugins are given. */
interface NotedOperation {
  readonly id: number;
  readonly model: string;
  readonly record: string;
  readonly kind: string;
  readonly values: Operation["values"];
  /** For each reference: column, target model, identity, whether it is required. */
  readonly references: readonly (string | boolean)[];
}

function note({ id, model, record, kind, values, references }: Operation): NotedOperation {
  const noted: (string | boolean)[] = [];
  for (const { column, targetModel, identity, required } of references) {
    noted.push(column, targetModel, identity, required);
  }
  return { id, model, record, kind, values: Object.freeze(values), references: noted };
}

/** What is different from the original and may not be; the first that is found. */
function faultOf(original: NotedOperation, operation: Readonly<Record<string, unknown>>): string | undefined {
  if (operation.model !== original.model) return "`model` was changed";
  if (operation.record !== original.record) return "`record` was changed";
  if (operation.kind !== original.kind) return "`kind` was changed";
  if (operation.values !== original.values && !isDeepStrictEqual(operation.values, original.values)) {
    return "`values` were changed";
  }
  const { references } = operation;
  const noted = original.references;
  if (!Array.isArray(references) || references.length * 4 !== noted.length) return "a reference was added or removed";
  for (let index = 0, at = 0; index < references.length; index++, at += 4) {
    const reference = references[index] as Partial<OperationReference> | null | undefined;
    const same =
      typeof reference === "object" &&
      reference !== null &&
      reference.column === noted[at] &&
      reference.targetModel === noted[at + 1] &&
      reference.identity === noted[at + 2] &&
      reference.required === noted[at + 3];
    if (!same) return `the reference "${String(noted[at])}" was changed`;
    if (reference.resolution !== undefined && !isResolution(reference.resolution)) {
      return `the reference "${String(noted[at])}" has a resolution that is none`;
    }
  }
  return undefined;
}

function isResolution(value: unknown): boolean {
  if (!isObject(value)) return false;
  if (value.kind === "missing") return true;
  const type = typeof value.localKey;
  return value.kind === "found" && (type === "number" || type === "bigint" || type === "string");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
