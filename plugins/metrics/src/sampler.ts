// Reads, from time to time, what no event carries: peers, parked records, the log, who keeps it from being pruned, and the
// event loop. Each time it judges health and adds to the history. Only while the kernel runs.

import type { Clock, Events, Logger, LogMaintenance, SyncFigures } from "@tidemark/plugin-api";
import type { EventLoopMonitor } from "./event-loop-delay.js";
import type { Figures } from "./figures.js";
import { type Health, type HealthStatus, judge, type Measured } from "./health.js";
import { type HistorySample, Ring } from "./history.js";
import type { ResolvedMetricsSettings } from "./settings.js";
import type { WaitWarning } from "./wait-warning.js";

export interface SamplerDeps {
  readonly figures: Figures;
  readonly settings: ResolvedMetricsSettings;
  readonly syncFigures: SyncFigures;
  readonly logMaintenance: LogMaintenance;
  readonly events: Events;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly waitWarning: WaitWarning;
  readonly eventLoop: EventLoopMonitor;
  readonly flush: () => void;
}

const LEVELS: Readonly<Record<HealthStatus, number>> = { ok: 0, degraded: 1, failing: 2 };
const NOTHING: Measured = { value: 0 };
/** Kinds that are expected to leave again; the others may stay for good. */
const TRANSIENT = ["hidden", "quarantined", "deferred"] as const;

export class Sampler {
  readonly #deps: SamplerDeps;
  readonly #ring: Ring<HistorySample>;
  /** Members that keep others from pruning, and since when. */
  #blockers: ReadonlyMap<string, { readonly name: string; readonly sinceMs: number }> = new Map();
  #lag: Measured = NOTHING;
  #parked: Measured = NOTHING;
  #reported: HealthStatus = "ok";
  #running = false;
  /** Whether the log may have another size than at the last sample. */
  #logMoved = true;

  constructor(deps: SamplerDeps) {
    this.#deps = deps;
    this.#ring = new Ring({ capacity: deps.settings.historySamples });
  }

