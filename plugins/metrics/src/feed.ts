// Turns what the kernel tells into figures: one line per metric and event. It decides nothing.

import type { BatchCounts, Clock, Events, Hooks } from "@tidemark/plugin-api";
import type { Figures } from "./figures.js";
import type { ProgressLog } from "./progress-log.js";
import { StateTime } from "./state-time.js";
import type { WaitWarning } from "./wait-warning.js";

/** Of the conventional attribute; a kernel has one pool. */
const POOL = { "db.client.connection.pool.name": "tidemark" } as const;

const OUTCOMES = [
  "applied",
  "superseded",
  "parked",
  "quarantined",
  "rejected",
  "deferred",
] as const satisfies readonly (keyof BatchCounts)[];

export interface FeedDeps {
  readonly figures: Figures;
  readonly events: Events;
  readonly hooks: Hooks;
  readonly clock: Clock;
  readonly waitWarning: WaitWarning;
  readonly progressLog: ProgressLog;
}

/** Begins to listen. Returns what must be called before the figures are looked at. */
export function startFeed({ figures, events, hooks, clock, waitWarning, progressLog }: FeedDeps): () => void {
  const kernelTime = new StateTime({
    clock,
    count: (_who, state, seconds) => figures.add("tidemark.kernel.state_time", seconds, { "tidemark.state": state }),
  });
  const peerTime = new StateTime({
    clock,
    count: (peer, state, seconds) =>
      figures.add("tidemark.peer.state_time", seconds, { "tidemark.peer": peer, "tidemark.state": state }),
  });

  feedPool({ figures, events, waitWarning });
  feedBatches({ figures, events, hooks });
  feedLocalChanges({ figures, events });
  feedPeers({ figures, events, peerTime });
  feedRounds({ figures, events });
  feedBackfill({ figures, events, progressLog });
  feedPruning({ figures, events });
  feedPlugins({ figures, events });
  events.on("kernelStateChanged", ({ state }) => kernelTime.enter("kernel", state));
  return () => {
    kernelTime.flush();
    peerTime.flush();
  };
}

type Deps<Name extends keyof FeedDeps = never> = Pick<FeedDeps, "figures" | "events" | Name>;

function feedPool({ figures, events, waitWarning }: Deps<"waitWarning">): void {
  let peak = 0;
  events.on("poolChanged", (pool) => {
    const state = "db.client.connection.state";
    figures.set("db.client.connection.count", pool.active, { ...POOL, [state]: "used" });
    figures.set("db.client.connection.count", pool.idle, { ...POOL, [state]: "idle" });
    figures.set("db.client.connection.max", pool.limit, POOL);
    figures.set("db.client.connection.pending_requests", pool.waiting, POOL);
    figures.set("tidemark.pool.saturation", pool.active / pool.limit, {});
    peak = Math.max(peak, pool.active);
    figures.set("tidemark.pool.peak", peak, {});
    waitWarning.poolChanged(pool);
  });
  events.on("leaseAcquired", ({ kind, waitMs }) =>
    figures.record("db.client.connection.wait_time", waitMs / 1_000, { ...POOL, "tidemark.lease.kind": kind }),
  );
  events.on("leaseReleased", ({ kind, useMs }) =>
    figures.record("db.client.connection.use_time", useMs / 1_000, { ...POOL, "tidemark.lease.kind": kind }),
  );
  events.on("leaseTimedOut", ({ kind }) =>
    figures.add("db.client.connection.timeouts", 1, { ...POOL, "tidemark.lease.kind": kind }),
  );
  events.on("poolPressure", (pressure) => {
    figures.add("tidemark.pool.pressure", 1, { "tidemark.advised": pressure.advisedBy.length > 0 });
    waitWarning.poolPressure(pressure);
  });
}

function feedBatches({ figures, events, hooks }: Deps<"hooks">): void {
  hooks.afterBatch.tap(({ phase, models, durationMs, referenceLookups }) => {
    for (const [model, counts] of Object.entries(models)) {
      for (const outcome of OUTCOMES) {
        if (counts[outcome] === 0) continue;
        const attributes = { "tidemark.model": model, "tidemark.outcome": outcome };
        figures.add("tidemark.batch.records", counts[outcome], attributes);
      }
      if (counts.conflicts > 0) figures.add("tidemark.batch.conflicts", counts.conflicts, { "tidemark.model": model });
    }
    figures.record("tidemark.batch.duration", durationMs / 1_000, { "tidemark.phase": phase });
    figures.add("tidemark.batch.reference_lookups", referenceLookups, {});
  });
  events.on("recordHealed", ({ model }) => figures.add("tidemark.record.healed", 1, { "tidemark.model": model }));
}

function feedLocalChanges({ figures, events }: Deps): void {
  events.on("modelsRegistered", ({ models }) => figures.set("tidemark.models", models.length, {}));
  events.on("captureGap", ({ model }) => figures.add("tidemark.capture.gaps", 1, { "tidemark.model": model }));
  events.on("changesFolded", ({ entries, stamps, durationMs }) => {
    figures.add("tidemark.fold.entries", entries, {});
    figures.add("tidemark.fold.stamps", stamps, {});
    figures.record("tidemark.fold.duration", durationMs / 1_000, {});
  });
  events.on("changeRefused", ({ model }) => figures.add("tidemark.change.refused", 1, { "tidemark.model": model }));
  events.on("journalEntryAdded", ({ kind }) =>
    figures.add("tidemark.journal.entries", 1, { "tidemark.journal.kind": kind }),
  );
}

