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
  await examination.attempt("The database file", examineStorage);
  await examination.attempt("Capture", examineCapture);
  await examination.attempt("The membership of this device", examineMembership);
  await examination.attempt("What is kept aside", examineParked);
  await examination.attempt("The log", examineLog);
  await examination.attempt("The references between records", examineReferences);
  const { findings, examined } = examination;
  return {
    healthy: findings.every(({ severity }) => severity === "info"),
    findings,
    examined: { ...examined },
    durationMs: clock.monotonicMs() - startedMs,
  };
}
