import { readState } from "../storage/log-transaction.js";
import { forgetUnseen, unseenModels } from "../storage/unseen.js";
import type { LocalLibrary } from "./local-library.js";
import type { Session } from "./session.js";
import { verifyWith } from "./verify.js";

/**
 * Mends what a gap in capture has left: writes that no trigger has seen, and that nothing would ever send. When a peer is
 * at rest the model is compared with it by digests, and rows that differ here are issued as changes of this device.
 */
export interface UnseenWritesDeps {
  readonly library: LocalLibrary;
  readonly sessions: () => readonly Session[];
  /** The log has grown. */
  readonly wake: () => void;
}

/** A peer that is not at rest, or of another version, is not asked again before that. */
const PAUSE_MS = 60_000;
const MOST_DIFFERENCES = 10_000;

export class UnseenWrites {
  readonly #deps: UnseenWritesDeps;
  #running = false;
  #notBeforeMs = 0;

  constructor(deps: UnseenWritesDeps) {
    this.#deps = deps;
  }

  /** A round with a peer has ended: the two may be in step. */
  look(peer: string): void {
    const { library, sessions } = this.#deps;
    const { connection, clock, logger } = library.deps;
    if (this.#running || clock.monotonicMs() < this.#notBeforeMs || unseenModels(connection).length === 0) return;
    const { self, ready } = readState(connection);
    const session = sessions().find((open) => open.peer === peer && !open.closed && open.peerReady);
    if (self === null || ready === 0 || session === undefined) return;
    this.#running = true;
    this.#mend(session)
      .catch((error: unknown) => logger.warn("Unseen writes could not be looked for yet", { peer, error }))
      .finally(() => {
        this.#running = false;
      });
  }

  async #mend(session: Session): Promise<void> {
    const { library, wake } = this.#deps;
    const { connection, registry, members, clock, logger } = library.deps;
    this.#notBeforeMs = clock.monotonicMs() + PAUSE_MS;
    for (const number of unseenModels(connection)) {
      const model = registry.byNumber.get(number);
      if (model === undefined) {
        await this.#done(number); // No longer registered: nobody is to hear of it.
        continue;
      }
      const peer = members.byOrigin(session.peer!)!;
      const { models: found, repair } = await verifyWith(library, session.comparedPeer(), peer, {
        models: [model.name],
        maxDifferences: MOST_DIFFERENCES,
        repair: "give-mine",
      });
      const { notComparable, more } = found[0]!;
      if (repair!.given + repair!.taken > 0) {
        logger.warn("Writes that had gone unseen have been found by comparing with a peer", {
          model: model.name,
          peer: session.peer,
          ...repair,
        });
        wake();
      }
      // A model of which only the beginning could be compared may differ there, and so has an outcome.
      if (notComparable === null && !more) await this.#done(number);
    }
  }

  #done(model: number): Promise<void> {
    return this.#deps.library.write("unseen writes found", (tx) => forgetUnseen(tx.db, model));
  }
}
