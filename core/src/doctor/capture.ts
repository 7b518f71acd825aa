import { applicationTriggers, triggerDifference } from "../storage/capture.js";
import { planCapture } from "../storage/capture-plan.js";
import { readCaptureTriggers } from "../storage/capture-store.js";
import { captureTriggers } from "../storage/capture-triggers.js";
import type { Examination } from "./examination.js";

const AFTERWARDS =
  "the table is compared with a peer, and what went unseen is issued; verify() tells whether anything is left";

/** Whether the triggers that capture local changes are those that the registered models need. */
export async function examineCapture(examination: Examination): Promise<void> {
  const { registry } = examination.patient.library.deps;
  await examination.read("capture", async (db) => {
    if (db.prepare("SELECT EXISTS (SELECT 1 FROM tidemark_applying)").pluck().get() === 1) {
      examination.find({
        severity: "error",
        code: "capture-gap",
        what: "No change is captured at all",
        why: "somebody has left a row in tidemark_applying, which turns all triggers off",
        advice: `Restart the application, which removes it; then ${AFTERWARDS}`,
      });
    }
    const found = readCaptureTriggers(db);
    const plans = registry.models.map((model) => ({ model, plan: planCapture(model, registry) }));
    for (const { model, plan } of plans) {
      const difference = triggerDifference(found.get(model.number) ?? [], captureTriggers(plan));
      if (difference === null) continue;
      examination.find({
        severity: "error",
        code: "capture-gap",
        model: model.name,
        what: `Changes of "${model.table}" are not captured as they should be`,
        why: difference,
        advice: `Restart the application, which puts the triggers back; then ${AFTERWARDS}`,
      });
    }
    for (const { trigger, table, writes } of applicationTriggers(
      db,
      plans.map(({ plan }) => plan),
    )) {
      examination.find({
        severity: "warning",
        code: "application-trigger",
        what: `The trigger "${trigger}" of "${table}" writes ${writes.map((name) => `"${name}"`).join(", ")} also when changes of peers are applied`,
        why: "then its effect happens on every device by itself, and none of them tells the others",
        advice: "Add NOT EXISTS (SELECT 1 FROM tidemark_applying) to its WHEN clause",
        examples: [trigger],
      });
    }
  });
}
