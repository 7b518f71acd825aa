import type { Bench } from "../bench.js";
import { type DatasetOptions, LARGE_LIBRARY } from "../library/dataset.js";
import type { IdentityKind } from "../library/identities.js";

export function largeLibrary(bench: Bench, ids: IdentityKind = "time-ordered"): DatasetOptions {
  return { entries: bench.pick({ full: LARGE_LIBRARY, quick: 20_000, tiny: 300 }), ids };
}
