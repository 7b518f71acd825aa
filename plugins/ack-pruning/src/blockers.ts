// Finds the members that keep the others from forgetting for too long, and says so, but not all the time.

import type { Clock, Logger, LogMaintenance, SyncFigures } from "@tidemark/plugin-api";
import type { BlockingMember } from "./control.js";

/** How often the same member is warned of. */
const WARN_AGAIN_MS = 24 * 3_600_000;

export class Blockers {
  readonly #deps: BlockersDeps;
  readonly #warnedMs = new Map<string, number>();
  #current: readonly BlockingMember[] = [];

  constructor(deps: BlockersDeps) {
    this.#deps = deps;
  }

  get current(): readonly BlockingMember[] {
    return this.#current;
  }

  /** Looks anew. How long a member blocks is read from the log, so that a restart does not begin the count again. */
  async look(): Promise<void> {
    const { maintenance, figures, clock, logger, warnAfterMs } = this.#deps;
    const { heldBackBy } = await maintenance.stablePoint();
    if (heldBackBy.length === 0) {
      this.#current = [];
      return;
    }
    const peers = new Map((await figures.peers()).map((peer) => [peer.peer, peer]));
    this.#current = heldBackBy.flatMap(({ member, deviceId, name }) => {
      const { pending, lagMs } = peers.get(member) ?? { pending: 0, lagMs: 0 };
      if (pending === 0 || lagMs < warnAfterMs) return [];
      return [{ member, deviceId, name, sinceMs: clock.now() - lagMs, pending }];
    });
    for (const blocking of this.#current) {
      const warnedMs = this.#warnedMs.get(blocking.member);
      if (warnedMs !== undefined && clock.monotonicMs() - warnedMs < WARN_AGAIN_MS) continue;
      this.#warnedMs.set(blocking.member, clock.monotonicMs());
      logger.warn("A member keeps all others from pruning their logs: it has not acknowledged for long", {
        ...blocking,
        blockedForMs: clock.now() - blocking.sinceMs,
      });
    }
  }
}

export interface BlockersDeps {
  readonly maintenance: LogMaintenance;
  readonly figures: SyncFigures;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly warnAfterMs: number;
}
