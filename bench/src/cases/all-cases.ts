import type { BenchCase } from "../case.js";
import { appDuringSync } from "./app-during-sync.js";
import { backfill } from "./backfill.js";
import { backfillMillion } from "./backfill-1m.js";
import { backfillRandomIds } from "./backfill-random-ids.js";
import { capture } from "./capture.js";
import { catchUp } from "./catch-up.js";
import { disk } from "./disk.js";
import { fanOut } from "./fan-out.js";
import { idle } from "./idle.js";
import { live } from "./live.js";
import { liveBurst } from "./live-burst.js";
import { lookups } from "./lookups.js";
import { memory } from "./memory.js";
import { merge } from "./merge.js";
import { orm } from "./orm.js";
import { parallelBackfill } from "./parallel-backfill.js";
import { prune } from "./prune.js";
import { responsiveness } from "./responsiveness.js";
import { start } from "./start.js";
import { wire } from "./wire.js";

/** Every row of the table, in the order in which they are measured and shown. */
export const allCases: readonly BenchCase[] = [
  backfill,
  backfillRandomIds,
  backfillMillion,
  parallelBackfill,
  lookups,
  orm,
  live,
  liveBurst,
  catchUp,
  capture,
  merge,
  responsiveness,
  appDuringSync,
  memory,
  disk,
  wire,
  fanOut,
  idle,
  start,
  prune,
];
