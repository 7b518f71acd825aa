// What an application holds: the public face of a kernel.

import type { Events, KernelState, Services } from "@tidemark/plugin-api";
import type { Diagnosis } from "./diagnosis.js";
import type { JournalEntry, JournalQuery, ModelDigest, SyncStatus } from "./engine.js";
import type { TidemarkReport } from "./report.js";
import type { ResetOptions } from "./reset-options.js";
import type { Verification, VerifyOptions } from "./verification.js";

/**
 * One library on one device. Made by `createTidemark`; lives once: after `stop`, or after a `start` that failed, make a
 * new one.
 *
 * @example
 * await using tidemark = createTidemark({ dataSource, entities, plugins, settings });
 * await tidemark.start();
 */
export interface Tidemark {
  readonly state: KernelState;

  /** Events of this kernel; may be listened to before `start`. */
  readonly events: Events;

  /**
   * Services of plugins. `get` throws `TIDEMARK_SERVICE_MISSING`, naming the plugin that would provide it; `find` returns
   * `undefined`.
   */
  readonly services: Pick<Services, "get" | "find">;

  /**
   * Resolves the settings, activates the plugins, and starts storage and replication, in this order. Resolves when the
   * kernel runs; being in step with peers comes later, see {@link status}. Calling it again returns the same outcome.
   *
   * Rejects with the typed error of what failed; by then everything that had been started is stopped again.
   * `TIDEMARK_KERNEL_STATE` after `stop`.
   */
  start(): Promise<void>;

  /**
   * Ends all sessions with peers. Local changes are still captured, and go out after `resume`. Nothing happens if the
   * kernel is paused already. Rejects with `TIDEMARK_KERNEL_STATE` when it does not run.
   */
  pause(): Promise<void>;

  /** Begins to replicate again after `pause`. Nothing happens if the kernel runs. */
  resume(): Promise<void>;

  /**
   * Stops replication, then storage, then the plugins, the last activated first. Waits for a start or a pause that is
   * under way. Calling it again returns the same outcome, and a kernel that was never started just stops. A data source
   * that was open before `start` stays open; one that `start` has opened is closed.
   */
  stop(): Promise<void>;

  /** The kernel, its plugins (state, why, activation time, hooks, services) and its transports, as they are now. */
  report(): TidemarkReport;

  /** The report as an aligned table of plain text. */
  renderReport(): string;

  /**
   * A fingerprint of all records of `model` (its wire name), the same on every device that is in step. Reads the whole
   * model. Rejects with `TIDEMARK_KERNEL_STATE` when the kernel does not run.
   */
  digest(model: string): Promise<ModelDigest>;

  /**
   * Compares the records of this device with those of a connected peer, named by its origin id or its device id, and says
   * which ranges and which records differ. Both go on with their work: a part of the library is compared at a moment when
   * neither side has anything that the other lacks, and if that moment does not come within about seven seconds, the
   * answer is `not-comparable`. Digests travel, not records. With `repair` it fetches what differs.
   *
   * It is what mends trust after a `captureGap`, and what proves that two devices are in step.
   *
   * Rejects as {@link digest} does; with `TIDEMARK_PEER_UNKNOWN`, `TIDEMARK_PEER_NOT_CONNECTED`, `TIDEMARK_PEER_NOT_READY`
   * or `TIDEMARK_DEVICE_NOT_READY` when there is nobody to compare with; with `TIDEMARK_UNKNOWN_MODEL`; and with
   * `TIDEMARK_SESSION_LOST` or `TIDEMARK_PEER_TIMED_OUT` when the peer goes meanwhile. What had been repaired stays.
   *
   * @example
   * const { outcome, models, advice } = await tidemark.verify("desktop");
   */
  verify(peer: string, options?: VerifyOptions): Promise<Verification>;

  /**
   * Looks for everything that is wrong with this device's copy of the library, or may become so: references that lead
   * nowhere, capture, the log against the rows, parked records and why they are, vectors and clock, members that hold the
   * others back, sizes, settings, room on the disk. Each finding says what it is, why, and what to do; `renderDiagnosis`
   * turns them into text. It changes nothing. It reads all tables, in slices, so that the application goes on; expect it
   * to take about as long as a digest of everything. Rejects as {@link digest} does.
   *
   * @example
   * logger.info(renderDiagnosis(await tidemark.doctor()));
   */
  doctor(): Promise<Diagnosis>;

  /** Where synchronization stands: peers, backfill, parked records, sizes. Rejects as {@link digest} does. */
  status(): Promise<SyncStatus>;

  /** What a person may want to look at, newest first: changes that were taken back, records that were refused. */
  journal(query?: JournalQuery): Promise<readonly JournalEntry[]>;

  /**
   * Removes a member for good: a device that was lost, sold or is not trusted any more. `member` is an origin id of
   * `status().peers`, or a device id, which stands for all origins of that device. From then on no device takes anything
   * from it; what they have of it stays. The removed device is told when it meets one of them, and ends its sessions with
   * `TIDEMARK_MEMBER_REMOVED`. Resolves when the removal is durable here; others hear of it as they hear of changes.
   *
   * Nothing happens if it is removed already. Rejects with `TIDEMARK_PEER_UNKNOWN`, with
   * `TIDEMARK_MEMBER_IS_THIS_DEVICE`, and as {@link digest} does.
   */
  removeMember(member: string): Promise<void>;

  /**
   * Keeps every record, forgets all that is known about synchronization, and comes back to the library by a full
   * backfill. The way out of damaged sync tables. A device that has known others joins them again, and waits until it
   * meets one; with `found` it founds the library anew from what is here. Rejects with `TIDEMARK_MEMBERS_ARE_LEFT` where
   * `found` is asked for while members have not been removed, and as {@link digest} does.
   */
  resetSyncState(options?: ResetOptions): Promise<void>;

  /**
   * Removes the sync tables and the triggers from the database, and stops. The records stay. Rejects as {@link digest}
   * does.
   */
  uninstall(): Promise<void>;

  /** The same as {@link stop}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
