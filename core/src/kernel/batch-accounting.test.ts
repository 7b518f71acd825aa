import type { ApplyBatch, Operation, ReferenceResolution } from "@tidemark/plugin-api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generateBatch } from "../testing/generated-batches.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createBatch, targetsOfOperations } from "./batch.js";
import { BatchAccount } from "./batch-accounting.js";

const operation = (id: number, said: Partial<Operation> = {}): Operation => ({
  id,
  model: "Entry",
  record: `record-${id}`,
  kind: "upsert",
  values: { name: "a", folder: "f" },
  references: [{ column: "folder", targetModel: "Folder", identity: "f", required: true }],
  ...said,
});

const all = [operation(1), operation(2), operation(3), operation(4)];
const before: ApplyBatch = createBatch({
  id: 1,
  peer: "peer",
  phase: "live",
  operations: () => all,
  targets: () => targetsOfOperations(all),
});
const earlier = [{ id: 4, reason: "earlier" }];
const [one, two, three, four] = before.operations as [Operation, Operation, Operation, Operation];

/** What an account says to `said`, after an earlier plugin has deferred operation 4. */
function account(said: object): ApplyBatch {
  const opened = new BatchAccount(before);
  const first = opened.check({
    after: { ...before, operations: [one, two, three], deferred: earlier },
    pluginId: "deferrer",
  });
  return opened.check({ after: { ...first, ...said }, pluginId: "resolver" });
}

