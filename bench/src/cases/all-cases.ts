import type { BenchCase } from "../case.js";
import { appDuringSync } from "./app-during-sync.js";
import { backfill } from "./backfill.js";
import { backfillRandomIds } from "./backfill-random-ids.js";
import { disk } from "./disk.js";
import { lookups } from "./lookups.js";
import { memory } from "./memory.js";
import { responsiveness } from "./responsiveness.js";
import { wire } from "./wire.js";

/** Every row of the table, in the order in which they are measured and shown. */
export const allCases: readonly BenchCase[] = [
  backfill,
  backfillRandomIds,
  lookups,
  responsiveness,
  appDuringSync,
  memory,
  disk,
  wire,
];
