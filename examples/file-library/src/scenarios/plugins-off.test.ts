import { expect, it } from "vitest";
import { remedyIds } from "./all-plugins.js";
import { pluginsOff, speedCheck, type VariantFacts, variantChecks, variants } from "./plugins-off.js";
import { faultsIn, runSmall } from "./scenarios.test-support.js";

it("comes to equal records with any remedy off, and shows what each of them is for", { timeout: 90_000 }, async () => {
  const outcome = await runSmall(pluginsOff);
  expect(outcome.figures).toHaveLength(variants.length);
  expect(faultsIn(outcome)).toEqual([]);
});

/** What a run with these remedies off would end with. */
function good(off: readonly string[]): VariantFacts {
  const isOn = (id: string) => !off.includes(id);
  const decidedBy = isOn("backoff") ? "backoff" : "kernel";
  const referenceLookups = isOn("fk-batching") ? 0 : 500;
  const logEntries = isOn("ack-pruning") ? 0 : 50;
  return {
    off,
    entries: 200,
    converged: true,
    reported: Object.fromEntries(remedyIds.map((id) => [id, isOn(id) ? "active" : "disabled"])),
    statements: { batched: 3, single: referenceLookups, ofTheKernel: 1 },
    backfillMs: 1_000,
    referenceLookups,
    decision: { action: "retry", delayMs: isOn("backoff") ? 10_000 : 7_000 },
    decidedBy,
    logEntries,
    figures: isOn("metrics")
      ? { referenceLookups, decidedBy: [decidedBy], logEntries, prunes: isOn("ack-pruning") ? 2 : 0 }
      : null,
  };
}

it.each(variants.map((off) => [off]))("finds nothing wrong where nothing is, without %j", (off) => {
  expect(faultsIn({ checks: variantChecks(good(off)) })).toEqual([]);
});

// A remedy that is off but acts all the same, and one that is on and does nothing.
it.each<[string, readonly string[], (facts: VariantFacts) => Partial<VariantFacts>]>([
  ["both hold the same", [], () => ({ converged: false })],
  ["the report says", [], ({ reported }) => ({ reported: { ...reported, metrics: "disabled" } })],
  ["many at a time", [], ({ statements }) => ({ statements: { ...statements, single: 1 } })],
  ["one by one", ["fk-batching"], () => ({ statements: { batched: 3, single: 0, ofTheKernel: 1 } })],
  ["backoff decides", [], () => ({ decision: { action: "retry", delayMs: 7_000 } })],
  ["fixed delay", ["backoff"], () => ({ decision: { action: "retry", delayMs: 10_000 } })],
  ["log is empty", ["metrics"], () => ({ logEntries: 1 })],
  ["log keeps", ["ack-pruning", "metrics"], () => ({ logEntries: 0 })],
  ["figures say the same", [], ({ figures }) => ({ figures: { ...figures!, referenceLookups: 7 } })],
  ["there are no figures", ["metrics"], () => ({ figures: good([]).figures })],
  ["was pruned", [], ({ figures }) => ({ figures: { ...figures!, prunes: 0 } })],
])("notices: %s", (what, off, spoil) => {
  const facts = good(off);
  const faults = faultsIn({ checks: variantChecks({ ...facts, ...spoil(facts) }) });
  expect(faults.join("\n")).toContain(what);
  expect(faults).toHaveLength(1);
});

it("notices when pages do not come sooner with parallel-backfill", () => {
  const off = ["parallel-backfill"];
  const holds = (withIt: number, without: number) =>
    speedCheck([
      { off: [], backfillMs: withIt },
      { off: ["metrics"], backfillMs: 300 },
      { off, backfillMs: without },
    ]).holds;
  expect([holds(300, 600), holds(500, 600), holds(600, 300)]).toEqual([true, false, false]);
});