  start(): void {
    this.#deps.events.on("kernelStateChanged", ({ state }) => {
      this.#running = state === "running";
      if (this.#running) void this.#sample();
    });
    this.#arm();
  }

  /** There was work that changes the log. */
  busy(): void {
    this.#logMoved = true;
  }

  get history(): readonly HistorySample[] {
    return this.#ring.toArray();
  }

  /** As of now, as far as events tell; the rest is as of the last sample. */
  health(): Health {
    const { figures, settings, waitWarning, clock } = this.#deps;
    const blocker = [...this.#blockers.values()].sort((a, b) => a.sinceMs - b.sinceMs)[0];
    return judge(
      {
        waitingMs: { value: waitWarning.waitingMs },
        saturation: { value: figures.sum("tidemark.pool.saturation") },
        lagMs: this.#lag,
        parkedMs: this.#parked,
        pruningBlockedMs:
          blocker === undefined ? NOTHING : { value: clock.monotonicMs() - blocker.sinceMs, who: blocker.name },
        escalationShare: { value: this.#escalationShare() },
      },
      settings.health,
    );
  }

  #arm(): void {
    const { clock, settings, signal } = this.#deps;
    clock.setTimeout(() => {
      void this.#sample().finally(() => {
        if (!signal.aborted) this.#arm();
      });
    }, settings.sampleMs);
  }

  async #sample(): Promise<void> {
    if (!this.#running) return;
    const { signal, logger } = this.#deps;
    try {
      await this.#readPeers();
      await this.#readParked();
      await this.#readLog();
    } catch (error) {
      // The kernel may have been stopped or paused meanwhile, which is nobody's fault.
      if (this.#running && !signal.aborted) logger.warn("Some figures could not be read", { error });
    }
    if (signal.aborted) return;
    this.#readEventLoop();
    this.#deps.flush();
    this.#judge();
  }

  async #readPeers(): Promise<void> {
    const { figures, syncFigures } = this.#deps;
    const peers = await syncFigures.peers();
    for (const name of ["tidemark.peer.connected", "tidemark.peer.pending", "tidemark.peer.lag"] as const) {
      figures.clear(name);
    }
    this.#lag = NOTHING;
    for (const { peer, name, connected, pending, lagMs } of peers) {
      const attributes = { "tidemark.peer": peer };
      figures.set("tidemark.peer.connected", Number(connected), attributes);
      figures.set("tidemark.peer.pending", pending, attributes);
      figures.set("tidemark.peer.lag", lagMs / 1_000, attributes);
      // A device that is away lags by nature.
      if (connected && lagMs > this.#lag.value) this.#lag = { value: lagMs, who: name };
    }
  }

  async #readParked(): Promise<void> {
    const { figures, syncFigures } = this.#deps;
    const parked = await syncFigures.parked();
    for (const [kind, { count, oldestMs }] of Object.entries(parked)) {
      figures.set("tidemark.parked.records", count, { "tidemark.parked.kind": kind });
      figures.set("tidemark.parked.oldest", oldestMs / 1_000, { "tidemark.parked.kind": kind });
    }
    this.#parked = NOTHING;
    for (const kind of TRANSIENT) {
      if (parked[kind].oldestMs > this.#parked.value) this.#parked = { value: parked[kind].oldestMs, who: kind };
    }
  }

  async #readLog(): Promise<void> {
    const { figures, logMaintenance, clock } = this.#deps;
    const { heldBackBy } = await logMaintenance.stablePoint();
    const now = clock.monotonicMs();
    const before = this.#blockers;
    this.#blockers = new Map(
      heldBackBy.map(({ member, name }) => [member, { name, sinceMs: before.get(member)?.sinceMs ?? now }]),
    );
    figures.clear("tidemark.log.blocked_time");
    for (const [member, { sinceMs }] of this.#blockers) {
      figures.set("tidemark.log.blocked_time", (now - sinceMs) / 1_000, { "tidemark.member": member });
    }
    // Counting takes a connection, which is not asked for while others wait for one.
    if (figures.sum("db.client.connection.pending_requests") > 0) return;
    // It goes through all pages of the sync tables, which would be much of what a device at rest does.
    if (!this.#logMoved) return;
    this.#logMoved = false;
    const { logEntries, bytes } = await logMaintenance.size();
    figures.set("tidemark.log.entries", logEntries, {});
    figures.set("tidemark.log.size", bytes, {});
  }

  #readEventLoop(): void {
    const { figures, eventLoop } = this.#deps;
    const delay = eventLoop.read();
    if (delay === null) return;
    for (const [statistic, seconds] of Object.entries(delay)) {
      figures.set("tidemark.event_loop.delay", seconds, { "tidemark.statistic": statistic });
    }
  }

  #judge(): void {
    const { figures, logger } = this.#deps;
    const { status, reasons } = this.health();
    figures.set("tidemark.health", LEVELS[status], {});
    this.#ring.push(this.#historySample(status));
    if (status === this.#reported) return;
    this.#reported = status;
    if (status === "ok") logger.info("Health is ok again");
    else logger.warn(`Health is ${status}`, { reasons: reasons.map(({ text }) => text) });
  }

  #historySample(health: HealthStatus): HistorySample {
    const { figures, clock } = this.#deps;
    return {
      atMs: clock.now(),
      health,
      pool: {
        active: figures.sum(
          "db.client.connection.count",
          (attributes) => attributes["db.client.connection.state"] === "used",
        ),
        waiting: figures.sum("db.client.connection.pending_requests"),
        limit: figures.sum("db.client.connection.max"),
      },
      recordsApplied: figures.sum(
        "tidemark.batch.records",
        (attributes) => attributes["tidemark.outcome"] === "applied",
      ),
      recordsReceived: figures.sum("tidemark.batch.records"),
      ...this.#rounds(),
      pending: figures.sum("tidemark.peer.pending"),
      lagMs: this.#lag.value,
      parked: figures.sum("tidemark.parked.records"),
      logEntries: figures.sum("tidemark.log.entries"),
      logBytes: figures.sum("tidemark.log.size"),
    };
  }

  /** Since the start. */
  #rounds(): Pick<HistorySample, "rounds" | "failures" | "escalations"> {
    const { figures } = this.#deps;
    return {
      rounds: figures.sum("tidemark.round.duration"),
      failures: figures.sum("tidemark.catch_up.failures"),
      escalations: figures.sum(
        "tidemark.catch_up.decisions",
        (attributes) => attributes["tidemark.action"] !== "retry",
      ),
    };
  }

  #escalationShare(): number {
    const now = this.#rounds();
    const before = this.#ring.horizon ?? { rounds: 0, failures: 0, escalations: 0 };
    const ended = now.rounds - before.rounds + now.failures - before.failures;
    return ended === 0 ? 0 : (now.escalations - before.escalations) / ended;
  }
}
