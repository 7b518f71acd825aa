// Stands where storage and replication stand, and does nothing: for tests of the kernel and of plugins alone. It notes
// what it is asked, and lets a step fail or wait.

import type { PruneResult, StablePoint } from "@tidemark/plugin-api";
import type { Diagnosis } from "../kernel/diagnosis.js";
import type { Engine, EngineDeps, EngineFactory, JournalEntry, ModelDigest } from "../kernel/engine.js";
import type { Verification } from "../kernel/verification.js";

type Step = "start" | "pause" | "resume" | "stop" | "removeMember" | "resetSyncState" | "uninstall";

const NOTHING_STABLE: StablePoint = { hlc: 0, atMs: 0, heldBackBy: [] };
const NOTHING_TO_PRUNE: PruneResult = { stamps: 0, hiddenRecords: 0, more: false, point: NOTHING_STABLE };
const NONE_PARKED = { count: 0, oldestMs: 0 };

export class FakeEngine implements Engine {
  /** The steps that were asked for, in order. */
  readonly calls: Step[] = [];
  /** What a step does instead of nothing. */
  readonly behaviour: { -readonly [Name in Step]?: () => void | Promise<void> } = {};
  #deps: EngineDeps | undefined;

  /** Makes this engine; for `createTidemarkWith`. */
  readonly factory: EngineFactory = (deps) => {
    this.#deps = deps;
    return this;
  };

  /** What the kernel has given; throws before the engine was made. */
  get deps(): EngineDeps {
    if (this.#deps === undefined) throw new Error("the kernel has not made its engine");
    return this.#deps;
  }

  /** Whether the kernel has come as far as making its engine. */
  get wasMade(): boolean {
    return this.#deps !== undefined;
  }

  start(): Promise<void> {
    return this.#run("start");
  }

  pause(): Promise<void> {
    return this.#run("pause");
  }

  resume(): Promise<void> {
    return this.#run("resume");
  }

  stop(): Promise<void> {
    return this.#run("stop");
  }

  removeMember(): Promise<void> {
    return this.#run("removeMember");
  }

  resetSyncState(): Promise<void> {
    return this.#run("resetSyncState");
  }

  uninstall(): Promise<void> {
    return this.#run("uninstall");
  }

  async digest(model: string): Promise<ModelDigest> {
    return { model, rows: 0, digest: "" };
  }

  async verify(peer: string): Promise<Verification> {
    return {
      peer,
      deviceId: peer,
      outcome: "equal",
      models: [],
      repair: null,
      durationMs: 0,
      advice: "Nothing needs to be done.",
    };
  }

  async doctor(): Promise<Diagnosis> {
    const examined = { tables: 0, rows: 0, logEntries: 0, parkedRecords: 0, members: 0 };
    return { healthy: true, findings: [], examined, durationMs: 0 };
  }

  async status(): ReturnType<Engine["status"]> {
    const { library, device } = this.deps.settings;
    return {
      library: library.id,
      device: device.id,
      origin: null,
      peers: [],
      membership: "joining" as const,
      removals: [],
      backfill: null,
      parked: { hidden: 0, quarantined: 0, deferred: 0, dead: 0, foreign: 0 },
      quarantined: 0,
      outbox: 0,
      logEntries: 0,
      journalEntries: 0,
      syncTableBytes: 0,
    };
  }

  /** Those of an empty library with nobody else in it. */
  readonly services: Engine["services"] = {
    recordKeys: {
      localKeysFor: async () => new Map(),
      identitiesFor: async () => new Map(),
      keyIsIdentity: () => false,
    },
    logMaintenance: {
      acknowledge: async () => {},
      stablePoint: async () => NOTHING_STABLE,
      prune: async () => NOTHING_TO_PRUNE,
      dryRun: async () => NOTHING_TO_PRUNE,
      compact: async () => 0,
      size: async () => ({ logEntries: 0, bytes: 0 }),
      maxOfflineMs: 30 * 24 * 3_600_000,
    },
    syncFigures: {
      peers: async () => [],
      parked: async () => ({
        hidden: NONE_PARKED,
        quarantined: NONE_PARKED,
        deferred: NONE_PARKED,
        dead: NONE_PARKED,
        foreign: NONE_PARKED,
      }),
    },
  };

  async journal(): Promise<readonly JournalEntry[]> {
    return [];
  }

  async #run(step: Step): Promise<void> {
    this.calls.push(step);
    await this.behaviour[step]?.();
  }
}
