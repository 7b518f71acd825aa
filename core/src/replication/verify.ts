import type { ModelVerification, Repair, Verification, VerifyOptions } from "../kernel/verification.js";
import type { SyncModel } from "../registry/model.js";
import type { Member } from "../storage/members.js";
import { type ComparedPeer, Comparison } from "./comparison.js";
import { replicationErrors } from "./errors.js";
import { giveMine } from "./give-mine.js";
import type { LocalLibrary } from "./local-library.js";
import { takeRecords } from "./restore.js";

/** Compares this device with one peer, repairs what was named if that is wanted, and says what it all means. */
const DEFAULT_DIFFERENCES = 100;
const MOST_DIFFERENCES = 10_000;

export async function verifyWith(
  library: LocalLibrary,
  peer: ComparedPeer,
  member: Member,
  { models: wanted, maxDifferences = DEFAULT_DIFFERENCES, repair: how }: VerifyOptions,
): Promise<Verification> {
  const { registry, clock } = library.deps;
  const startedMs = clock.monotonicMs();
  const levels = registry.levels.flat();
  const known = [...registry.byName.keys()];
  for (const name of wanted ?? []) {
    if (!registry.byName.has(name)) throw replicationErrors.unknownModel({ model: name, known });
  }
  const models = wanted === undefined ? levels : levels.filter(({ name }) => wanted.includes(name));
  const limit = Math.min(MOST_DIFFERENCES, Math.max(1, Math.trunc(maxDifferences) || DEFAULT_DIFFERENCES));
  const found = await new Comparison(library, peer, limit).compare(models);
  const repair = how === undefined ? null : await repairAll(library, peer, models, found, how === "give-mine");
  const outcome = found.some((model) => model.outcome === "different")
    ? "different"
    : found.some((model) => model.outcome === "not-comparable")
      ? "not-comparable"
      : "equal";
  return {
    peer: member.origin,
    deviceId: member.deviceId,
    outcome,
    models: found,
    repair,
    durationMs: clock.monotonicMs() - startedMs,
    advice: adviceOn(outcome, found, repair),
  };
}

/** In the order of the levels, so that what is referred to comes first. */
async function repairAll(
  library: LocalLibrary,
  { peer, fetch, nudge }: ComparedPeer,
  models: readonly SyncModel[],
  found: readonly ModelVerification[],
  givesMine: boolean,
): Promise<Repair> {
  let given = 0;
  let taken = 0;
  let removed = 0;
  let named = 0;
  for (const [index, model] of models.entries()) {
    const differing = found[index]!.differences.map(({ record }) => record);
    named += differing.length;
    const mine = givesMine ? await giveMine(library, model, found[index]!.differences) : new Set<string>();
    given += mine.size;
    const records = differing.filter((record) => !mine.has(record));
    await takeRecords({
      library,
      peer,
      fetch,
      model,
      records,
      settle: (_, { told, gone }) => {
        taken += told.length;
        removed += gone.length;
      },
    });
  }
  if (given > 0) nudge();
  return { given, taken, removed, left: named - given - taken - removed };
}

function adviceOn(
  outcome: Verification["outcome"],
  models: readonly ModelVerification[],
  repair: Repair | null,
): string {
  if (outcome === "equal") return "Nothing needs to be done.";
  if (outcome === "not-comparable") {
    return models.some(({ notComparable }) => notComparable === "busy")
      ? "Call verify() again when both devices are at rest: nothing is written, and neither of them is catching up."
      : "Bring both devices to the same version of the application, then call verify() again.";
  }
  if (repair !== null) {
    const again = repair.left > 0 || models.some(({ more }) => more) ? "" : " to see that nothing is left";
    const rest =
      repair.left > 0
        ? " What was left is newer here than there, or parked: call verify() with the same repair on the peer, or write it anew on the device that is right."
        : "";
    return `Call verify() again${again}.${rest}`;
  }
  const parked = models.some(({ differences }) =>
    differences.some(({ parkedHere, parkedThere }) => parkedHere !== null || parkedThere !== null),
  );
  return [
    ...(parked ? ["Records that are parked on one side differ for that reason: see doctor() there."] : []),
    'For the others decide which device is right: on the other one call verify() with { repair: "take-theirs" }, which fetches what differs. Where both are right in part, write the record anew where it is right. Or call it here with { repair: "give-mine" }, which issues the rows of this device.',
  ].join(" ");
}
