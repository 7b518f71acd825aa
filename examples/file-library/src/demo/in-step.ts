import type { Clock } from "@tidemark/plugin-api";
import { fileLibraryErrors } from "../errors.js";
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
      const [left, right] = await Promise.all([devices[0].compare(), devices[1].compare()]);
      if (sameDigests(left, right)) return;
      const after = clock.monotonicMs();
      nextComparison = after + 4 * (after - now);
    }
    if (now - lastMoved > stallMs)
      throw fileLibraryErrors.notInStep({ waitedMs: now - lastMoved, state: describe(a, b) });
    await nextLook();
  }
}

export function sameDigests(a: Comparison, b: Comparison): boolean {
  const names = new Set([...Object.keys(a.models), ...Object.keys(b.models)]);
  return [...names].every((name) => {
    const left = a.models[name];
    const right = b.models[name];
    return (
      left !== undefined &&
      right !== undefined &&
      left.digest !== "" &&
      left.rows === right.rows &&
      left.digest === right.digest &&
      left.independentDigest === right.independentDigest
    );
  });
}

function sameRows(a: DeviceStatus, b: DeviceStatus): boolean {
  return Object.entries(a.rows).every(([table, rows]) => b.rows[table] === rows);
}

function describe(a: DeviceStatus, b: DeviceStatus): string {
  const differing = Object.keys(a.rows).filter((table) => a.rows[table] !== b.rows[table]);
  const tables = differing.map((table) => `${table}: ${a.rows[table]} and ${b.rows[table]} rows`);
  const side = (name: string, { outbox, backfilling, readyPeers }: DeviceStatus) =>
    `${name}: ${outbox} unstamped changes, ${readyPeers} peers in step${backfilling ? ", backfilling" : ""}`;
  return [side("A", a), side("B", b), tables.length > 0 ? tables.join(", ") : "the same number of rows"].join("; ");
}
