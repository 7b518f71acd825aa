import type { ReplicationPhase } from "@tidemark/plugin-api";
import type { Vector } from "../storage/vectors.js";
import { readChangePage } from "./change-page.js";
import { recordCountOf } from "./decode-records.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { knownVectors, toWireVector, wireMembers } from "./membership.js";
import { encodeMessage } from "./messages.js";
import { wireRemovals } from "./removals.js";

/**
 * The serving side of a pull: streams the log to one peer, page after page, round after round, for as long as the session
 * lasts. It keeps to the receiver's pace: no more than a window of bytes is on its way and not yet applied there.
 */
/** A page with more bytes is made shorter, if it has more than one record. */
export const PAGE_BYTES = 4 * 1024 * 1024;

/**
 * Pages of live changes that may be on their way at once. A receiver that takes longer over a page than it takes to make one
 * would otherwise fall ever further behind; so what comes meanwhile goes together in the next one. More than one, because
 * the way to the receiver and back may be long.
 */
const LIVE_PAGES_AT_ONCE = 4;

export interface ChangeStreamOptions {
  readonly library: LocalLibrary;
  /** Origin id of the receiver. */
  readonly peer: string;
  /** Position in the own log from which to read. */
  readonly position: number;
  /** What the receiver says it has. */
  readonly receiver: Vector;
  /** Returns how many bytes went out. */
  readonly send: (message: Uint8Array) => number;
  readonly bufferedBytes: () => number;
  /** The stream can't go on. */
  readonly onError: (error: unknown) => void;
}

export class ChangeStream {
  readonly #options: ChangeStreamOptions;
  readonly #inFlight = new Map<number, number>();
  readonly #receiver: Map<number, number>;
  /** The receiver's number here. */
  readonly #maker: number | null;
  #position: number;
  #page = 0;
  #limit: number;
  #bytes = 0;
  #running = false;
  #again = false;
  /** Whether something may wait for room in the window. */
  #waits = false;
  #closed = false;
  /** The first round after a pull is catching up; those after it are live. */
  #phase: ReplicationPhase = "catch-up";
  /** Whether the receiver is to hear the vector though there are no records: always, or only if it says something new. */
  #owes: "nothing" | "news" | "vector" = "vector";
  /** What the receiver was told last. */
  #told = "";

  constructor(options: ChangeStreamOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#receiver = new Map(options.receiver);
    // What the receiver has made it has, and would pass over. It is heard of only when a round ends, which may be long
    // after its records have come; until then they would all go back.
    const receiver = options.library.deps.members.byOrigin(options.peer);
    this.#maker = receiver?.num ?? null;
    if (receiver !== undefined) this.#receiver.set(receiver.num, Number.MAX_SAFE_INTEGER);
    this.#limit = options.library.deps.settings.replication.pageRecords;
  }

  /** The receiver has applied the log up to here; null while something is on its way. */
  get appliedUpTo(): number | null {
    return this.#closed || this.#inFlight.size > 0 ? null : this.#position;
  }

  /** Whether the receiver has been sent all that was here once, and can be sent at this moment what is new. */
  get takesNews(): boolean {
    return !this.#closed && this.#phase === "live" && this.#hasRoom();
  }