function feedPeers({ figures, events, peerTime }: Deps & { readonly peerTime: StateTime }): void {
  events.on("peerConnected", ({ peer, clockDriftMs }) => {
    figures.add("tidemark.peer.connections", 1, { "tidemark.peer": peer });
    figures.set("tidemark.clock.drift", clockDriftMs / 1_000, { "tidemark.peer": peer });
  });
  events.on("peerDisconnected", ({ peer }) =>
    figures.add("tidemark.peer.disconnections", 1, { "tidemark.peer": peer }),
  );
  events.on("peerRefused", ({ code }) => figures.add("tidemark.peer.refusals", 1, { "tidemark.code": code }));
  events.on("peerStateChanged", ({ peer, state }) => peerTime.enter(peer, state));
  events.on("memberJoined", () => figures.add("tidemark.member.joined", 1, {}));
  events.on("memberRemoved", ({ kind }) =>
    figures.add("tidemark.member.removed", 1, { "tidemark.removal.kind": kind }),
  );
  events.on("removalSettled", () => figures.add("tidemark.member.settled", 1, {}));
  events.on("memberReturned", () => figures.add("tidemark.member.returns", 1, {}));
  events.on("unsentReissued", ({ issued }) => figures.add("tidemark.member.reissued", issued, {}));
  events.on("clockDrift", ({ peer, driftMs }) => {
    figures.set("tidemark.clock.drift", driftMs / 1_000, { "tidemark.peer": peer });
    figures.add("tidemark.clock.refusals", 1, { "tidemark.peer": peer });
  });
}

function feedRounds({ figures, events }: Deps): void {
  events.on("roundCompleted", ({ peer, phase, records, durationMs }) => {
    figures.add("tidemark.round.records", records, { "tidemark.peer": peer, "tidemark.phase": phase });
    figures.record("tidemark.round.duration", durationMs / 1_000, { "tidemark.phase": phase });
  });
  events.on("catchUpFailed", ({ phase, code }) =>
    figures.add("tidemark.catch_up.failures", 1, { "tidemark.code": code, "tidemark.phase": phase }),
  );
  events.on("catchUpDecided", ({ decision, decidedBy }) =>
    figures.add("tidemark.catch_up.decisions", 1, { "tidemark.action": decision.action, "tidemark.plugin": decidedBy }),
  );
  events.on("pageServed", ({ phase, records, bytes }) => {
    figures.add("tidemark.page.records", records, { "tidemark.phase": phase });
    figures.record("tidemark.page.size", bytes, { "tidemark.phase": phase });
  });
}

function feedBackfill({ figures, events, progressLog }: Deps<"progressLog">): void {
  events.on("backfillStarted", (started) => {
    figures.add("tidemark.backfill.starts", 1, { "tidemark.resumed": started.resumed });
    progressLog.started(started);
  });
  events.on("backfillProgress", (progressed) => {
    const { done, total, ratePerSecond, leftMs } = progressLog.progressed(progressed);
    figures.set("tidemark.backfill.done", done, {});
    figures.set("tidemark.backfill.total", total, {});
    if (ratePerSecond !== null) figures.set("tidemark.backfill.rate", ratePerSecond, {});
    if (leftMs !== null) figures.set("tidemark.backfill.time_left", leftMs / 1_000, {});
  });
  events.on("backfillCompleted", (completed) => {
    progressLog.completed();
    figures.record("tidemark.backfill.duration", completed.durationMs / 1_000, {});
  });
}

function feedPruning({ figures, events }: Deps): void {
  events.on("vectorAcknowledged", ({ peer }) =>
    figures.add("tidemark.acknowledgement.received", 1, { "tidemark.peer": peer }),
  );
  events.on("logPruned", ({ stamps, hiddenRecords }) => {
    figures.add("tidemark.log.prunes", 1, {});
    figures.add("tidemark.log.pruned", stamps, { "tidemark.pruned.kind": "stamp" });
    figures.add("tidemark.log.pruned", hiddenRecords, { "tidemark.pruned.kind": "hidden-record" });
  });
}

function feedPlugins({ figures, events }: Deps): void {
  events.on("hookCompleted", ({ pluginId, hook, durationMs, outcome }) =>
    figures.record("tidemark.hook.duration", durationMs / 1_000, {
      "tidemark.plugin": pluginId,
      "tidemark.hook": hook,
      "tidemark.outcome": outcome,
    }),
  );
  events.on("hookHandlerQuarantined", ({ pluginId, hook }) =>
    figures.add("tidemark.hook.quarantines", 1, { "tidemark.plugin": pluginId, "tidemark.hook": hook }),
  );
  events.on("pluginStateChanged", ({ pluginId, state }) =>
    figures.add("tidemark.plugin.state_changes", 1, { "tidemark.plugin": pluginId, "tidemark.state": state }),
  );
}
