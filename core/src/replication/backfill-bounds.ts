import { compareIdentities, isIdentity } from "../registry/identity-form.js";
import { DERIVED_IDENTITY_SEPARATOR, type SyncModel } from "../registry/model.js";
import { targetsOf } from "../storage/row-writer.js";
import { holds, type Stretch } from "./backfill-ranges.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";

/**
 * Where a range can be divided, so that its parts can be fetched side by side. Bounds are hints: any text in between would
 * be right. The serving side walks along the index in short steps, on a connection that reads; the asking side trusts the
 * order of what it is told no more than anything else.
 */
export interface Survey {
  readonly stretch: Stretch;
  /** A bound at every so many records. */
  readonly every: number;
  /** Bounds at most. */
  readonly limit: number;
}

/** Records that are walked over in one turn. */
const WALK = 20_000;

/** The bounds; fewer than there are if `stopped` says so meanwhile. */
export async function findBounds(
  library: LocalLibrary,
  name: string,
  { stretch, every, limit }: Survey,
  stopped: () => boolean,
): Promise<readonly string[]> {
  const { registry, reader, pool, clock } = library.deps;
  const model = registry.byName.get(name);
  const bounds: string[] = [];
  if (model === undefined) return bounds;
  const steps = Math.max(1, Math.floor(WALK / every));
  for (let more = true; more && bounds.length < limit && !stopped(); ) {
    more = await pool.withReader(`bounds of ${name}`, (db) => {
      for (let step = 0; step < steps && bounds.length < limit; step++) {
        const after = bounds.at(-1) ?? stretch[0];
        const bound = reader.identityAt(db, model, { after, upTo: stretch[1], nth: every });
        if (bound === null || !isBound(model, bound) || !holds([after, stretch[1]], bound)) return false;
        bounds.push(bound);
      }
      return true;
    });
    await new Promise<void>((resolve) => clock.setImmediate(resolve));
  }
  return bounds;
}

/** Throws `TIDEMARK_WIRE_MALFORMED` for bounds that are no answer to the survey. */
export function checkBounds(model: SyncModel, { stretch, limit }: Survey, bounds: readonly string[]): void {
  const ascends = bounds.every(
    (bound, index) =>
      isBound(model, bound) &&
      holds(stretch, bound) &&
      (index === 0 || compareIdentities(bounds[index - 1]!, bound) < 0),
  );
  if (!ascends || bounds.length > limit) {
    throw replicationErrors.malformed({ reason: "the bounds of ranges are not what was asked for" });
  }
}

/** Whether a range can end here: what names a record of the model, or has the form of it. */
function isBound(model: SyncModel, bound: string): boolean {
  if (model.identity.kind === "column") return isIdentity(bound);
  return targetsOf(model.identity.columns, bound) !== null && bound.split(DERIVED_IDENTITY_SEPARATOR).every(isIdentity);
}