  /** Something may have been added to the log, or room in the window. */
  wake(): void {
    if (this.#closed) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#pump()
      .catch((error: unknown) => {
        if (!this.#closed) this.#options.onError(error);
      })
      .finally(() => {
        this.#running = false;
        if (this.#again) {
          this.#again = false;
          this.wake();
        }
      });
  }

  /** The receiver is to hear the vector even if there is no news: a heartbeat. */
  tellVector(): void {
    this.#owes = "vector";
    this.wake();
  }

  /**
   * The receiver is to hear the vectors if they say more than it was told last: an acknowledgement. Vectors only rise, so
   * an exchange in which every answer is news comes to an end.
   */
  tellNews(): void {
    if (this.#owes === "nothing") this.#owes = "news";
    this.wake();
  }

  /** The receiver has committed a page. Throws `TIDEMARK_WIRE_MALFORMED` if it is none that is on its way. */
  applied(page: number): void {
    const bytes = this.#inFlight.get(page);
    if (bytes === undefined) throw replicationErrors.malformed({ reason: "it has applied a page that was never sent" });
    this.#inFlight.delete(page);
    this.#bytes -= bytes;
    if (this.#waits) this.wake();
  }

  /** The receiver has acknowledged; what it has need not be sent. */
  acknowledged(vector: Vector): void {
    for (const [origin, hlc] of vector) this.#receiver.set(origin, Math.max(hlc, this.#receiver.get(origin) ?? 0));
  }

  close(): void {
    this.#closed = true;
  }

  #hasRoom(): boolean {
    const window = this.#options.library.deps.settings.replication.windowBytes;
    if (this.#phase === "live" && this.#inFlight.size >= LIVE_PAGES_AT_ONCE) return false;
    return this.#bytes < window && this.#options.bufferedBytes() < window;
  }

  async #pump(): Promise<void> {
    const { library, peer } = this.#options;
    const { settings, fence, members, events, clock } = library.deps;
    for (;;) {
      this.#waits = !this.#hasRoom();
      if (this.#closed || this.#waits) return;
      const limit = this.#limit;
      const page = await library.read(`changes for ${peer}`, (db) => {
        const changes = readChangePage({
          db,
          after: this.#position,
          limit,
          usual: settings.replication.pageRecords,
          receiver: this.#receiver,
          maker: this.#maker,
          deps: library.encodeDeps,
        });
        if (changes === null) return null;
        return { changes, vectors: changes.end === null ? {} : knownVectors(db, members, changes.end.self) };
      });
      if (this.#closed) return;
      const { changes, vectors } = page;
      const records = recordCountOf(changes.records);
      const telling =
        changes.end === null ? null : knowledgeOf(toWireVector(changes.end.vector, members), vectors, peer);
      if (records > 0) this.#owes = "vector";
      else {
        this.#position = changes.position;
        if (changes.more) {
          // There may be very much to pass over, and nothing else here waits for anything.
          await new Promise<void>((resolve) => clock.setImmediate(resolve));
          continue;
        }
        if (this.#owes === "news" && telling === this.#told) this.#owes = "nothing";
        if (telling === null || this.#owes === "nothing") return;
      }
      const message = encodeMessage({
        t: "page",
        n: this.#page + 1,
        records: { origins: [...changes.records.origins], groups: [...changes.records.groups] },
        position: changes.position,
        end:
          changes.end === null
            ? null
            : {
                vector: toWireVector(changes.end.vector, members),
                members: wireMembers(members),
                removals: wireRemovals(members),
                vectors,
              },
      });
      if (message.length > PAGE_BYTES && limit > 1) {
        this.#limit = Math.max(1, Math.floor(limit / 4));
        continue;
      }
      // Large values come and go; the next page may be longer again.
      if (message.length < PAGE_BYTES / 8) this.#limit = Math.min(this.#limit * 2, settings.replication.pageRecords);
      // Neither own changes nor the vector leave before a power loss can't take them back.
      await fence.cover();
      if (this.#closed) return;
      this.#position = changes.position;
      this.#page += 1;
      this.#inFlight.set(this.#page, message.length);
      this.#bytes += message.length;
      const bytes = this.#options.send(message);
      events.emit("pageServed", { peer, phase: this.#phase, records, bytes });
      if (changes.end !== null) {
        this.#owes = "nothing";
        this.#told = telling!;
        this.#phase = "live";
        // With the end applied the receiver has all that this vector says.
        this.acknowledged(changes.end.vector);
      }
      if (!changes.more) return;
    }
  }
}

/** All that an end says, in one string. What the receiver itself has is no news to it. */
function knowledgeOf(
  vector: Readonly<Record<string, number>>,
  vectors: Readonly<Record<string, unknown>>,
  receiver: string,
): string {
  return JSON.stringify([vector, Object.entries(vectors).filter(([origin]) => origin !== receiver)]);
}
