// Proves that transforms have lost nothing: what goes into beforeApplyBatch comes out, once, as it was. Silent loss is the
// worst fault that a sync engine can have. Nothing is repaired here; a batch that doesn't add up fails.

import { isDeepStrictEqual } from "node:util";
import type {
  ApplyBatch,
  BatchResolutions,
  Operation,
  OperationOutcome,
  OperationReference,
  ReferenceResolution,
} from "@tidemark/plugin-api";
import { createBatch, targetsOfOperations, withoutResolved, withResolutions } from "./batch.js";
import { kernelErrors } from "./errors.js";

/** More ids than these in a message help nobody. */
const MOST_NAMED = 10;

/**
 * The account of one batch on its way through the transforms. It notes what the operations were when somebody first looks
 * at them, so that a write in place is found like any other change; freezing thousands of objects would cost as much as
 * applying them. What nobody looks at nobody has changed.
 */
export class BatchAccount {
  readonly #batch: ApplyBatch;
  /** What the first transform is given: the same, but it is noted when somebody looks at the operations. */
  readonly #unchanged: ApplyBatch;
  /** The batch as the next transform is given it. */
  #current: ApplyBatch;
  #noted: readonly NotedOperation[] | undefined;
  /** The ids that plugins have deferred or rejected so far. */
  #setAside: ReadonlySet<number>;
  #places: ReadonlyMap<number, number> | undefined;

