import {
  type Authenticator,
  type BackfillScheduler,
  type CatchUpDecision,
  isTidemarkError,
  type Subscription,
  subscription,
  type TidemarkError,
  type TransportConnection,
  type TransportHost,
} from "@tidemark/plugin-api";
import { anyDamaged } from "../storage/damaged.js";
import { readState } from "../storage/log-transaction.js";
import type { Removal } from "../storage/members.js";
import { Backfill } from "./backfill.js";
import { endBackfill, loadBackfill } from "./backfill-store.js";
import { isUnsettled } from "./change-page.js";
import { isRetryable, replicationErrors } from "./errors.js";
import { FutureRecords } from "./future.js";
import { keepWhatNobodyHas } from "./keep-damaged.js";
import { lookForLapsed } from "./lapse.js";
import type { LocalLibrary } from "./local-library.js";
import { beginBackfill } from "./membership.js";
import { GIVEN_UP, liftGivenUp, loadPeer, updatePeer } from "./peer-store.js";
import { reissueUnsent } from "./reissue.js";
import { RetryTimes } from "./retry-times.js";
import { carryOn, foundIfNew, leaveAsCopy, mayReturn, takeUpMembership } from "./returning.js";
import { sequentialBackfill } from "./sequential-backfill.js";
import { Session, type SessionObserver } from "./session.js";
import { settleRemovals } from "./settling.js";
import { anybodyHasTheLibrary, hasTheLibrary } from "./stable-point.js";
import { anyUnsent } from "./unsent.js";

/**
 * Looks after all sessions: takes over connections, decides what is next for this device (join, backfill, pull), wakes the
 * sessions when the log has grown, and asks what to do when a round has failed. Each peer has its own schedule.
 */
export class Replicator implements TransportHost, SessionObserver {
  readonly #library: LocalLibrary;
  readonly #authenticator: Authenticator;
  readonly #sessions = new Set<Session>();
  #heartbeat: Subscription | null = null;
  /** Joining, or a backfill: one at a time. */
  #onboarding: Promise<void> | null = null;
  #backfill: Backfill | null = null;
  readonly #scheduler: () => BackfillScheduler | undefined;
  /** A scheduler that has failed; the kernel's own takes its place. */
  #distrusted: BackfillScheduler | null = null;
  /** Retries that wait, by origin id. */
  readonly #delays = new Map<string, Subscription>();
  readonly #retries: RetryTimes;
  #restoring = false;
  #settling = false;
  #reissuing = false;
  readonly #future: FutureRecords;
  #running = false;

  constructor({
    library,
    authenticator,
    scheduler,
  }: {
    readonly library: LocalLibrary;
    readonly authenticator: Authenticator;
    /** That of a plugin, if one provides any. */
    readonly scheduler: () => BackfillScheduler | undefined;
  }) {
    this.#library = library;
    this.#authenticator = authenticator;
    this.#retries = new RetryTimes({ clock: library.deps.clock });
    this.#scheduler = scheduler;
    this.#future = new FutureRecords({ library, merged: () => this.#tellReadyAgain() });
  }

  get maxFrameBytes(): number {
    return this.#library.deps.settings.replication.maxFrameBytes;
  }

