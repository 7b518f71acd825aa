// A kernel as the plugin sees it: hooks and events that the test raises, and services that note what they are asked.

import { ManualClock, RecordingLogger, SeededRandom } from "@tidemark/core/testing";
import {
  type AppliedBatch,
  type KernelEvents,
  type LogMaintenance,
  logMaintenance,
  noopMeter,
  type PeerFigures,
  type PluginContext,
  type PruneResult,
  type ServiceToken,
  type StablePointBlocker,
  type Subscription,
  type SyncFigures,
  subscription,
  syncFigures,
} from "@tidemark/plugin-api";
import { type AckPruningSettings, ackPruning } from "./index.js";

export class FakeMaintenance implements LogMaintenance {
  readonly maxOfflineMs = 30 * 24 * 3_600_000;
  acknowledgements = 0;
  readonly pruned: NonNullable<Parameters<LogMaintenance["prune"]>[0]>[] = [];
  compactions = 0;
  /** Entries that everybody has, and how many of them a call of `prune` removes. */
  stable = 0;
  perCall = 1_000;
  heldBackBy: readonly StablePointBlocker[] = [];
  /** What the next calls fail with, by name. */
  readonly failures = new Map<keyof LogMaintenance, Error[]>();
  /** What a call of `prune` waits for. */
  gate: Promise<void> = Promise.resolve();

  async acknowledge(): Promise<void> {
    this.acknowledgements += 1;
    this.#failIfTold("acknowledge");
  }

  async stablePoint() {
    return { hlc: 0, atMs: Date.UTC(2026, 0, 1), heldBackBy: this.heldBackBy };
  }

  async prune(options: NonNullable<Parameters<LogMaintenance["prune"]>[0]> = {}): Promise<PruneResult> {
    this.pruned.push(options);
    await this.gate;
    this.#failIfTold("prune");
    const stamps = Math.min(this.stable, this.perCall);
    this.stable -= stamps;
    return { stamps, hiddenRecords: 0, more: this.stable > 0, point: await this.stablePoint() };
  }

  async dryRun(): Promise<PruneResult> {
    return { stamps: this.stable, hiddenRecords: 0, more: false, point: await this.stablePoint() };
  }

  async compact(): Promise<number> {
    this.compactions += 1;
    this.#failIfTold("compact");
    return 7;
  }

  async size() {
    return { logEntries: this.stable + 5, bytes: 4_096 };
  }

  #failIfTold(name: keyof LogMaintenance): void {
    const error = this.failures.get(name)?.shift();
    if (error !== undefined) throw error;
  }
}

type Listener = (event: never) => void;

export class FakeKernel {
  readonly clock = new ManualClock();
  readonly logger = new RecordingLogger();
  readonly maintenance = new FakeMaintenance();
  peers: readonly PeerFigures[] = [];
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #batchHandlers: ((batch: AppliedBatch) => unknown)[] = [];
  readonly #subscriptions: Subscription[] = [];
  readonly #abort = new AbortController();
  readonly #services = new Map<symbol, unknown>();

  /** Activates the plugin and lets the kernel run. */
  constructor(settings: AckPruningSettings = {}) {
    this.#services.set(logMaintenance.key, this.maintenance);
    const figures: Pick<SyncFigures, "peers"> = { peers: async () => this.peers };
    this.#services.set(syncFigures.key, figures);
    const tap = () => subscription(() => {});
    const context: PluginContext<Parameters<typeof ackPruning.activate>[0]["config"]> = {
      id: ackPruning.manifest.id,
      config: ackPruning.manifest.configuration!.parse(settings),
      hooks: {
        beforeApplyBatch: { kind: "transform", tap },
        onCatchUpFailure: { kind: "decide", tap },
        onPoolPressure: { kind: "collect", tap },
        afterBatch: {
          kind: "observe",
          tap: (handler) => {
            this.#batchHandlers.push((batch) => handler(batch, { signal: this.#abort.signal }));
            return subscription(() => {});
          },
        },
      },
      events: {
        on: (name, listener) => {
          const listeners = this.#listeners.get(name) ?? new Set();
          this.#listeners.set(name, listeners.add(listener));
          return subscription(() => listeners.delete(listener));
        },
        once: () => subscription(() => {}),
      },
      services: {
        provide: <T>(token: ServiceToken<T>, service: T) => {
          this.#services.set(token.key, service);
          return subscription(() => this.#services.delete(token.key));
        },
        get: (token) => this.get(token),
        find: (token) => this.get(token),
      },
      entities: {} as PluginContext["entities"],
      logger: this.logger,
      meter: noopMeter,
      clock: this.clock,
      random: new SeededRandom(1),
      signal: this.#abort.signal,
      subscriptions: this.#subscriptions,
    };
    ackPruning.activate(context);
    this.emit("kernelStateChanged", { state: "running", previous: "starting" });
  }

  get<T>(token: ServiceToken<T>): T {
    return this.#services.get(token.key) as T;
  }

  emit<Name extends keyof KernelEvents>(name: Name, event: KernelEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) (listener as (event: KernelEvents[Name]) => void)(event);
  }

  async applyBatch({ vectorMoved }: { readonly vectorMoved: boolean }): Promise<void> {
    const counts = { applied: 1, superseded: 0, parked: 0, quarantined: 0, rejected: 0, deferred: 0, conflicts: 0 };
    const batch: AppliedBatch = {
      id: 1,
      peer: "b",
      phase: "live",
      counts,
      models: { Content: counts },
      durationMs: 1,
      referenceLookups: 0,
      vectorMoved,
    };
    for (const handler of this.#batchHandlers) await handler(batch);
  }

  /** Stops the plugin, as the kernel would. */
  stop(): void {
    this.#abort.abort();
    for (const item of [...this.#subscriptions].reverse()) item.dispose();
  }
}
