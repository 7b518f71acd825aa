import type { LogMaintenance, PruneResult, StablePoint } from "@tidemark/plugin-api";
import { physicalMs } from "../clock/hybrid-logical-clock.js";
import { readState } from "../storage/log-transaction.js";
import { SlicePacer } from "../storage/slice-pacer.js";
import { syncTableBytes } from "../storage/sync-bytes.js";
import { countFinal, countStable, raiseFloor, sweepLog } from "./forget.js";
import type { LocalLibrary } from "./local-library.js";
import type { Replicator } from "./replicator.js";
import { stableTime } from "./stable-point.js";

/** COMMIT included, which writes the pages that a slice has touched, and takes now less and now more. */
const SWEEP_MS = 3;
const FIRST_SWEEP_ROWS = 500;
/** A few quick slices at the beginning, when pages are at hand, say too much of what fits later. */
const MOST_SWEEP_ROWS = 2_000;
/** Pages given back to the file system in one step; more holds the loop for too long. */
const COMPACT_PAGES = 100;

/** Acknowledging and forgetting, as the kernel offers them to plugins. */
export function logMaintenanceOf(library: LocalLibrary, replicator: Replicator): LogMaintenance {
  const { deps } = library;
  const { connection, members } = deps;
  const pacer = new SlicePacer({ targetMs: SWEEP_MS, initial: FIRST_SWEEP_ROWS });
  pacer.advise({ maxRecords: MOST_SWEEP_ROWS });
  /** Where an unfinished sweep goes on, and up to which floor it sweeps; null position: it is finished. */
  let sweeping: { readonly floor: number; readonly after: number | null } = { floor: -1, after: null };
  // A backfill may have brought stamps from below the floor, behind the place that was swept to.
  deps.events.on("backfillCompleted", () => {
    sweeping = { floor: -1, after: null };
  });

  const point = (): StablePoint => {
    const { hlc, heldBackBy } = stableTime(connection, members);
    return {
      hlc,
      atMs: physicalMs(hlc),
      heldBackBy: heldBackBy.map(({ member, entry }) => ({
        member: member.origin,
        deviceId: member.deviceId,
        name: member.name,
        acknowledgedUpToMs: entry === null ? null : physicalMs(entry),
      })),
    };
  };

  return {
    maxOfflineMs: deps.settings.membership.maxOfflineMs,
    async acknowledge() {
      replicator.acknowledge();
    },
    async stablePoint() {
      return point();
    },
    async prune({ upToHlc = Number.MAX_SAFE_INTEGER, maxSlices = Number.MAX_SAFE_INTEGER } = {}) {
      let stable = point();
      let hiddenRecords = 0;
      // At rest, where heartbeats are all that is heard, not even an empty transaction.
      if (Math.min(stable.hlc, upToHlc) > readState(connection).floor) {
        const raised = await library.write("raise the floor", (tx) => {
          stable = point();
          return raiseFloor(tx, Math.min(stable.hlc, upToHlc), deps);
        });
        hiddenRecords = raised.hiddenRecords;
      }
      let stamps = 0;
      await deps.checkpointer.during(async () => {
        for (let slice = 0; slice < maxSlices; slice++) {
          const { floor } = readState(connection);
          if (sweeping.after === null) {
            if (sweeping.floor === floor) break;
            sweeping = { floor, after: 0 };
          }
          const { floor: target, after } = sweeping as { readonly floor: number; readonly after: number };
          await deps.checkpointer.room({ alone: true });
          const records = pacer.size;
          let heldMs = 0;
          const took = (durationMs: number) => {
            heldMs = durationMs;
          };
          const sweep = await library.write("prune", (tx) => sweepLog(tx, after, records), { took });
          // A last slice says nothing of how many rows it has looked at.
          if (sweep.next !== null) pacer.record({ records, durationMs: heldMs });
          stamps += sweep.removed;
          sweeping = { floor: target, after: sweep.next };
        }
      });
      const more = sweeping.after !== null || sweeping.floor !== readState(connection).floor;
      if (stamps > 0 || hiddenRecords > 0) {
        deps.events.emit("logPruned", { stamps, hiddenRecords, upToMs: physicalMs(readState(connection).floor) });
      }
      return { stamps, hiddenRecords, more, point: stable } satisfies PruneResult;
    },
    async dryRun({ upToHlc = Number.MAX_SAFE_INTEGER } = {}) {
      await library.fold();
      const stable = point();
      const to = Math.min(stable.hlc, upToHlc);
      return {
        stamps: countStable(connection, to),
        hiddenRecords: countFinal(connection, to, deps),
        more: false,
        point: stable,
      };
    },
    async compact() {
      let freed = 0;
      for (;;) {
        const pages = await deps.writer.run({
          name: "compact",
          body: (db) => {
            // 2 is INCREMENTAL; anything else is the application's choice, and is left alone.
            if (db.pragma("auto_vacuum", { simple: true }) !== 2) return 0;
            const before = db.pragma("freelist_count", { simple: true }) as number;
            db.exec(`PRAGMA incremental_vacuum(${COMPACT_PAGES})`);
            return before - (db.pragma("freelist_count", { simple: true }) as number);
          },
        });
        freed += pages;
        if (pages < COMPACT_PAGES) return freed;
      }
    },
    async size() {
      const bytes = await deps.pool.withReader("size of the log", (db) => syncTableBytes(db));
      const logEntries = connection.prepare("SELECT count(*) FROM tidemark_stamp").pluck().get() as number;
      return { logEntries, bytes };
    },
  };
}