  /** `batch` is new from the kernel: nothing of it is resolved, deferred or rejected yet. */
  constructor(batch: ApplyBatch) {
    this.#batch = batch;
    this.#setAside = new Set();
    this.#current = createBatch({
      id: batch.id,
      peer: batch.peer,
      phase: batch.phase,
      operations: () => {
        this.#noted ??= batch.operations.map(note);
        return batch.operations;
      },
      targets: () => batch.targets,
    });
    this.#unchanged = this.#current;
  }

  /** The batch as the first transform is given it. */
  get start(): ApplyBatch {
    return this.#unchanged;
  }

  /**
   * The batch to go on with after the transform of `pluginId`; the original one as long as nothing is changed. Throws
   * `TIDEMARK_HOOK_UNACCOUNTED` when an operation is missing, doubled, invented, or changed in anything but the resolution
   * of its references, and when a resolution is none, or a deferral or rejection has no reason.
   */
  check({
    after,
    pluginId,
  }: {
    /** Written by a plugin, so nothing of its shape is taken for granted. */
    readonly after: unknown;
    readonly pluginId: string;
  }): ApplyBatch {
    const fail: Fail = (why, ids = []) => {
      throw kernelErrors.unaccounted({ id: pluginId, why, operations: ids.slice(0, MOST_NAMED) });
    };
    if (!isObject(after)) return fail("it is not a batch");
    const before = this.#current;
    const same = (after as unknown) === before;
    // What nobody has looked at, nobody can have written into.
    if (same && this.#noted === undefined) return this.#result();
    const change = after as Partial<Record<keyof ApplyBatch, unknown>>;
    const deferred = change.deferred ?? before.deferred;
    const rejected = change.rejected ?? before.rejected;
    let { operations } = change;
    if (operations === undefined && change.deferred === undefined && change.rejected === undefined) {
      const resolutions = mergeResolutions(before.resolutions, change.resolutions, fail);
      if (resolutions !== before.resolutions) this.#goOn({ before, resolutions });
      return this.#result();
    }
    if (!Array.isArray(deferred) || !Array.isArray(rejected) || !Array.isArray(operations ?? [])) {
      return fail("`operations`, `deferred` and `rejected` must all be lists");
    }
    const setAside = new Set<unknown>();
    for (const outcome of [...deferred, ...rejected] as readonly unknown[]) {
      if (isObject(outcome)) setAside.add(outcome.id);
    }
    operations ??= before.operations.filter(({ id }) => !setAside.has(id));
    const found = this.#checkOperations({ operations: operations as readonly unknown[], deferred, rejected, fail });
    this.#setAside = setAside as ReadonlySet<number>;
    if (same) return this.#result();
    const resolutions = mergeResolutions(before.resolutions, change.resolutions, fail);
    this.#goOn({
      before,
      operations: operations as readonly Operation[],
      resolutions: mergeResolutions(resolutions, found, fail),
      deferred: deferred as readonly OperationOutcome[],
      rejected: rejected as readonly OperationOutcome[],
    });
    return this.#result();
  }

  #result(): ApplyBatch {
    return this.#current === this.#unchanged ? this.#batch : this.#current;
  }

  #goOn({
    before,
    operations,
    resolutions,
    deferred = before.deferred,
    rejected = before.rejected,
  }: {
    readonly before: ApplyBatch;
    readonly operations?: readonly Operation[];
    readonly resolutions: BatchResolutions;
    readonly deferred?: readonly OperationOutcome[];
    readonly rejected?: readonly OperationOutcome[];
  }): void {
    // Whose batch it is, and what for, is not the plugin's to say.
    const { id, peer, phase } = this.#batch;
    this.#current = createBatch({
      id,
      peer,
      phase,
      operations: () => withResolutions(operations ?? before.operations, resolutions),
      targets: () =>
        operations === undefined ? withoutResolved(before.targets, resolutions) : targetsOfOperations(operations),
      resolutions,
      deferred,
      rejected,
    });
  }

  /** Every operation once, as it was or set aside with a reason. Returns what is said of the references' targets. */
  #checkOperations({
    operations,
    deferred,
    rejected,
    fail,
  }: {
    readonly operations: readonly unknown[];
    readonly deferred: readonly unknown[];
    readonly rejected: readonly unknown[];
    readonly fail: Fail;
  }): BatchResolutions {
    this.#noted ??= this.#batch.operations.map(note);
    const noted = this.#noted;
    /** By place in the original batch. */
    const seen = new Uint8Array(noted.length);
    let left = seen.length;
    const place = (id: number, guess: number): number => {
      const found = noted[guess]?.id === id ? guess : this.#placeOf(noted, id);
      if (found === undefined) return fail(`operation ${String(id)} was not in the batch`, [id]);
      if (seen[found] === 1) return fail(`operation ${id} comes twice`, [id]);
      seen[found] = 1;
      left--;
      return found;
    };
    const resolutions = new Map<string, Map<string, ReferenceResolution>>();
    for (let index = 0; index < operations.length; index++) {
      const operation: unknown = operations[index];
      if (!isObject(operation)) return fail("one of its operations is not an object");
      const id = operation.id as number;
      // Most transforms keep the order, so the original is looked for in the same place first.
      const original = noted[place(id, index)]!;
      if (this.#setAside.has(id))
        return fail(`operation ${id} had been deferred or rejected by an earlier plugin`, [id]);
      const fault = faultOf(original, operation);
      if (fault !== undefined) return fail(`in operation ${id} (${original.model}), ${fault}`, [id]);
      for (const { targetModel, identity, resolution } of operation.references as readonly OperationReference[]) {
        if (resolution === undefined) continue;
        const known = resolutions.get(targetModel) ?? new Map<string, ReferenceResolution>();
        resolutions.set(targetModel, known.set(identity, resolution));
      }
    }
    for (const outcome of [...deferred, ...rejected]) {
      if (!isObject(outcome)) return fail("one of its deferrals or rejections is not an object");
      const id = outcome.id as number;
      place(id, -1);
      if (typeof outcome.reason !== "string" || outcome.reason === "") {
        return fail(`operation ${id} is deferred or rejected without a reason`, [id]);
      }
    }
    if (left > 0) {
      const ids = noted.filter((_, index) => seen[index] === 0).map(({ id }) => id);
      const named = ids.slice(0, MOST_NAMED).join(", ");
      return fail(
        `${ids.length === 1 ? `operation ${named} is` : `${ids.length} operations are`} missing: ${named}`,
        ids,
      );
    }
    return resolutions;
  }

  #placeOf(noted: readonly NotedOperation[], id: number): number | undefined {
    this.#places ??= new Map(noted.map((operation, place) => [operation.id, place]));
    return this.#places.get(id);
  }
}

type Fail = (why: string, ids?: readonly number[]) => never;

/** Both together; the same object where nothing is added. */
function mergeResolutions(before: BatchResolutions, said: unknown, fail: Fail): BatchResolutions {
  if (said === undefined || said === before) return before;
  if (!(said instanceof Map)) return fail("`resolutions` must be a Map of Maps");
  if (said.size === 0) return before;
  const merged = new Map(before);
  for (const [model, outcomes] of said as ReadonlyMap<unknown, unknown>) {
    if (typeof model !== "string" || !(outcomes instanceof Map)) return fail("`resolutions` must be a Map of Maps");
    if (outcomes === before.get(model)) continue;
    for (const [identity, resolution] of outcomes as ReadonlyMap<unknown, unknown>) {
      if (typeof identity !== "string" || !isResolution(resolution)) {
        return fail(`\`resolutions\` says of "${String(identity)}" (${model}) what is no resolution`);
      }
    }
    const known = before.get(model);
    merged.set(model, known === undefined ? outcomes : new Map([...known, ...outcomes]));
  }
  return merged;
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
