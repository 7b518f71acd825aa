import {
  type Authenticator,
  type CloseReason,
  isTidemarkError,
  type PeerState,
  type Subscription,
  type TidemarkError,
  type TransportConnection,
} from "@tidemark/plugin-api";
import { readState } from "../storage/log-transaction.js";
import type { Member, Removal } from "../storage/members.js";
import { findBounds } from "./backfill-bounds.js";
import { type BackfillPage, backfillTotals, readBackfillPage, readRecords } from "./backfill-page.js";
import type { BackfillSource } from "./backfill-source.js";
import { CatchUp } from "./catch-up.js";
import { isUnsettled, ownVector } from "./change-page.js";
import { ChangeStream, PAGE_BYTES } from "./change-stream.js";
import type { ComparedPeer } from "./comparison.js";
import { answerComparison } from "./comparison-serving.js";
import { recordCountOf } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import { framesOf, MAX_INTRODUCTION_BYTES, MAX_MESSAGE_BYTES, MessageAssembler } from "./frames.js";
import { authenticate, type Introduction } from "./handshake.js";
import type { LocalLibrary } from "./local-library.js";
import { fromWireVector, nextOrigin, sponsor, toWireVector, wireMembers } from "./membership.js";
import { deflated, inflated } from "./message-forms.js";
import { checkTimes } from "./message-times.js";
import { decodeMessage, encodeMessage, type Message, type MessageOf } from "./messages.js";
import { loadPeer, type PeerRecord, updatePeer } from "./peer-store.js";
import { learnRemovals, settledEntries, wireRemovals } from "./removals.js";
import { restoreRecords } from "./restore.js";
import { isSettledByAll } from "./stable-point.js";
import { HeardIdentities, type Note, ToldIdentities } from "./told-identities.js";
import type { WireGroup } from "./wire-records.js";

/**
 * One connection to one peer, from its first frame to its last. It introduces both ends to each other, then serves what
 * the peer asks for and applies what the peer sends. A malformed or hostile frame costs its sender the session and
 * nobody else anything.
 */
export interface SessionOptions {
  readonly connection: TransportConnection;
  readonly library: LocalLibrary;
  readonly authenticator: Authenticator;
  readonly observer: SessionObserver;
}

/** Who looks after all sessions. */
export interface SessionObserver {
  /** Both ends know each other. False: there is another session with this peer, and this one is to end. */
  introduced(session: Session): boolean;
  /** Something has been learnt that other sessions may have waited for: a member, readiness. */
  changed(): void;
  /** The session has failed; what is done about it. */
  failed(session: Session, error: TidemarkError): Promise<{ readonly retryMs: number | null }>;
  ended(session: Session, reason: string): void;
  /** Records of the peer have been merged, and are news for the others. */
  merged(session: Session): void;
  /** The peer has become a member here, which the others are to hear at once: then they can serve it too. */
  sponsored(session: Session): void;
  /** The peer has told what it and others have. */
  heard(): void;
}

interface PendingRequest {
  /** What answers it. */
  readonly answer: Message["t"];
  readonly resolve: (answer: { readonly answer: Message; readonly bytes: number }) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: Subscription;
}

/** Requests of the peer that may be in work at once; more is not a peer of this protocol. */
const MAX_SERVED_AT_ONCE = 16;

