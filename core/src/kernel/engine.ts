// What the kernel asks of storage and replication together. The kernel knows nothing else of them, so that its own
// life cycle can be tested without a database.

import type {
  Authenticator,
  Clock,
  EntityDeclaration,
  KernelState,
  Logger,
  LogMaintenance,
  Meter,
  ParkedKind,
  PeerState,
  Random,
  RecordKeys,
  RemovalKind,
  Services,
  SyncFigures,
  Transport,
  WireValue,
} from "@tidemark/plugin-api";
import type { DataSource } from "typeorm";
import type { Diagnosis } from "./diagnosis.js";
import type { EventBus } from "./event-bus.js";
import type { HookRunner } from "./hook-runner.js";
import type { ResetOptions } from "./reset-options.js";
import type { ResolvedSettings } from "./resolved-settings.js";
import type { Verification, VerifyOptions } from "./verification.js";

/** Storage and replication. The kernel calls one method of the life cycle at a time, and none after `stop`. */
export interface Engine {
  /** What plugins are offered; each call before `start` or after `stop` rejects with `TIDEMARK_NOT_STARTED`. */
  readonly services: KernelServices;
  /** Opens the data source if it is not open, installs capture, and starts the transports. */
  start(): Promise<void>;
  /** Ends all sessions; local changes are still captured. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Gives back everything; also called after a `start` that failed or was never called. */
  stop(): Promise<void>;
  digest(model: string): Promise<ModelDigest>;
  verify(peer: string, options?: VerifyOptions): Promise<Verification>;
  doctor(): Promise<Diagnosis>;
  /** All but the kernel's own state. */
  status(): Promise<Omit<SyncStatus, "state">>;
  /** Newest first. */
  journal(query?: JournalQuery): Promise<readonly JournalEntry[]>;
  /** By origin or device id. */
  removeMember(member: string): Promise<void>;
  resetSyncState(options?: ResetOptions): Promise<void>;
  /** Ends replication and removes all sync tables and triggers; `stop` follows. */
  uninstall(): Promise<void>;
}

/** The services that stand on storage and replication. */
export interface KernelServices {
  readonly recordKeys: RecordKeys;
  readonly logMaintenance: LogMaintenance;
  readonly syncFigures: SyncFigures;
}

export interface EngineDeps {
  readonly dataSource: DataSource;
  /** Of the application, then of the plugins in activation order. Those of `@Synced` are not among them. */
  readonly declarations: readonly EntityDeclaration[];
  readonly settings: ResolvedSettings;
  readonly hooks: HookRunner;
  readonly events: EventBus;
  readonly logger: Logger;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly random: Random;
  readonly authenticator: Authenticator;
  /** In the order in which plugins registered them. */
  readonly transports: readonly Transport[];
  readonly services: Pick<Services, "get" | "find">;
}

export type EngineFactory = (deps: EngineDeps) => Engine;

/** A fingerprint of all visible records of a model, over their wire form: equal on all devices that are in step. */
export interface ModelDigest {
  /** By wire name. */
  readonly model: string;
  readonly rows: number;
  /** Lower-case hexadecimal. */
  readonly digest: string;
}

/** Where synchronization stands. */
export interface SyncStatus {
  /** The library's id. */
  readonly library: string;
  /** This device's id. */
  readonly device: string;
  /** This member's origin id; `null` while it has not joined the library. */
  readonly origin: string | null;
  readonly state: KernelState;
  /**
   * `joining` until it has joined the library; `removed` once another member has removed it for good; `returning` while it
   * is removed for another reason and waits to come back under a new origin.
   */
  readonly membership: "joining" | "member" | "returning" | "removed";
  readonly peers: readonly PeerStatus[];
  /** Who is no member any more, since the library was founded. */
  readonly removals: readonly RemovalStatus[];
  /** Records of the backfill that is under way, or `null`. */
  readonly backfill: { readonly done: number; readonly total: number } | null;
  /** Records that are not, or not wholly, in their table, by reason. */
  readonly parked: Readonly<Record<ParkedKind, number>>;
  /** Records that the local schema refuses. The same as `parked.quarantined`. */
  readonly quarantined: number;
  /** Captured changes that have no stamp yet. */
  readonly outbox: number;
  readonly logEntries: number;
  readonly journalEntries: number;
  readonly syncTableBytes: number;
}

/** Where synchronization with one other member stands. */
export interface PeerStatus {
  /** The peer's origin id. */
  readonly peer: string;
  readonly deviceId: string;
  readonly name: string;
  readonly state: PeerState;
  readonly connected: boolean;
  /** Consecutive failed rounds. */
  readonly failures: number;
  /** Milliseconds since the epoch; `null` when no retry is waiting. */
  readonly nextAttemptAt: number | null;
}

/** An origin that is no member any more. */
export interface RemovalStatus {
  /** The origin id that was removed. */
  readonly origin: string;
  readonly deviceId: string;
  readonly name: string;
  readonly kind: RemovalKind;
  /** When it was removed, in milliseconds since the epoch. */
  readonly atMs: number;
  /** Origin id of who said so. */
  readonly by: string;
  /**
   * Origin ids of members that have yet to agree on what counts of it. Until all have, the removed one holds back
   * forgetting like a member. Empty once this device knows that they do.
   */
  readonly waitsFor: readonly string[];
}

/** Which entries of the journal are wanted; all of them if nothing is said. */
export interface JournalQuery {
  readonly kind?: string;
  readonly model?: string;
  /** At most so many entries. Default 1,000. */
  readonly limit?: number;
  /** Only entries older than the one with this id, to page on. */
  readonly before?: number;
}

/** Something that a person may want to look at, such as a local change that was taken back. */
export interface JournalEntry {
  readonly id: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly kind: string;
  readonly model: string;
  /** The record's identity. */
  readonly record: string;
  readonly reason: string;
  /** The values concerned, by column wire name. */
  readonly values: Readonly<Record<string, WireValue>> | null;
}