describe("the account of a batch", () => {
  it("accepts any order, deferrals and rejections with a reason, and resolutions", () => {
    const found = { kind: "found", localKey: 7 } as const;
    const after = account({
      operations: [{ ...three, references: [{ ...three.references[0]!, resolution: found }] }, one],
      deferred: [{ id: 4, reason: "still" }],
      rejected: [{ id: 2, reason: "too long" }],
    });
    expect(after.operations.map(({ id }) => id)).toEqual([3, 1]);
    expect(after.operations[0]?.references[0]?.resolution).toEqual(found);
    expect(after.rejected).toEqual([{ id: 2, reason: "too long" }]);
  });

  it("lets nothing that a plugin writes into one batch get into the next", () => {
    const written = before.resolutions as Map<string, ReadonlyMap<string, ReferenceResolution>>;
    written.set("Folder", new Map([["f", { kind: "missing" }]]));
    try {
      const next = createBatch({ id: 2, peer: "peer", phase: "live", operations: () => all, targets: () => [] });
      expect(next.resolutions.size).toBe(0);
      expect(new BatchAccount(next).start.resolutions.size).toBe(0);
    } finally {
      written.clear();
    }
  });

  it("does not let a plugin say whose batch it is", () => {
    expect(account({ id: 9, peer: "another", phase: "backfill" })).toMatchObject({
      id: 1,
      peer: "peer",
      phase: "live",
    });
  });

  it.each([
    ["loses an operation", { operations: [one, three] }, "operation 2 is missing: 2", [2]],
    ["loses what was deferred before", { deferred: [] }, "operation 4 is missing: 4", [4]],
    ["has an operation twice", { operations: [one, two, three, one] }, "operation 1 comes twice", [1]],
    ["keeps what it rejects", { rejected: [{ id: 2, reason: "x" }] }, "operation 2 comes twice", [2]],
    ["invents one", { operations: [one, two, three, operation(9)] }, "operation 9 was not in the batch", [9]],
    [
      "defers an invented one",
      { deferred: [...earlier, { id: 8, reason: "x" }] },
      "operation 8 was not in the batch",
      [8],
    ],
    [
      "brings back a deferred one",
      { operations: [one, two, three, four], deferred: [] },
      "operation 4 had been deferred or rejected by an earlier plugin",
      [4],
    ],
    [
      "gives no reason",
      { operations: [one, two], rejected: [{ id: 3, reason: "" }] },
      "operation 3 is deferred or rejected without a reason",
      [3],
    ],
    ["is no batch", { operations: "none" }, "`operations`, `deferred` and `rejected` must all be lists", []],
    ["holds what is no operation", { operations: [null] }, "one of its operations is not an object", []],
  ])("refuses a batch that %s", (_, said, why, operations) => {
    expect(() => account(said)).toThrow(
      expect.objectContaining({
        code: "TIDEMARK_HOOK_UNACCOUNTED",
        why,
        details: expect.objectContaining({ pluginId: "resolver", operations }),
      }),
    );
  });

  it.each([
    [{ model: "Folder" }, "`model` was changed"],
    [{ record: "another" }, "`record` was changed"],
    [{ kind: "delete" }, "`kind` was changed"],
    [{ values: { name: "b", folder: "f" } }, "`values` were changed"],
    [{ references: [] }, "a reference was added or removed"],
    [{ references: [{ ...one.references[0]!, identity: "g" }] }, 'the reference "folder" was changed'],
    [{ references: [{ ...one.references[0]!, required: false }] }, 'the reference "folder" was changed'],
    [
      { references: [{ ...one.references[0]!, resolution: { kind: "found" } }] },
      'the reference "folder" has a resolution that is none',
    ],
    [
      { references: [{ ...one.references[0]!, resolution: null }] },
      'the reference "folder" has a resolution that is none',
    ],
  ])("refuses an operation that was changed: %o", (said, why) => {
    expect(() => account({ operations: [{ ...one, ...said }, two, three] })).toThrow(
      expect.objectContaining({ why: `in operation 1 (Entry), ${why}` }),
    );
  });

  it("accepts values that were copied and are equal", () => {
    expect(() => account({ operations: [{ ...one, values: { ...one.values } }, two, three] })).not.toThrow();
  });

  it.each([[null], [undefined], ["batch"]])("refuses what is no object: %s", (after) => {
    expect(() => new BatchAccount(before).check({ after, pluginId: "resolver" })).toThrow(
      expect.objectContaining({ why: "it is not a batch" }),
    );
  });

  it("accepts exactly the batches in which every operation stands once", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.array(fc.constantFrom("keep", "defer", "reject", "lose", "double"), { minLength: 41, maxLength: 41 }),
        (seed, fates) => {
          const given = generateBatch({ random: new SeededRandom(seed), id: 1 });
          const pick = (...names: string[]) => given.operations.filter((_, index) => names.includes(fates[index]!));
          const outcomes = (operations: readonly Operation[]) => operations.map(({ id }) => ({ id, reason: "x" }));
          const after = {
            ...given,
            operations: pick("keep", "double"),
            deferred: outcomes(pick("defer", "double")),
            rejected: outcomes(pick("reject")),
          };
          const run = () => new BatchAccount(given).check({ after, pluginId: "p" });
          const { operations, deferred, rejected } = after;
          if (pick("lose", "double").length === 0) expect(run()).toMatchObject({ operations, deferred, rejected });
          else expect(run).toThrow(expect.objectContaining({ code: "TIDEMARK_HOOK_UNACCOUNTED" }));
        },
      ),
      { seed: 1 },
    );
  });

  it("finds what was written in place, and lets nobody replace the lists or the values", () => {
    const opened = new BatchAccount(generateBatch({ random: new SeededRandom(3), id: 1 }));
    const given = opened.start;
    const reference = given.operations.find(({ references }) => references.length > 0)!.references[0]!;
    expect(Object.isFrozen(given) && Object.isFrozen(given.operations[0]?.values)).toBe(true);
    expect(() => opened.check({ after: given, pluginId: "p" })).not.toThrow();
    (reference as { identity: string }).identity = "another";
    expect(() => opened.check({ after: given, pluginId: "p" })).toThrow(
      expect.objectContaining({ code: "TIDEMARK_HOOK_UNACCOUNTED" }),
    );
  });

  it("makes no operations for a transform that only resolves targets, and shows them resolved to who looks later", () => {
    let made = 0;
    const opened = new BatchAccount(
      createBatch({
        id: 1,
        peer: "peer",
        phase: "live",
        operations: () => {
          made += 1;
          return all;
        },
        targets: () => targetsOfOperations(all),
      }),
    );
    expect(opened.start.targets).toEqual([
      { targetModel: "Folder", references: new Map([["f", 4]]), inBatch: new Set() },
    ]);
    const missing = { kind: "missing" } as const;
    const resolutions = new Map([["Folder", new Map([["f", missing]])]]);
    const after = opened.check({ after: { resolutions }, pluginId: "resolver" });
    expect(made).toBe(0);
    expect(after.resolutions).toEqual(resolutions);
    expect(after.targets).toEqual([]);
    expect(after.operations.map(({ references }) => references[0]?.resolution)).toEqual(new Array(4).fill(missing));
  });

  it("takes operations out of the batch that a transform sets aside without a list of the others", () => {
    const after = account({ operations: undefined, rejected: [{ id: 2, reason: "too long" }] });
    expect(after.operations.map(({ id }) => id)).toEqual([1, 3]);
    expect(after.rejected).toEqual([{ id: 2, reason: "too long" }]);
  });

  it("collects what is said in references, for nobody may look at the operations again", () => {
    const found = { kind: "found", localKey: 7 } as const;
    const after = account({
      operations: [{ ...one, references: [{ ...one.references[0]!, resolution: found }] }, two, three],
    });
    expect(after.resolutions).toEqual(new Map([["Folder", new Map([["f", found]])]]));
  });

  it.each<[string, unknown]>([
    ["no map", { Folder: { f: { kind: "missing" } } }],
    ["no map of maps", new Map([["Folder", { f: { kind: "missing" } }]])],
    ["an answer that is none", new Map([["Folder", new Map([["f", { kind: "found" }]])]])],
  ])("refuses resolutions that are %s", (_, resolutions) => {
    expect(() => account({ resolutions })).toThrow(expect.objectContaining({ code: "TIDEMARK_HOOK_UNACCOUNTED" }));
  });
});