export class Session {
  readonly #options: SessionOptions;
  readonly #library: LocalLibrary;
  readonly #connection: TransportConnection;
  readonly #assembler = new MessageAssembler();
  readonly #requests = new Map<string, PendingRequest>();
  #nextRequest = 0;
  #introducing: { readonly inbox: Message[]; wake: (() => void) | null } | null = { inbox: [], wake: null };
  #peer: Introduction | null = null;
  #introducedAs: string | null = null;
  /** The removals that the peer has been told. */
  #toldRemovals = "";
  #stream: ChangeStream | null = null;
  #catchUp: CatchUp | null = null;
  #pages: Promise<void> = Promise.resolve();
  #queuedBytes = 0;
  #serving = 0;
  /** How many records of a model the next page of a backfill may hold, by how large the last one was. */
  readonly #fitting = new Map<string, number>();
  /** What the peer was told in the backfill that it makes here; null while it makes none. */
  #told: ToldIdentities | null = null;
  readonly #heard = new HeardIdentities();
  #state: PeerState = "uninitialized";
  #pulling = false;
  /** What a peer that wants to come back was, which can't be before that removal is settled everywhere, and is to be. */
  #waitsFor: { readonly former: string; readonly origin: string } | null = null;
  /** Whether the peer was told that it can't be served now, and waits for the word that it can. */
  #putOff = false;
  /** Whether the pull has been answered by a page. */
  #pagesCame = false;
  #closed = false;
  #timer: Subscription | null = null;
  #source: BackfillSource | null = null;
  #planning: Promise<MessageOf<"backfill-plan">> | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#library = options.library;
    this.#connection = options.connection;
  }

  get address(): string {
    return this.#connection.address;
  }

  get dialled(): boolean {
    return this.#connection.dialled;
  }

  /** Origin id of the peer; null before it has introduced itself, and while it is not a member, or none any more. */
  get peer(): string | null {
    const origin = this.#peer?.origin ?? null;
    return origin !== null && this.#library.deps.members.byOrigin(origin)?.removal ? null : origin;
  }

  /** The peer's removal, if what it said it is has been removed. */
  get peerRemoval(): Removal | null {
    const origin = this.#peer?.origin ?? this.#peer?.toldOrigin ?? null;
    return origin === null ? null : (this.#library.deps.members.byOrigin(origin)?.removal ?? null);
  }

  /** Whether one of both has been removed since they introduced themselves: then they have to do so anew. */
  get isOutdated(): boolean {
    return this.#introducedAs !== null && this.#introducedAs !== this.#standing();
  }

  get peerDevice(): string | null {
    return this.#peer?.deviceId ?? null;
  }

  /** How far the peer's clock is ahead of ours, by its introduction. */
  get clockDriftMs(): number {
    return this.#peer?.driftMs ?? 0;
  }

  /** Whether the peer serves the library. */
  get peerReady(): boolean {
    return this.#peer?.ready === true && this.peerRemoval === null;
  }

  /** Whether the peer has the whole library, member or not, and though it may not serve it at present. */
  get hasLibrary(): boolean {
    return this.#peer?.hasLibrary ?? false;
  }

  /** What the peer says it is, or was. */
  get toldOrigin(): string | null {
    return this.#peer?.toldOrigin ?? null;
  }

  /** Whether the peer says that it is a member, and its join was never heard of here, nor a removal. */
  get claimsUnknown(): boolean {
    const told = this.toldOrigin;
    const member = told === null ? undefined : this.#library.deps.members.byOrigin(told);
    return told !== null && (member?.joinHlc ?? null) === null && (member?.removal ?? null) === null;
  }

  get state(): PeerState {
    return this.#state;
  }

  get phase(): "backfill" | "catch-up" | "live" {
    return this.#state === "backfilling" ? "backfill" : (this.#catchUp?.phase ?? "catch-up");
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the peer is sent what is new here at once. */
  get sends(): boolean {
    return !this.#closed && this.#stream !== null && this.#stream.takesNews;
  }

  /** Whether the peer waits for the word that it can be served. */
  get isPutOff(): boolean {
    return this.#putOff;
  }

  /** Takes the connection over; call once. */
  open(): void {
    this.#connection.open({
      onFrame: (frame) => this.#onFrame(frame),
      onDrain: () => this.#stream?.wake(),
      onClose: (reason) => this.#onClose(reason),
    });
    this.#introduce().catch((error: unknown) => this.#fail(error));
  }

  /** Local changes, or a change of what the peer is to hear. */
  wake(): void {
    this.#stream?.wake();
  }

  /** Tells the peer who has been removed, unless it was told so. */
  tellRemovals(): void {
    if (this.#introducedAs === null || this.#closed) return;
    const removals = wireRemovals(this.#library.deps.members);
    const telling = JSON.stringify(removals);
    if (telling === this.#toldRemovals) return;
    this.#toldRemovals = telling;
    try {
      this.#send({ t: "removals", removals });
    } catch (error) {
      this.#fail(error);
    }
  }

  tellVector(): void {
    this.#stream?.tellVector();
  }

  /** Tells the peer what is here, unless it was told just that. */
  tellNews(): void {
    this.#stream?.tellNews();
  }

  /** Tells the peer that this device serves the library now. */
  tellReady(): void {
    if (this.#peer === null || this.#closed) return;
    try {
      this.#send({ t: "ready" });
    } catch (error) {
      // A connection that has gone is no reason why the others should not hear.
      this.#fail(error);
    }
  }

  /** Tells a peer that was put off that it can be served now; it asks again on no other occasion. */
  tellReadyAgain(): void {
    if (!this.#putOff || this.#closed || (this.peer !== null && this.#member() === null)) return;
    try {
      if (!this.#canReturn()) return;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#putOff = false;
    this.tellReady();
  }

  /** Begins to pull, unless this session does so already, or can't yet. */
  async pull(): Promise<void> {
    const { connection, members } = this.#library.deps;
    const peer = this.#member();
    if (this.#pulling || this.#closed || peer === null || !this.peerReady) return;
    const state = readState(connection);
    if (state.self === null || state.ready === 0) return;
    this.#pulling = true;
    this.#pagesCame = false;
    // A page that is still on its way may name what was heard before it.
    if (![...this.#requests.values()].some(({ answer }) => answer === "backfill-rows")) this.#heard.forget();
    const stored = loadPeer(connection, peer.num);
    const logId = this.#peer!.logId;
    await this.#setState("catching-up");
    await this.#library.deps.fence.cover();
    if (this.#closed) return;
    this.#catchUp = new CatchUp({ library: this.#library, peer: peer.origin, logId });
    this.#send({
      t: "pull",
      logId,
      position: stored.logId === logId ? stored.position : 0,
      vector: toWireVector(ownVector(connection), members),
    });
  }

  /** The peer as a source of a backfill; always the same one. */
  get backfillSource(): BackfillSource {
    this.#source ??= {
      peer: this.peer!,
      begin: () => this.#setBackfilling(),
      plan: () => {
        this.#planning ??= this.#ask("backfill", { t: "backfill" }, "backfill-plan").finally(() => {
          this.#planning = null;
        });
        return this.#planning;
      },
      page: ({ model, stretch: [after, upTo], limit, maxBytes }) => {
        this.#nextRequest += 1;
        const request = this.#nextRequest;
        return this.#askSized(
          `request ${request}`,
          { t: "backfill-page", request, model, after, upTo, limit, ...(maxBytes !== undefined && { maxBytes }) },
          "backfill-rows",
        );
      },
      bounds: async (model, { stretch: [after, upTo], every, limit }) => {
        this.#nextRequest += 1;
        const request = this.#nextRequest;
        const survey = { t: "backfill-survey", request, model, after, upTo, every, limit } as const;
        return (await this.#ask(`request ${request}`, survey, "backfill-bounds")).bounds;
      },
      fetch: (model, records) => this.#fetch(model, records),
      fail: (error) => this.#fail(error),
    };
    return this.#source;
  }

  /** Fetches records that refused local changes have damaged. */
  async restore(): Promise<void> {
    if (this.#closed || this.#member() === null || !this.peerReady) return;
    await restoreRecords(this.#library, this.peer!, (model, records) => this.#fetch(model, records));
  }

  /** The peer as the other side of a comparison. */
  comparedPeer(): ComparedPeer {
    const next = () => {
      this.#nextRequest += 1;
      return this.#nextRequest;
    };
    return {
      peer: this.peer!,
      appliedUpTo: () => this.#stream?.appliedUpTo ?? null,
      nudge: () => this.wake(),
      digests: (question) => {
        const request = next();
        return this.#ask(`request ${request}`, { t: "digests", request, ...question }, "digested");
      },
      list: (question) => {
        const request = next();
        return this.#ask(`request ${request}`, { t: "list", request, ...question }, "listed");
      },
      fetch: (model, records) => this.#fetch(model, records),
    };
  }

  #fetch(model: string, records: readonly string[]): Promise<MessageOf<"fetched">> {
    this.#nextRequest += 1;
    const request = this.#nextRequest;
    return this.#ask(`request ${request}`, { t: "fetch", request, model, records: [...records] }, "fetched");
  }

  /** Asks for a membership; `replaces` is the origin that was removed, if this device comes back under a new one. */
  async join(replaces: string | null): Promise<MessageOf<"joined">> {
    const { settings, members, random, fence } = this.#library.deps;
    const { id: deviceId, name } = settings.device;
    const origin = await this.#library.write("next origin", ({ db }) => nextOrigin(db, members, random));
    await fence.cover();
    const granted = await this.#ask("join", { t: "join", deviceId, name, origin, replaces }, "joined");
    const self = granted.members.find((member) => member.origin === origin);
    if (granted.origin !== origin || self?.deviceId !== deviceId) {
      throw replicationErrors.malformed({ reason: "the membership that it grants is not one of this device" });
    }
    return granted;
  }

  /** What both ends are to each other has changed to the better, and needs no new introduction. */
  standAnew(): void {
    this.#introducedAs = this.#standing();
  }

  /** A peer whose changes are being pulled meanwhile stays in that state. */
  async #setBackfilling(): Promise<void> {
    if (!this.#pulling) await this.#setState("backfilling");
  }

  /** Ends the session in good order. */
  close(reason: string, retryMs: number | null): void {
    if (this.#closed) return;
    try {
      this.#send({ t: "bye", code: "TIDEMARK_SESSION_ENDED", reason, retryMs });
    } catch {
      // The other end is gone already.
    }
    this.#end(reason, retryMs);
  }

  /** Ends the session because of an error, which is told to the peer and decided upon. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  async #introduce(): Promise<void> {
    const { settings, clock } = this.#library.deps;
    this.#timer = clock.setTimeout(
      () =>
        this.#fail(
          replicationErrors.timedOut({ request: "introduction", timeoutMs: settings.replication.requestTimeoutMs }),
        ),
      settings.replication.requestTimeoutMs,
    );
    const peer = await authenticate({
      library: this.#library,
      authenticator: this.#options.authenticator,
      dialled: this.#connection.dialled,
      send: (message) => this.#send(message),
      next: () => this.#nextIntroduction(),
    });
    this.#timer.dispose();
    if (this.#closed) {
      // What it has told of removals counts all the same.
      this.#options.observer.changed();
      return;
    }
    this.#peer = peer;
    this.#introducedAs = this.#standing();
    this.#toldRemovals = JSON.stringify(peer.removals);
    // It may have become so while the peer took its time to answer.
    if (!peer.toldReady && readState(this.#library.deps.connection).ready === 1) this.tellReady();
    const rest = this.#introducing!.inbox;
    this.#introducing = null;
    const member = this.#member();
    if (member !== null) this.#state = loadPeer(this.#library.deps.connection, member.num).state;
    if (!this.#options.observer.introduced(this)) return;
    for (const message of rest) this.#dispatch(message, 0);
  }

  #nextIntroduction(): Promise<Message> {
    const introducing = this.#introducing!;
    return new Promise((resolve) => {
      const take = () => {
        const message = introducing.inbox.shift();
        if (message === undefined) introducing.wake = take;
        else {
          introducing.wake = null;
          resolve(message);
        }
      };
      take();
    });
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#closed) return;
    let message: Message;
    try {
      const limit = this.#introducing === null ? MAX_MESSAGE_BYTES : MAX_INTRODUCTION_BYTES;
      const sent = this.#assembler.take(frame, limit);
      if (sent === null) return;
      const whole = inflated(sent, limit);
      message = decodeMessage(whole, this.#heard);
      if (message.t === "bye") {
        this.#onBye(message);
        return;
      }
      if (this.#introducing !== null) {
        if (this.#introducing.inbox.length > 8)
          throw replicationErrors.malformed({ reason: "a message before the introduction" });
        this.#introducing.inbox.push(message);
        this.#introducing.wake?.();
        return;
      }
      this.#dispatch(message, whole.length);
    } catch (error) {
      this.#fail(error);
    }
  }

  #dispatch(message: Message, bytes: number): void {
    checkTimes(message, this.#library.maxHlc);
    switch (message.t) {
      case "page":
        this.#queuePage(message, bytes);
        return;
      case "applied":
        if (this.#stream === null) throw replicationErrors.malformed({ reason: "it has applied what nobody sent" });
        this.#stream.applied(message.n);
        return;
      case "pull":
        // Its backfill is over.
        this.#told = null;
        this.#serve(() => this.#startStream(message));
        return;
      case "ready":
        this.#peer!.ready = true;
        this.#peer!.hasLibrary = true;
        this.#options.observer.changed();
        return;
      case "snapshot-required":
        if (!this.#pulling || this.#pagesCame) {
          throw replicationErrors.malformed({ reason: "a snapshot is required of nobody who pulls" });
        }
        this.#serve(() => this.#onSnapshotRequired());
        return;
      case "removals":
        this.#serve(async () => {
          await learnRemovals(this.#library, message.removals);
          this.#options.observer.changed();
        });
        return;
      case "join":
        if (message.deviceId !== this.peerDevice || this.peer !== null) {
          throw replicationErrors.malformed({ reason: "it asks for another device, or for what it is already" });
        }
        this.#serve(() => this.#sponsor(message));
        return;
      case "backfill":
        this.#told = new ToldIdentities();
        this.#serve(() => this.#sendPlan());
        return;
      case "backfill-page":
        this.#serve(() => this.#sendBackfillPage(message));
        return;
      case "backfill-survey":
        this.#serve(() => this.#sendBounds(message));
        return;
      case "fetch":
        this.#serve(() => this.#sendRecords(message));
        return;
      case "digests":
      case "list":
        this.#serve(() => this.#sendComparison(message));
        return;
      case "joined":
        this.#answer("join", message, bytes);
        return;
      case "backfill-plan":
        this.#answer("backfill", message, bytes);
        return;
      case "backfill-rows":
      case "backfill-bounds":
      case "fetched":
      case "digested":
      case "listed":
        this.#answer(`request ${message.request}`, message, bytes);
        return;
      case "refused":
        this.#onRefused(message);
        return;
      default:
        throw replicationErrors.malformed({ reason: `a "${message.t}" after the introduction` });
    }
  }

  // Serving

  #serve(work: () => Promise<void>): void {
    if (this.#serving >= MAX_SERVED_AT_ONCE) throw replicationErrors.malformed({ reason: "too many requests at once" });
    this.#serving += 1;
    work()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#serving -= 1;
      });
  }

  async #startStream(message: MessageOf<"pull">): Promise<void> {
    const { connection, members } = this.#library.deps;
    const state = readState(connection);
    const peer = this.#member();
    if (state.ready === 0 || peer === null) {
      this.#refuse(null);
      return;
    }
    const receiver = fromWireVector(message.vector, members);
    // Below the floor nothing is left to send; the receiver would have a gap without knowing.
    const gap = members
      .present()
      .some((member) => member.num !== peer.num && (receiver.get(member.num) ?? member.joinHlc!) < state.floor);
    if (gap) {
      this.#send({ t: "snapshot-required", floor: state.floor });
      return;
    }
    this.#stream?.close();
    this.#stream = new ChangeStream({
      library: this.#library,
      peer: peer.origin,
      position: message.logId === state.log_id ? message.position : 0,
      receiver,
      send: (message) => this.#sendEncoded(message),
      bufferedBytes: () => this.#connection.bufferedBytes,
      onError: (error) => this.#fail(error),
    });
    this.#stream.wake();
  }

  async #sponsor(message: MessageOf<"join">): Promise<void> {
    const { members, fence, connection, events } = this.#library.deps;
    const { deviceId, name, origin, replaces } = message;
    const state = readState(connection);
    if (state.self === null || state.ready === 0 || this.#ownRemoval() !== null) {
      this.#refuse(null);
      return;
    }
    const known = members.byOrigin(origin);
    if (known !== undefined && (known.removal !== null || known.deviceId !== deviceId)) {
      throw replicationErrors.malformed({ reason: "it asks to be a member that it can't be" });
    }
    this.#waitsFor = replaces === null ? null : { former: replaces, origin };
    if (!this.#canReturn()) {
      this.#refuse(null);
      return;
    }
    const { hlc, first, own } = await this.#library.write(`join of ${deviceId}`, (tx) => ({
      ...sponsor({ tx, members, device: { deviceId, name }, origin }),
      own: members.byNumber(tx.self!).origin,
    }));
    await fence.cover();
    this.#waitsFor = null;
    this.#peer!.origin = origin;
    // What a device has that comes back is what it had before, until it has received everything anew.
    if (replaces !== null) {
      this.#peer!.ready = false;
      this.#peer!.hasLibrary = false;
    }
    this.standAnew();
    this.#send({ t: "joined", origin, hlc, members: wireMembers(members), settled: settledEntries(members) });
    if (first) events.emit("memberJoined", { origin, deviceId, sponsor: own });
    this.#options.observer.changed();
    this.#options.observer.sponsored(this);
  }

  async #sendPlan(): Promise<void> {
    const { connection, members, registry, reader, fence } = this.#library.deps;
    const state = readState(connection);
    if (state.ready === 0 || this.#member() === null || isUnsettled(connection)) {
      this.#refuse(null);
      return;
    }
    const plan = await this.#library.write("backfill plan", (tx) => {
      tx.save();
      return {
        vector: ownVector(tx.db),
        floor: tx.floor,
        totals: backfillTotals(tx.db, registry, (model) => reader.count(tx.db, model)),
      };
    });
    await fence.cover();
    this.#send({
      t: "backfill-plan",
      vector: toWireVector(plan.vector, members),
      floor: plan.floor,
      totals: plan.totals,
      members: wireMembers(members),
    });
  }

  async #sendBackfillPage(message: MessageOf<"backfill-page">): Promise<void> {
    const { clock, connection, fence, events, registry } = this.#library.deps;
    if (readState(connection).ready === 0 || this.#member() === null || isUnsettled(connection)) {
      this.#refuse(message.request);
      return;
    }
    // A page is as long as was asked for, unless its values are large; then the next one probably is so too.
    const maxBytes = Math.min(message.maxBytes ?? PAGE_BYTES, PAGE_BYTES);
    let limit = Math.min(message.limit, this.#fitting.get(message.model) ?? message.limit);
    const told = this.#told;
    let page: BackfillPage;
    let encoded: Uint8Array;
    for (;;) {
      page = await this.#library.read(`backfill of ${message.model}`, (db) =>
        readBackfillPage({
          db,
          model: message.model,
          after: message.after,
          upTo: message.upTo,
          limit,
          deps: this.#library.encodeDeps,
        }),
      );
      await fence.cover();
      // Packing takes as long as reading: others get their turn in between.
      await new Promise<void>((resolve) => clock.setImmediate(resolve));
      if (this.#closed) return;
      // From here on nothing is awaited: numbers are good for the order in which messages are sent.
      encoded = encodeMessage(
        {
          t: "backfill-rows",
          request: message.request,
          records: { origins: [...page.records.origins], groups: [...page.records.groups] },
          upTo: page.upTo,
          floor: page.floor,
        },
        told === null || told !== this.#told ? undefined : { told, mark: (group) => this.#markFor(group) },
      );
      if (encoded.length <= maxBytes || limit === 1) break;
      limit = Math.max(1, Math.floor(limit / 4));
    }
    if (registry.byName.has(message.model)) {
      this.#fitting.set(message.model, encoded.length > maxBytes / 8 ? limit : limit * 2);
    }
    const bytes = this.#sendEncoded(encoded);
    if (told !== null && told === this.#told) {
      for (const group of page.records.groups) if (this.#markFor(group) !== null) told.note(group.k!.identities);
    }
    const records = recordCountOf(page.records);
    events.emit("pageServed", { peer: this.peer!, phase: "backfill", records, bytes });
  }

  /** Identities are worth counting where others may refer to them. */
  #markFor({ m, k }: WireGroup): Note | null {
    const model = this.#library.deps.registry.byName.get(m);
    if (this.#told === null || k === undefined || !model || model.referencedBy.length === 0) return null;
    return this.#told.markFor(k.identities);
  }

  async #sendBounds({ request, model, after, upTo, every, limit }: MessageOf<"backfill-survey">): Promise<void> {
    const { connection } = this.#library.deps;
    if (readState(connection).ready === 0 || this.#member() === null) {
      this.#refuse(request);
      return;
    }
    const survey = { stretch: [after, upTo], every, limit } as const;
    const bounds = await findBounds(this.#library, model, survey, () => this.#closed);
    if (!this.#closed) this.#send({ t: "backfill-bounds", request, bounds: [...bounds] });
  }

  async #sendRecords(message: MessageOf<"fetch">): Promise<void> {
    const { fence, connection } = this.#library.deps;
    if (readState(connection).ready === 0 || this.#member() === null) {
      this.#refuse(message.request);
      return;
    }
    const found = await this.#library.read(`records of ${message.model}`, (db) =>
      readRecords({ db, model: message.model, records: message.records, deps: this.#library.encodeDeps }),
    );
    await fence.cover();
    this.#send({
      t: "fetched",
      request: message.request,
      records: { origins: [...found.records.origins], groups: [...found.records.groups] },
      absent: [...found.absent],
      floor: found.floor,
    });
  }

  async #sendComparison(message: MessageOf<"digests"> | MessageOf<"list">): Promise<void> {
    const { connection, fence } = this.#library.deps;
    if (readState(connection).ready === 0 || this.#member() === null) {
      this.#refuse(message.request);
      return;
    }
    // What is on its way keeps the peer from comparing; it may as well go.
    this.#stream?.wake();
    const answer = await answerComparison(
      this.#library,
      (sequence) => (this.#stream?.appliedUpTo ?? -1) >= sequence,
      message,
    );
    await fence.cover();
    if (!this.#closed) this.#send(answer);
  }

  /** There is nothing to serve with at present; the peer is told when there is. */
  #refuse(request: number | null): void {
    const { code, why } = replicationErrors.notReady();
    this.#putOff = true;
    this.#send({ t: "refused", request, code, reason: why });
  }

  // Receiving

  #queuePage(message: MessageOf<"page">, bytes: number): void {
    const catchUp = this.#catchUp;
    if (catchUp === null) throw replicationErrors.malformed({ reason: "a page that nobody asked for" });
    this.#pagesCame = true;
    const { windowBytes, maxFrameBytes } = this.#library.deps.settings.replication;
    this.#queuedBytes += bytes;
    if (this.#queuedBytes > 2 * windowBytes + 2 * maxFrameBytes) {
      throw replicationErrors.malformed({ reason: "more pages than the window allows" });
    }
    this.#pages = this.#pages
      .then(async () => {
        if (this.#closed) return;
        if (this.#member() === null) return;
        const { ended, joined, removed, stamped } = await catchUp.apply(message);
        this.#queuedBytes -= bytes;
        if (message.records.groups.length > 0) this.#options.observer.merged(this);
        if (this.#closed) return;
        // What the peer has need not be sent back to it.
        if (message.end !== null) {
          this.#stream?.acknowledged(fromWireVector(message.end.vector, this.#library.deps.members));
        }
        this.#send({ t: "applied", n: message.n });
        if (stamped) this.wake();
        if (ended && this.#state !== "ready") await this.#setState("ready");
        for (const member of joined) {
          this.#library.deps.events.emit("memberJoined", {
            origin: member.origin,
            deviceId: member.deviceId,
            sponsor: member.sponsor,
          });
        }
        if (joined.length > 0 || removed) this.#options.observer.changed();
        if (ended) this.#options.observer.heard();
      })
      .catch((error: unknown) => this.#fail(error));
  }

  async #onSnapshotRequired(): Promise<void> {
    const peer = this.#member();
    if (peer === null) return;
    await this.#library.write("snapshot required", (tx) => updatePeer(tx.db, peer.num, { fullBackfill: true }));
    this.#pulling = false;
    this.#catchUp = null;
    this.#options.observer.changed();
  }

  #onRefused(message: MessageOf<"refused">): void {
    const error = replicationErrors.refused({ code: message.code, reason: message.reason });
    if (message.request !== null) {
      const request = this.#settle(`request ${message.request}`);
      if (request === undefined) throw replicationErrors.malformed({ reason: "it refuses what nobody asked for" });
      // It says so when it is.
      if (isTidemarkError(error, "TIDEMARK_PEER_NOT_READY")) this.#peer!.ready = false;
      request.reject(error);
      return;
    }
    for (const name of ["join", "backfill"]) this.#settle(name)?.reject(error);
    this.#pulling = false;
    this.#peer!.ready = false;
  }

  // Requests of this side

  async #ask<T extends Message["t"]>(name: string, message: Message, answer: T): Promise<MessageOf<T>> {
    return (await this.#askSized(name, message, answer)).answer;
  }

  /** The answer, and how long it was. */
  #askSized<T extends Message["t"]>(
    name: string,
    message: Message,
    answer: T,
  ): Promise<{ readonly answer: MessageOf<T>; readonly bytes: number }> {
    const { clock, settings } = this.#library.deps;
    const timeoutMs = settings.replication.requestTimeoutMs;
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(replicationErrors.sessionLost({ reason: "it has ended" }));
        return;
      }
      const timer = clock.setTimeout(
        () => this.#settle(name)?.reject(replicationErrors.timedOut({ request: name, timeoutMs })),
        timeoutMs,
      );
      // Only what has this type resolves it.
      this.#requests.set(name, { answer, resolve: resolve as PendingRequest["resolve"], reject, timer });
      try {
        this.#send(message);
      } catch (error) {
        // The connection has gone, and the news of it is still on its way.
        this.#settle(name);
        reject(replicationErrors.sessionLost({ reason: error instanceof Error ? error.message : String(error) }));
      }
    });
  }

  #settle(name: string): PendingRequest | undefined {
    const request = this.#requests.get(name);
    this.#requests.delete(name);
    request?.timer.dispose();
    return request;
  }

  #answer(name: string, message: Message, bytes: number): void {
    // None can come too late: a request that has timed out ends the session.
    if (this.#requests.get(name)?.answer !== message.t) {
      throw replicationErrors.malformed({ reason: `a "${message.t}" that nobody asked for` });
    }
    this.#settle(name)?.resolve({ answer: message, bytes });
  }

  // The end

  #onBye(message: MessageOf<"bye">): void {
    const reason = `the peer ended the session: ${message.reason}`;
    const { events } = this.#library.deps;
    if (this.#peer === null)
      events.emit("peerRefused", { address: this.address, code: message.code, reason: message.reason });
    this.#end(reason, message.retryMs);
  }

  #onClose(reason: CloseReason): void {
    if (this.#closed) return;
    const busy = this.#state === "backfilling" || (this.#pulling && this.#state === "catching-up");
    if (busy || reason.code === "frame-too-large") this.#fail(replicationErrors.sessionLost({ reason: reason.reason }));
    else this.#end(reason.reason, this.#library.deps.settings.replication.retryDelayMs);
  }

  #fail(cause: unknown): void {
    if (this.#closed) return;
    const error = isTidemarkError(cause) ? cause : replicationErrors.internal({ cause });
    this.#closed = true;
    this.#stream?.close();
    this.#options.observer
      .failed(this, error)
      .catch(() => ({ retryMs: this.#library.deps.settings.replication.retryDelayMs }))
      .then(({ retryMs }) => {
        try {
          this.#send({ t: "bye", code: error.code, reason: `${error.what}: ${error.why}`.slice(0, 2_000), retryMs });
        } catch {
          // The other end is gone already.
        }
        this.#closed = false;
        this.#end(error.message, retryMs);
      });
  }

  #end(reason: string, retryMs: number | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.dispose();
    this.#stream?.close();
    for (const name of [...this.#requests.keys()])
      this.#settle(name)?.reject(replicationErrors.sessionLost({ reason }));
    this.#connection.close({ reason, redial: retryMs === null ? "never" : { afterMs: retryMs } });
    this.#options.observer.ended(this, reason);
  }

  #send(message: Message): void {
    this.#sendEncoded(encodeMessage(message));
  }

  /** Returns how many bytes it took. */
  #sendEncoded(message: Uint8Array): number {
    const sent = deflated(message);
    for (const frame of framesOf(sent)) this.#connection.send(frame);
    return sent.length;
  }

  /** The peer as a member whose join has been counted here; null while it isn't one, or one of both is none any more. */
  #member(): Member | null {
    const { peer } = this;
    const member = peer === null ? undefined : this.#library.deps.members.byOrigin(peer);
    return member === undefined || member.joinHlc === null || this.#ownRemoval() !== null ? null : member;
  }

  #ownRemoval(): Removal | null {
    const { members, connection } = this.#library.deps;
    const { self } = readState(connection);
    return self === null ? null : members.byNumber(self).removal;
  }

  /** Whether the removal of what the peer was before is settled; true if there is none to wait for. */
  #canReturn(): boolean {
    if (this.#waitsFor === null) return true;
    const { members, connection } = this.#library.deps;
    const former = members.byOrigin(this.#waitsFor.former);
    if (former === undefined || former.removal === null || former.deviceId !== this.peerDevice) {
      throw replicationErrors.malformed({ reason: "it wants to replace what was never removed" });
    }
    if (former.removal.kind === "removed") {
      throw replicationErrors.memberRemoved({ device: former.deviceId, self: false });
    }
    // Somebody else may have vouched for it, and the answer was lost: of itself there is nothing to wait for.
    return isSettledByAll(connection, members, former, members.byOrigin(this.#waitsFor.origin));
  }

  /** Which of both ends have been removed. */
  #standing(): string {
    return `${this.#ownRemoval() === null} ${this.peerRemoval === null}`;
  }

  async #setState(state: PeerState): Promise<void> {
    const peer = this.#member();
    if (peer === null || this.#state === state) return;
    const previous = this.#state;
    this.#state = state;
    const { connection, events } = this.#library.deps;
    const stored: PeerRecord = loadPeer(connection, peer.num);
    if (stored.state !== state) {
      await this.#library.write(`state of ${peer.origin}`, (tx) => updatePeer(tx.db, peer.num, { state }));
    }
    events.emit("peerStateChanged", { peer: peer.origin, state, previous });
  }
}
