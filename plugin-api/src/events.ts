import type { AppliedBatch, ReplicationPhase } from "./batch.js";
import type { Subscription } from "./disposable.js";
import type { CatchUpDecision, HookName, PoolAdvice, PoolPressure } from "./hooks.js";

/** Where a kernel stands in its life, which it goes through once. */
export type KernelState = "created" | "starting" | "running" | "paused" | "stopping" | "stopped" | "failed";
/** Where a plugin stands in a kernel. */
export type PluginState = "registered" | "disabled" | "active" | "failed" | "stopped";
/** State of replication with one peer; stored, so that a restart is incremental. */
export type PeerState = "uninitialized" | "backfilling" | "catching-up" | "ready" | "paused";

/**
 * Why an origin is no member any more: a person has removed it; nothing was heard of it for too long; its database has
 * gone back in time; its device has taken a new origin by itself; or its sponsor was removed before anybody else had
 * heard of it.
 */
export type RemovalKind = "removed" | "lapsed" | "regressed" | "replaced" | "orphaned";

/** What happens in the kernel. Hooks decide; events tell. Third parties may add their own by declaration merging. */
export interface KernelEvents {
  kernelStateChanged: { readonly state: KernelState; readonly previous: KernelState; readonly reason?: string };
  pluginStateChanged: { readonly pluginId: string; readonly state: PluginState; readonly reason?: string };
  /** A handler failed three times in a row and is not called any more. */
  hookHandlerQuarantined: { readonly pluginId: string; readonly hook: HookName; readonly error: unknown };
  hookCompleted: {
    readonly pluginId: string;
    readonly hook: HookName;
    readonly durationMs: number;
    readonly outcome: "ok" | "failed" | "timed-out";
  };
  /** A lease was given; `waitMs` is how long its holder had waited. */
  leaseAcquired: { readonly kind: "reader" | "writer"; readonly holder: string; readonly waitMs: number };
  leaseReleased: { readonly kind: "reader" | "writer"; readonly holder: string; readonly useMs: number };
  leaseTimedOut: { readonly kind: "reader" | "writer"; readonly holder: string; readonly waitMs: number };
  poolChanged: { readonly active: number; readonly idle: number; readonly waiting: number; readonly limit: number };
  poolPressure: PoolPressure & { readonly advice: PoolAdvice; readonly advisedBy: readonly string[] };
  /** The declarations have been resolved; the names are those on the wire. */
  modelsRegistered: { readonly models: readonly string[] };
  /** A capture trigger was missing or different: writes in between may not have been captured. */
  captureGap: { readonly model: string; readonly table: string; readonly reason: string };
  /** Local changes received their stamps and entered the log. */
  changesFolded: { readonly entries: number; readonly stamps: number; readonly durationMs: number };
  /** A local change that this device may not make was taken back; its values are in the journal. */
  changeRefused: { readonly model: string; readonly record: string; readonly reason: string };
  /** `clockDriftMs` is how far the peer's clock is ahead of ours, by its introduction; negative: behind. */
  peerConnected: {
    readonly peer: string;
    readonly deviceId: string;
    readonly address: string;
    readonly clockDriftMs: number;
  };
  peerDisconnected: { readonly peer: string; readonly reason: string };
  peerStateChanged: { readonly peer: string; readonly state: PeerState; readonly previous: PeerState };
  /** A peer's hello was refused, or ours was. `code` is that of the error. */
  peerRefused: { readonly address: string; readonly code: string; readonly reason: string };
  memberJoined: { readonly origin: string; readonly deviceId: string; readonly sponsor: string | null };
  /** A member was removed, here or elsewhere; `by` is the origin id of who said so. May be this device itself. */
  memberRemoved: {
    readonly origin: string;
    readonly deviceId: string;
    readonly kind: RemovalKind;
    readonly by: string;
  };
  /** This device, whose `former` origin had been removed, has come back under a new one. Its backfill follows. */
  memberReturned: { readonly origin: string; readonly deviceId: string; readonly former: string };
  /**
   * What this device had not got out before it came back was issued again; `reported` entries went to the journal because
   * others had overtaken it.
   */
  unsentReissued: { readonly origin: string; readonly issued: number; readonly reported: number };
  /** All members agree on what counts of a removed one. What was left above that was stamped anew as this device's own. */
  removalSettled: { readonly origin: string; readonly deviceId: string; readonly stampedAnew: number };
  batchApplied: AppliedBatch;
  /** A round ended: everything that the peer had is here, and the vector moved. */
  roundCompleted: {
    readonly peer: string;
    readonly phase: ReplicationPhase;
    readonly records: number;
    readonly durationMs: number;
  };
  catchUpFailed: {
    readonly peer: string;
    readonly phase: ReplicationPhase;
    readonly failures: number;
    readonly code: string;
    readonly reason: string;
  };
  /** What is done about a failure, and which plugin decided; `kernel` when none had an opinion. */
  catchUpDecided: { readonly peer: string; readonly decision: CatchUpDecision; readonly decidedBy: string };
  /** `peer` is the one with which it is begun; others may serve too. `models` are the records that it has. */
  backfillStarted: {
    readonly peer: string;
    readonly models: Readonly<Record<string, number>>;
    readonly resumed: boolean;
  };
  /** A page was applied, which came from `peer`. The figures are those of the whole backfill, whoever serves. */
  backfillProgress: {
    readonly peer: string;
    readonly model: string;
    readonly done: number;
    readonly total: number;
    readonly allDone: number;
    readonly allTotal: number;
  };
  backfillCompleted: { readonly peer: string; readonly records: number; readonly durationMs: number };
  /** A peer has told, durably, up to where it has everything. */
  vectorAcknowledged: { readonly peer: string };
  /** Entries that every member has were removed from the log. */
  logPruned: { readonly stamps: number; readonly hiddenRecords: number; readonly upToMs: number };
  /** A page was sent; for figures of the serving side. */
  pageServed: {
    readonly peer: string;
    readonly phase: ReplicationPhase;
    readonly records: number;
    readonly bytes: number;
  };
  clockDrift: { readonly peer: string; readonly driftMs: number; readonly limitMs: number };
  /** Something a person may want to look at was written to the journal. */
  journalEntryAdded: { readonly kind: string; readonly model: string; readonly record: string };
  /** A quarantined or parked record entered its table. */
  recordHealed: { readonly model: string; readonly record: string };
}

/** Listening to events. A listener that throws or rejects is isolated, and reported through the logger. */
export interface Events {
  on<Name extends keyof KernelEvents>(name: Name, listener: (event: KernelEvents[Name]) => void): Subscription;
  once<Name extends keyof KernelEvents>(name: Name, listener: (event: KernelEvents[Name]) => void): Subscription;
}
