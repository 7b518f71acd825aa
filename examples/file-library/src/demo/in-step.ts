import type { Clock } from "@tidemark/plugin-api";
import { fileLibraryErrors } from "../errors.js";
import { differencesBetween } from "./differences.js";
import type { Comparison, DeviceStatus } from "./messages.js";

/**
 * Waits until two devices are in step: both idle, and equal by their digests. Gives up when nothing has moved for long,
 * not when it merely takes long.
 */
export interface Comparable {
  status(): Promise<DeviceStatus>;
  compare(): Promise<Comparison>;
}

export interface InStepOptions {
  readonly devices: readonly [Comparable, Comparable];
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Resolves when a device has said something, or after a short while. */
  readonly nextLook: () => Promise<void>;
  /** How long nothing may move. */
  readonly stallMs: number;
}

/** @throws FILE_LIBRARY_NOT_IN_STEP */
export async function untilInStep({ devices, clock, nextLook, stallMs }: InStepOptions): Promise<void> {
  let lastSeen = "";
  let lastMoved = clock.monotonicMs();
  let nextComparison = lastMoved;
  for (;;) {
    const [a, b] = await Promise.all([devices[0].status(), devices[1].status()]);
    // Without the size of the tables, which may breathe while nothing moves.
    const seen = JSON.stringify([
      { ...a, syncTableBytes: 0 },
      { ...b, syncTableBytes: 0 },
    ]);
    const now = clock.monotonicMs();
    if (seen !== lastSeen) {
      lastSeen = seen;
      lastMoved = now;
    }
    // Digests read everything, so they are asked for only when they can be equal, and not all the time.
    if (a.idle && b.idle && sameRows(a, b) && now >= nextComparison) {
      if ((await differences(devices)).length === 0) return;
      const after = clock.monotonicMs();
      nextComparison = after + 4 * (after - now);
    }
    if (now - lastMoved > stallMs) {
      const differing = await differences(devices);
      // They may have become equal since the last comparison, where one takes long.
      if (a.idle && b.idle && differing.length === 0) return;
      throw fileLibraryErrors.notInStep({ waitedMs: now - lastMoved, state: describe(a, b, differing) });
    }
    await nextLook();
  }
}

async function differences([a, b]: InStepOptions["devices"]): Promise<readonly string[]> {
  const [left, right] = await Promise.all([a.compare(), b.compare()]);
  return differencesBetween(left, right);
}

function sameRows(a: DeviceStatus, b: DeviceStatus): boolean {
  return Object.entries(a.rows).every(([table, rows]) => b.rows[table] === rows);
}

/** Everything that may say why: what each device still has to do, what it has put aside, and what differs. */
function describe(a: DeviceStatus, b: DeviceStatus, differing: readonly string[]): string {
  const side = (name: string, { outbox, backfilling, readyPeers, parked }: DeviceStatus) => {
    const aside = Object.entries(parked).flatMap(([kind, count]) => (count > 0 ? [`${count} ${kind}`] : []));
    const parts = [`${outbox} unstamped changes`, `${readyPeers} peers in step`, ...aside];
    return `${name}: ${[...parts, ...(backfilling ? ["backfilling"] : [])].join(", ")}`;
  };
  const records = differing.length > 0 ? `these differ: ${differing.join(", ")}` : "the records are the same";
  return [side("A", a), side("B", b), records].join("; ");
}
