import type { ReplicationPhase } from "@tidemark/plugin-api";
import { type LogTransaction, readState } from "../storage/log-transaction.js";
import type { Member } from "../storage/members.js";
import { raiseVector } from "../storage/vectors.js";
import { applyPage } from "./apply-batch.js";
import { checkWireRecords, recordCountOf } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { fromWireVector, learnMembers, learnVectors } from "./membership.js";
import { type MessageOf, REMOVAL_MARK, type WireMember } from "./messages.js";
import { updatePeer } from "./peer-store.js";
import { addRemovals, tellRemovals } from "./removals.js";

/**
 * The receiving side of a pull: applies the pages of one peer in their order. The vector moves once a round, in the
 * transaction of its last page, to what the sender had when it found the end of its log; a round that breaks off has
 * brought phantoms, which are harmless, and is begun again from the last end.
 */
export class CatchUp {
  readonly #library: LocalLibrary;
  readonly #peer: string;
  readonly #logId: string;
  #phase: ReplicationPhase = "catch-up";
  #records = 0;
  #startedMs: number;
  /** What the last page without records said besides, whether it ended a round or not; it has been committed. */
  #committed = "";

  constructor({
    library,
    peer,
    logId,
  }: { readonly library: LocalLibrary; readonly peer: string; readonly logId: string }) {
    this.#library = library;
    this.#peer = peer;
    this.#logId = logId;
    this.#startedMs = library.deps.clock.monotonicMs();
  }

  get phase(): ReplicationPhase {
    return this.#phase;
  }

  /** Applies a page; true when it ended a round. */
  async apply(message: MessageOf<"page">): Promise<{
    readonly ended: boolean;
    readonly joined: readonly WireMember[];
    readonly removed: boolean;
    readonly stamped: boolean;
  }> {
    const { clock, members, events } = this.#library.deps;
    const { end } = message;
    if (this.#records === 0) this.#startedMs = clock.monotonicMs();
    const page = checkWireRecords(message.records);
    const records = recordCountOf(page);
    this.#records += records;
    let joined: readonly WireMember[] = [];
    let removed: readonly Member[] = [];
    if (end !== null) this.#checkEnd(end);
    const finish = (tx: LogTransaction) => {
      if (end === null) return;
      removed = addRemovals(tx.db, members, end.removals);
      joined = learnMembers(tx.db, members, end.members);
      const sender = members.byOrigin(this.#peer)!;
      // Nothing more is taken from who has been removed, its word on itself least of all.
      if (sender.removal !== null) throw replicationErrors.memberRemoved({ device: sender.deviceId, self: false });
      const vector = fromWireVector(end.vector, members);
      if ((vector.get(tx.self!) ?? 0) > tx.highWater) {
        throw replicationErrors.malformed({ reason: "it claims changes of this device that were never made" });
      }
      vector.delete(tx.self!);
      // What all have agreed to count of a removed origin stands: what comes above it is to be met as late.
      for (const { num, settledHlc } of members.removed()) if (settledHlc !== null) vector.delete(num);
      raiseVector(tx.db, tx.self!, vector);
      raiseVector(tx.db, sender.num, fromWireVector(end.vector, members));
      learnVectors(tx.db, members, tx.self!, end.vectors);
      updatePeer(tx.db, sender.num, {
        state: "ready",
        logId: this.#logId,
        position: message.position,
        failures: 0,
        notBefore: 0,
      });
    };
    let stamped = false;
    if (records > 0) {
      await applyPage(this.#library, {
        peer: this.#peer,
        phase: this.#phase,
        page,
        finish,
        stamped: () => {
          stamped = true;
        },
        vectorMoves: end !== null,
        ...(end !== null && { heard: this.#heard(end.vector) }),
      });
    } else {
      // All that such a page says only rises: once it is committed, the same again, which is what heartbeats bring, is no news.
      const told = JSON.stringify([readState(this.#library.deps.connection).self, message.position, end]);
      if (told !== this.#committed) await this.#library.write(`end of round from ${this.#peer}`, finish);
      this.#committed = told;
    }
    tellRemovals(this.#library, removed);
    if (end !== null) {
      events.emit("vectorAcknowledged", { peer: this.#peer });
      events.emit("roundCompleted", {
        peer: this.#peer,
        phase: this.#phase,
        records: this.#records,
        durationMs: clock.monotonicMs() - this.#startedMs,
      });
      this.#records = 0;
      this.#phase = "live";
    }
    return { ended: end !== null, joined, removed: removed.length > 0, stamped };
  }

  /** Up to where the sender has this device's changes. */
  #heard(vector: Readonly<Record<string, number>>): number {
    const { connection, members } = this.#library.deps;
    const self = readState(connection).self;
    return self === null ? 0 : (vector[members.byNumber(self).origin] ?? 0);
  }

  /** Before the first record is applied: a page is taken as a whole or not at all. */
  #checkEnd(end: NonNullable<MessageOf<"page">["end"]>): void {
    const { members } = this.#library.deps;
    const told = new Set(end.members.map(({ origin }) => origin));
    for (const { origin } of end.removals) told.add(REMOVAL_MARK + origin);
    for (const origin of Object.keys(end.vector)) {
      if (told.has(origin) || members.byOrigin(origin)?.joinHlc != null) continue;
      throw replicationErrors.malformed({ reason: `the vector names ${origin}, which is no member` });
    }
  }
}