  get sessions(): readonly Session[] {
    return [...this.#sessions];
  }

  /** Whether any peer is there to whom changes go at once. */
  get sends(): boolean {
    for (const session of this.#sessions) if (session.sends) return true;
    return false;
  }

  /** Brings the database to where sessions can begin. Founds the library if that is this device's part. */
  async prepare(): Promise<void> {
    const { connection, settings, writer } = this.#library.deps;
    const state = readState(connection);
    if (state.library !== null && state.library !== settings.library.id) {
      throw replicationErrors.databaseOfOtherLibrary({ own: settings.library.id, found: state.library });
    }
    if (state.device !== null && state.device !== settings.device.id) {
      const copiedFrom = state.device;
      this.#library.deps.logger.warn("The database is a copy: this device joins under an origin of its own", {
        copiedFrom,
      });
      await leaveAsCopy(this.#library);
    }
    await foundIfNew(this.#library);
    await writer.run({ name: "try again who was given up", body: liftGivenUp });
  }

  /** From now on connections are welcome. */
  start(): void {
    this.#running = true;
    this.#heartbeat?.dispose();
    this.#scheduleHeartbeat();
    this.#future.schedule();
  }

  /** Ends all sessions. */
  stop(reason: string): void {
    this.#running = false;
    this.#heartbeat?.dispose();
    this.#heartbeat = null;
    this.#future.stop();
    for (const delay of this.#delays.values()) delay.dispose();
    this.#delays.clear();
    for (const session of this.sessions) session.close(reason, this.#library.deps.settings.replication.retryDelayMs);
  }

  /** Resolves when no join and no backfill is under way any more. */
  async settled(): Promise<void> {
    await this.#onboarding?.catch(() => {});
  }

  accept(connection: TransportConnection): void {
    if (!this.#running) {
      connection.open({ onFrame() {}, onDrain() {}, onClose() {} });
      connection.close({
        reason: "sync is paused here",
        redial: { afterMs: this.#library.deps.settings.replication.retryDelayMs },
      });
      return;
    }
    const session = new Session({
      connection,
      library: this.#library,
      authenticator: this.#authenticator,
      observer: this,
    });
    this.#sessions.add(session);
    session.open();
  }

  /** The log may have grown. */
  wake(): void {
    this.#future.schedule();
    for (const session of this.#sessions) session.wake();
    this.#restore();
  }

  introduced(session: Session): boolean {
    const twin = this.sessions.find(
      (other) => other !== session && other.peerDevice === session.peerDevice && !other.closed,
    );
    if (twin !== undefined) {
      // Both ends come to the same answer: the session that the device with the lower id has dialled stays.
      const lower = this.#library.deps.settings.device.id < session.peerDevice!;
      const preferred = session.dialled === twin.dialled || session.dialled === lower ? session : twin;
      (preferred === session ? twin : session).close(
        "there is another session between these two devices",
        TWIN_RETRY_MS,
      );
      if (preferred !== session) return false;
    }
    const { events } = this.#library.deps;
    events.emit("peerConnected", {
      peer: session.peer ?? session.peerDevice!,
      deviceId: session.peerDevice!,
      address: session.address,
      clockDriftMs: session.clockDriftMs,
    });
    this.changed();
    return true;
  }

  /** Decides for every session what it may do now. */
  changed(): void {
    if (!this.#running) return;
    const { connection, logger } = this.#library.deps;
    this.#partWithRemoved();
    this.heard();
    const state = readState(connection);
    const removed = this.#ownRemoval() !== null;
    const nothing = removed || state.self === null || state.ready === 0;
    if (nothing || this.#fullBackfillFrom(null)) this.#onboard();
    // Whoever is to give everything anew, and can't yet, keeps nobody else's changes out.
    if (nothing || this.#onboarding !== null) return;
    this.#reissue();
    for (const session of this.#sessions) {
      if (session.closed || this.#isDelayed(session)) continue;
      session.pull().catch((error: unknown) => session.fail(error));
    }
    this.#restore();
    this.#tellReadyAgain();
    logger.debug("Sessions looked at", { sessions: this.#sessions.size });
  }

  async failed(session: Session, error: TidemarkError): Promise<{ readonly retryMs: number | null }> {
    const { deps } = this.#library;
    const peer = session.peer ?? session.address;
    const retryable = isRetryable(error);
    if (session.peer === null)
      deps.events.emit("peerRefused", { address: session.address, code: error.code, reason: error.why });
    const member = session.peer === null ? undefined : deps.members.byOrigin(session.peer);
    const failures = (member === undefined ? 0 : loadPeer(deps.connection, member.num).failures) + 1;
    deps.events.emit("catchUpFailed", { peer, phase: session.phase, failures, code: error.code, reason: error.why });
    const answer = await deps.hooks.decideCatchUp({ peer, phase: session.phase, failures, error, retryable });
    // Frozen before others hear of it: what is done is what was decided.
    const decision = Object.freeze({ ...(answer?.decision ?? this.#plainDecision(error, retryable)) });
    deps.events.emit("catchUpDecided", { peer, decision, decidedBy: answer?.decidedBy ?? "kernel" });
    const delayMs = decision.action === "give-up" ? null : decision.delayMs;
    if (member !== undefined) {
      await this.#library
        .write(`failure with ${peer}`, (tx) =>
          updatePeer(tx.db, member.num, {
            failures,
            notBefore: delayMs === null ? GIVEN_UP : deps.clock.now() + delayMs,
            delayMs: delayMs ?? 0,
            ...(decision.action === "full-backfill" && { fullBackfill: true }),
            ...(decision.action === "give-up" && { state: "paused" as const }),
          }),
        )
        .catch((cause: unknown) => deps.logger.warn("A failure could not be stored", { peer, error: cause }));
    }
    deps.logger.warn("A session has failed", { peer, code: error.code, reason: error.why, retryMs: delayMs });
    return { retryMs: delayMs };
  }

  sponsored(session: Session): void {
    for (const other of this.#sessions) if (other !== session) other.tellNews();
  }

  merged(session: Session): void {
    this.#future.schedule();
    for (const other of this.#sessions) if (other !== session) other.wake();
  }

  /** Settles what the vectors that were told allow to settle. */
  heard(): void {
    if (this.#settling) return;
    this.#settling = true;
    settleRemovals(this.#library)
      .then((settled) => {
        this.#tellReadyAgain();
        if (settled.length === 0) return;
        for (const session of this.sessions) {
          // Whose sponsor is gone for good, and of whom nobody here has heard, has to hear so in an introduction.
          if (session.claimsUnknown) session.close("a removal was settled meanwhile", this.#retryDelayMs);
          else session.wake();
        }
        this.acknowledge();
      })
      .catch((error: unknown) => this.#library.deps.logger.warn("A removal could not be settled yet", { error }))
      .finally(() => {
        this.#settling = false;
      });
  }

  ended(session: Session, reason: string): void {
    this.#sessions.delete(session);
    this.#backfill?.sourcesChanged();
    if (session.peerDevice === null) return;
    this.#library.deps.events.emit("peerDisconnected", { peer: session.peer ?? session.peerDevice, reason });
  }

  /** Tells all peers the own vector, durably, if it is news to them: an acknowledgement of everything that is here. */
  acknowledge(): void {
    for (const session of this.#sessions) session.tellNews();
  }

  /**
   * Tells everybody who has been removed, and ends the sessions that this concerns: nothing more is taken from a removed
   * member, and a removed device takes part no more.
   */
  #partWithRemoved(): void {
    const { members, connection, settings } = this.#library.deps;
    const { self } = readState(connection);
    const own = self === null ? null : members.byNumber(self).removal;
    for (const session of this.sessions) {
      if (session.closed || session.peerDevice === null) continue;
      session.tellRemovals();
      if (own?.kind === "removed")
        session.fail(replicationErrors.memberRemoved({ device: settings.device.id, self: true }));
      else if (session.peerRemoval?.kind === "removed") {
        session.fail(replicationErrors.memberRemoved({ device: session.peerDevice, self: false }));
      } else if (session.isOutdated) {
        session.close("one of both has been removed", this.#retryDelayMs);
      } else session.tellNews();
    }
  }

  get #retryDelayMs(): number {
    return this.#library.deps.settings.replication.retryDelayMs;
  }

  #plainDecision(error: TidemarkError, retryable: boolean): CatchUpDecision {
    if (!retryable) return { action: "give-up", reason: error.why };
    return { action: "retry", delayMs: this.#retryDelayMs };
  }

  /** A peer that failed is left alone until its time has come. */
  #isDelayed(session: Session): boolean {
    const { members, connection, clock } = this.#library.deps;
    const origin = session.peer;
    const member = origin === null ? undefined : members.byOrigin(origin);
    if (origin === null || member === undefined) return false;
    const stored = loadPeer(connection, member.num);
    if (stored.notBefore === GIVEN_UP) return true;
    const waitMs = this.#retries.leftMs(origin, stored);
    if (waitMs <= 0) return false;
    if (!this.#delays.has(origin)) {
      const timer = clock.setTimeout(() => {
        this.#delays.delete(origin);
        this.changed();
      }, waitMs);
      this.#delays.set(
        origin,
        subscription(() => timer.dispose()),
      );
    }
    return true;
  }

  #fullBackfillFrom(session: Session | null): boolean {
    const { members, connection } = this.#library.deps;
    const sessions = session === null ? this.sessions : [session];
    return sessions.some(({ peer }) => {
      const member = peer === null ? undefined : members.byOrigin(peer);
      return member !== undefined && loadPeer(connection, member.num).fullBackfill;
    });
  }

  /** Joins and backfills with the first peer that can serve; others can help. */
  #onboard(): void {
    if (this.#onboarding !== null) {
      this.#backfill?.sourcesChanged();
      return;
    }
    const removal = this.#ownRemoval();
    if (removal !== null && !mayReturn(removal)) return;
    const anybody = removal !== null || readState(this.#library.deps.connection).ready === 0;
    const session = this.#servers().find((candidate) => anybody || this.#fullBackfillFrom(candidate));
    if (session === undefined) {
      if (removal !== null) this.#carryOnIfNobodyElseCan();
      else this.#stayIfNobodyElseHasTheLibrary();
      return;
    }
    this.#onboarding = this.#onboardWith(session)
      .catch((error: unknown) => {
        // "Not now" is no failure: the peer says when it is ready.
        if (!isTidemarkError(error, "TIDEMARK_PEER_NOT_READY")) session.fail(error);
        else return this.#giveWay(session).catch((cause: unknown) => session.fail(cause));
      })
      .finally(() => {
        this.#onboarding = null;
        // A backfill may have brought what is to be merged later.
        if (this.#running) this.#future.schedule();
        this.changed();
      });
  }

  #servers(): readonly Session[] {
    return this.sessions.filter((candidate) => candidate.peerReady && !candidate.closed && !this.#isDelayed(candidate));
  }

  async #onboardWith(session: Session): Promise<void> {
    const { connection, settings, clock, members, writer, events, fence } = this.#library.deps;
    const { self } = readState(connection);
    const former = self === null ? null : members.byNumber(self);
    if (former === null || former.removal !== null) {
      const granted = await session.join(former?.origin ?? null);
      await takeUpMembership(this.#library, granted);
      session.standAnew();
      const sponsor = granted.members.find((member) => member.origin === granted.origin)?.sponsor ?? null;
      events.emit("memberJoined", { origin: granted.origin, deviceId: settings.device.id, sponsor });
      if (former !== null) {
        events.emit("memberReturned", { origin: granted.origin, deviceId: settings.device.id, former: former.origin });
      }
      this.#introduceAnew(session);
    } else if (this.#fullBackfillFrom(session) && loadBackfill(connection) === null) {
      await writer.run({ name: "begin a full backfill", body: (db) => beginBackfill(db, "full", clock.now()) });
    }
    await this.#backfillFrom(session);
    await fence.cover();
    for (const other of this.sessions) {
      if (other.closed) continue;
      other.tellReady();
      // A full backfill may have brought what those who were pulling already have not got.
      other.wake();
    }
  }

  /** The others know this device as one that is no member, and serve it under its new name only. */
  #introduceAnew(but: Session | null): void {
    for (const other of this.sessions) {
      if (other !== but) other.close("this device has become a member, and introduces itself anew", 0);
    }
  }

  #ownRemoval(): Removal | null {
    const { members, connection } = this.#library.deps;
    const { self } = readState(connection);
    return self === null ? null : members.byNumber(self).removal;
  }

  /**
   * Where all members have been removed (two halves that had not heard of each other for too long, or who was left has
   * lapsed), there is nobody to return through. Of those that meet and could go on, one does, and the others return
   * through it: one that has lapsed rather than one whose database has gone back in time, then the one with the lower
   * origin.
   */
  #carryOnIfNobodyElseCan(): void {
    const { members, connection, events, logger } = this.#library.deps;
    const state = readState(connection);
    const own = members.byNumber(state.self!);
    if (state.ready === 0 || anybodyHasTheLibrary(connection, members)) return;
    // Whoever has removed somebody and was not removed itself is there.
    if (members.removed().some(({ removal }) => members.byOrigin(removal!.by)?.removal == null)) return;
    const others = this.sessions.filter(({ closed, hasLibrary, toldOrigin }) => !closed && hasLibrary && toldOrigin);
    if (others.some(({ peerRemoval }) => peerRemoval === null)) return;
    const rivals = others.filter(({ peerRemoval }) => mayReturn(peerRemoval!));
    const rank = (origin: string, { kind }: Removal) => `${kind === "lapsed" ? 0 : 1} ${origin}`;
    if (rivals.some((it) => rank(it.toldOrigin!, it.peerRemoval!) < rank(own.origin, own.removal!))) return;
    // One that may be about to go on itself has to be met first; who was reset meanwhile, does not.
    const met = new Set(this.sessions.map(({ closed, peerDevice }) => (closed ? null : peerDevice)));
    const absent = members.counted().some(({ removal, deviceId }) => {
      if (removal === null || removal.kind === "replaced" || !mayReturn(removal)) return false;
      return deviceId !== own.deviceId && !met.has(deviceId);
    });
    if (absent && rivals.length === 0) return;
    this.#onboarding = carryOn(this.#library)
      .then(
        ({ origin, deviceId }) => {
          events.emit("memberJoined", { origin, deviceId, sponsor: own.origin });
          events.emit("memberReturned", { origin, deviceId, former: own.origin });
          this.#introduceAnew(null);
          return true;
        },
        (error: unknown) => {
          logger.warn("This device could not go on under a new origin yet", { error });
          return false;
        },
      )
      .then((done) => {
        this.#onboarding = null;
        // It is tried again at the next heartbeat.
        if (done) this.changed();
      });
  }

  /** Issues again what was put aside when this device lost its last origin, once the library is here. */
  #reissue(): void {
    const { connection, members, events, logger } = this.#library.deps;
    if (this.#reissuing || !anyUnsent(connection)) return;
    this.#reissuing = true;
    reissueUnsent(this.#library)
      .then(({ issued, reported }) => {
        const self = members.byNumber(readState(connection).self!);
        logger.info("What had not been sent was issued again", { issued, reported });
        events.emit("unsentReissued", { origin: self.origin, issued, reported });
      })
      .catch((error: unknown) => logger.warn("What had not been sent could not be issued again yet", { error }))
      .finally(() => {
        this.#reissuing = false;
        for (const session of this.#sessions) session.wake();
        this.#tellReadyAgain();
      });
  }

  async #backfillFrom(session: Session): Promise<void> {
    const offered = this.#scheduler();
    const scheduler = offered === undefined || offered === this.#distrusted ? sequentialBackfill : offered;
    this.#backfill = new Backfill({
      library: this.#library,
      scheduler,
      first: session.backfillSource,
      sources: () =>
        this.#servers()
          .filter(({ peer }) => peer !== null)
          .map(({ backfillSource }) => backfillSource),
    });
    try {
      await this.#backfill.run();
    } catch (error) {
      if (isTidemarkError(error, "TIDEMARK_BACKFILL_SCHEDULER_FAILED")) {
        this.#distrusted = scheduler;
        this.#library.deps.logger.error("A scheduler of backfills has failed, and is not used any more", { error });
      }
      throw error;
    } finally {
      this.#backfill = null;
    }
  }

  /**
   * Devices that want everything anew from each other would wait for ever, because none of them serves meanwhile. The one
   * with the lower id puts it off and serves first. What it has merged so far is true, and it asks again afterwards. Who
   * has come back under a new origin has nothing to serve until its backfill is complete.
   */
  async #giveWay(session: Session): Promise<void> {
    const { settings } = this.#library.deps;
    if (settings.device.id < session.peerDevice! && this.#mayPutOff()) await this.#putOffFullBackfill();
  }

  /** Who was to give everything anew was reset or removed since, and so was everybody else: they come back through this device. */
  #stayIfNobodyElseHasTheLibrary(): void {
    const { connection, members, logger } = this.#library.deps;
    if (!this.#mayPutOff()) return;
    const { self } = readState(connection);
    if (members.present().some((member) => member.num !== self && hasTheLibrary(connection, members, member))) return;
    this.#onboarding = this.#putOffFullBackfill()
      .then(
        () => true,
        (error: unknown) => {
          logger.warn("A full backfill that nobody can serve could not be put off yet", { error });
          return false;
        },
      )
      .then((done) => {
        this.#onboarding = null;
        // It is tried again at the next heartbeat.
        if (done) this.changed();
      });
  }

  /** Whether this device makes a full backfill, and had the library before. */
  #mayPutOff(): boolean {
    const { connection, members } = this.#library.deps;
    if (loadBackfill(connection)?.mode !== "full") return false;
    return hasTheLibrary(connection, members, members.byNumber(readState(connection).self!));
  }

  async #putOffFullBackfill(): Promise<void> {
    await this.#library.write("put off a full backfill", ({ db }) => endBackfill(db));
    await this.#library.deps.fence.cover();
    for (const other of this.sessions) if (!other.closed) other.tellReady();
  }

  /** Asks one peer after the other until nothing is damaged any more: the first may be behind this device itself. */
  #restore(): void {
    if (this.#restoring || !anyDamaged(this.#library.deps.connection)) return;
    const sessions = this.sessions.filter(({ peerReady, closed, peer }) => peerReady && !closed && peer !== null);
    this.#restoring = true;
    keepWhatNobodyHas(this.#library)
      .then(() => this.#restoreFrom(sessions))
      .catch((error: unknown) => this.#library.deps.logger.warn("Records could not be restored yet", { error }))
      .finally(() => {
        this.#restoring = false;
        for (const other of this.#sessions) other.wake();
        this.#tellReadyAgain();
      });
  }

  /** Peers that could not be served while something was not as the library has it. */
  #tellReadyAgain(): void {
    const { connection } = this.#library.deps;
    // After each round; and nearly never is anybody put off.
    if (!this.sessions.some(({ isPutOff }) => isPutOff)) return;
    if (!this.#running || readState(connection).ready === 0 || isUnsettled(connection)) return;
    for (const session of this.#sessions) session.tellReadyAgain();
  }

  async #restoreFrom(sessions: readonly Session[]): Promise<void> {
    for (const session of sessions) {
      if (!anyDamaged(this.#library.deps.connection)) return;
      if (session.closed) continue;
      try {
        await session.restore();
      } catch (error) {
        if (!isTidemarkError(error, "TIDEMARK_PEER_NOT_READY")) session.fail(error);
      }
    }
  }

  #scheduleHeartbeat(): void {
    const { clock, settings } = this.#library.deps;
    this.#heartbeat = clock.setTimeout(() => {
      this.#scheduleHeartbeat();
      this.#beat();
    }, settings.replication.heartbeatMs);
  }

  /**
   * Tells the own vector to all peers, or the others could never forget anything. Its own entry is the clock's high-water
   * mark, which has passed every stamp that was merged here, so a device that only listens advances too.
   */
  #beat(): void {
    const { registry, logger } = this.#library.deps;
    this.#restore();
    lookForLapsed(this.#library)
      .then(() => this.changed())
      .catch((error: unknown) => logger.warn("Who has lapsed could not be looked for", { error }))
      .finally(() => {
        for (const session of this.#sessions) session.tellVector();
      });
    this.#library.retryParked("deferred", registry.models).catch((error: unknown) => {
      logger.warn("Deferred records could not be tried again", { error });
    });
  }
}

/** How long the loser of two sessions between the same devices stays away. */
const TWIN_RETRY_MS = 60_000;
