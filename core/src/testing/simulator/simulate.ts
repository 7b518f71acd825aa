// One run from one seed: a library is made, things happen to it, then all faults end and it has to recover. Nothing but
// the seed, the profile and the number of steps decides what happens.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Chance } from "./chance.js";
import { calmDown } from "./final-checks.js";
import { checkHoles } from "./holes.js";
import type { ProfileName } from "./profiles.js";
import { takeStep } from "./steps.js";
import { Violation } from "./trace.js";
import { World } from "./world.js";

/** Which run it is to be. */
export interface SimulationOptions {
  readonly seed: number;
  readonly profile: ProfileName;
  /** Only the first so many steps of the first phase. Default: as many as the seed draws. */
  readonly steps?: number;
}

/** How a run went. */
export interface SimulationResult {
  readonly seed: number;
  readonly profile: ProfileName;
  /** Steps of the first phase that were taken. */
  readonly steps: number;
  /** What was violated, and how; null for a run in which everything was as it must be. */
  readonly violation: { readonly invariant: string; readonly message: string } | null;
  /** What happened, line by line. */
  readonly trace: readonly string[];
  /** The same without what kernels and the network say: what was done, and what came of it. */
  readonly story: readonly string[];
  /** The same for the same run. Covers the trace and every byte that crossed the network. */
  readonly traceHash: string;
  /** How much virtual time has passed, in milliseconds. */
  readonly virtualMs: number;
  /** Changes that were stamped. */
  readonly writes: number;
  /** Where processes were ended, and how often. */
  readonly crashes: ReadonlyMap<string, number>;
}

const FEWEST_STEPS = 20;
const MOST_STEPS = 100;
/** What takes a look at everything is not done at every step. */
const STEPS_BETWEEN_CHECKS = 10;

/**
 * Runs the real kernel on a library of several devices, with the faults of a profile, and checks the invariants of the
 * protocol. Never rejects because of a violation; that is what it returns.
 */
export async function simulate({ seed, profile, steps }: SimulationOptions): Promise<SimulationResult> {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-simulation-"));
  const world = new World({ seed, profile, directory });
  const drawn = Chance.of(seed, "length").between(FEWEST_STEPS, MOST_STEPS);
  const planned = Math.min(steps ?? drawn, drawn);
  let taken = 0;
  let violation: Violation | null = null;
  try {
    await gather(world);
    for (; taken < planned; taken++) {
      await takeStep(world);
      if (taken % STEPS_BETWEEN_CHECKS === 0) checkHoles(world);
    }
    checkHoles(world);
    await calmDown(world);
  } catch (error) {
    violation = error instanceof Violation ? error : new Violation("the run comes to an end", stackOf(error));
  } finally {
    await world.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
  return {
    seed,
    profile,
    steps: taken,
    violation: violation && { invariant: violation.invariant, message: violation.message },
    trace: world.trace.lines,
    story: world.trace.story,
    traceHash: world.trace.hash,
    virtualMs: world.timeline.elapsedMs,
    writes: world.ledger.size,
    crashes: world.crashes,
  };
}

/** The founder works alone for a while; the others come, most of them at once. */
async function gather(world: World): Promise<void> {
  const [founder, ...others] = world.devices;
  await world.start(founder!);
  founder!.begin(async () => {
    for (const { sql, parameters } of world.work.foundation()) await founder!.execute(sql, parameters);
  });
  for (let count = 0; count < 6; count++) {
    world.act(founder!);
    await world.wait(1);
  }
  for (const device of others) {
    if (world.chance.happens(0.2)) continue;
    await world.start(device);
    if (world.chance.happens(0.5)) await world.wait(2_000);
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * The shortest beginning of a failed run that still violates the same invariant, found by halving; the run itself, if no
 * shorter one does.
 */
export async function shortestFailure(failed: SimulationResult): Promise<SimulationResult> {
  let shortest = failed;
  for (let least = 0; least < shortest.steps; ) {
    const steps = Math.floor((least + shortest.steps) / 2);
    const result = await simulate({ seed: failed.seed, profile: failed.profile, steps });
    if (result.violation?.invariant === failed.violation?.invariant) shortest = result;
    else least = steps + 1;
  }
  return shortest;
}
