import type { Diagnosis } from "../kernel/diagnosis.js";
import { examineCapture } from "./capture.js";
import { Examination, type Patient } from "./examination.js";
import { examineLog } from "./log.js";
import { examineMembership } from "./membership.js";
import { examineParked } from "./parked.js";
import { examineReferences } from "./references.js";
import { examineStorage } from "./storage.js";

/** Looks at everything that can be told from this device alone. It changes nothing, and reads in slices. */
export async function examine(patient: Patient): Promise<Diagnosis> {
  const { clock } = patient.library.deps;
  const startedMs = clock.monotonicMs();
  const examination = new Examination(patient);
  await examineStorage(examination);
  await examineCapture(examination);
  await examineMembership(examination);
  await examineParked(examination);
  await examineLog(examination);
  await examineReferences(examination);
  const { findings, examined } = examination;
  return {
    healthy: findings.every(({ severity }) => severity === "info"),
    findings,
    examined: { ...examined },
    durationMs: clock.monotonicMs() - startedMs,
  };
}
