import type { ParkedKind } from "@tidemark/plugin-api";
import { physicalMs } from "../clock/hybrid-logical-clock.js";
import type { FindingCode, Severity } from "../kernel/diagnosis.js";
import { nextDue } from "../storage/deferred.js";
import { modelName } from "../storage/names.js";
import { counted, type Examination, lasting } from "./examination.js";

/** Records that are not in their table: how many, why, and for how long; and those whose values or time is waited for. */
const DAY_MS = 24 * 3_600_000;

interface Group {
  readonly model: number;
  readonly kind: ParkedKind;
  readonly n: number;
  readonly since: number;
}

/** What is said of a kind. `null`: nothing; dead records keep edits that did not know of the delete, as they should. */
const KINDS: Readonly<
  Record<
    ParkedKind,
    {
      readonly code: FindingCode;
      readonly severity: (ageMs: number) => Severity;
      /** Of one record, and of several. */
      readonly what: readonly [string, string];
      readonly why: string;
      readonly advice: string;
    } | null
  >
> = {
  hidden: {
    code: "hidden-records",
    severity: (ageMs) => (ageMs > DAY_MS ? "warning" : "info"),
    what: [
      "waits outside of its table for a record that it refers to",
      "wait outside of their table for a record that they refer to",
    ],
    why: "the record that they require has been deleted, or has not arrived",
    advice:
      "Connect the device that has it. If nobody has it, they go by themselves once all members have acknowledged; or create it again",
  },
  quarantined: {
    code: "quarantined-records",
    severity: () => "warning",
    what: ["is refused by this device's schema, or by a plugin", "are refused by this device's schema, or by a plugin"],
    why: "mostly because another record has the same unique value",
    advice:
      "Change or delete one of the two records that want the same value; a record is tried again when something in its model changes, and at every start",
  },
  deferred: {
    code: "deferred-records",
    severity: (ageMs) => (ageMs > DAY_MS ? "warning" : "info"),
    what: [
      "is kept back by a plugin, which asked for a later try",
      "are kept back by a plugin, which asked for a later try",
    ],
    why: "a handler of beforeApplyBatch has deferred them",
    advice: "Find out from the plugin what it waits for; without it they enter their table at the next start",
  },
  foreign: {
    code: "foreign-records",
    severity: () => "info",
    what: [
      "is of a model that this version of the application does not have",
      "are of a model that this version of the application does not have",
    ],
    why: "another device runs a newer version, or this one no longer registers the model",
    advice: "Update the application; until then they are kept and passed on",
  },
  dead: null,
};

export async function examineParked(examination: Examination): Promise<void> {
  const { clock, registry } = examination.patient.library.deps;
  await examination.read("parked records", async (db) => {
    const groups = db
      .prepare("SELECT model, kind, count(*) AS n, min(since) AS since FROM tidemark_parked GROUP BY model, kind")
      .all() as Group[];
    const sample = db.prepare("SELECT record, reason FROM tidemark_parked WHERE model = ? AND kind = ? LIMIT 5");
    for (const { model, kind, n, since } of groups) {
      examination.examined.parkedRecords += n;
      const about = KINDS[kind];
      if (about === undefined) throw new Error(`parked as "${kind}"`);
      if (about === null) continue;
      const ageMs = Math.max(0, clock.now() - since);
      const name = registry.byNumber.get(model)?.name ?? modelName(db, model) ?? `model ${model}`;
      const found = sample.all(model, kind) as { readonly record: string; readonly reason: string }[];
      const reasons = [...new Set(found.map(({ reason }) => reason))];
      examination.find({
        severity: about.severity(ageMs),
        code: about.code,
        model: name,
        what: `${counted(n, "record")} of "${name}" ${about.what[n === 1 ? 0 : 1]}, ${n === 1 ? "" : "the oldest "}for ${lasting(ageMs)}`,
        why: `${about.why}: ${reasons.slice(0, 3).join("; ")}`,
        advice: about.advice,
        count: n,
        examples: found.map(({ record }) => record),
      });
    }

    const damaged = db.prepare("SELECT model, record FROM tidemark_restore").all() as {
      readonly model: number;
      readonly record: string;
    }[];
    if (damaged.length > 0) {
      examination.find({
        severity: "warning",
        code: "records-to-restore",
        what: `${counted(damaged.length, "record")} of other devices ${damaged.length === 1 ? "has" : "have"} been changed here, and ${damaged.length === 1 ? "waits" : "wait"} to be fetched again`,
        why: "only the device that owns a record may change it; until it is restored, this device tells nobody its state",
        advice: "Connect a device that has these records; the journal says what was changed (kind refused-change)",
        count: damaged.length,
        examples: damaged.map(({ record }) => record),
      });
    }

    const due = nextDue(db);
    if (due !== null) {
      const count = db.prepare("SELECT count(*) FROM tidemark_deferred").pluck().get() as number;
      examination.find({
        severity: "warning",
        code: "changes-from-the-future",
        what: `${count === 1 ? "1 change is" : `${count} changes are`} stamped in the future, the first by ${lasting(physicalMs(due) - clock.now())}, and kept until ${count === 1 ? "its" : "their"} time has come`,
        why: "the clock of the device that made them was ahead",
        advice: "Set the clocks of all devices; nothing is lost meanwhile, but no device can join through this one",
        count,
      });
    }
  });
}
