import type { LocalRecordKey, ParkedKind, PeerFigures, RecordKeys, SyncFigures } from "@tidemark/plugin-api";
import { physicalMs } from "../clock/hybrid-logical-clock.js";
import { readState } from "../storage/log-transaction.js";
import { prepared } from "../storage/statements.js";
import { loadVector } from "../storage/vectors.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { loadPeer } from "./peer-store.js";
import type { Replicator } from "./replicator.js";

/** Look-ups and figures, as the kernel offers them to plugins. */
export function recordKeysOf({ deps }: LocalLibrary): RecordKeys {
  const modelOf = (name: string) => {
    const model = deps.registry.byName.get(name);
    if (model === undefined)
      throw replicationErrors.unknownModel({ model: name, known: [...deps.registry.byName.keys()] });
    return model;
  };
  return {
    async localKeysFor({ model: name, identities }) {
      const model = modelOf(name);
      if (model.localKey === null || identities.length === 0) return new Map();
      return await deps.pool.withReader(`keys of ${name}`, (db) => deps.reader.localKeys(db, model, identities));
    },
    async identitiesFor({ model: name, keys }) {
      const model = modelOf(name);
      if (model.localKey === null || keys.length === 0) return new Map<LocalRecordKey, string>();
      return await deps.pool.withReader(`identities of ${name}`, (db) => deps.reader.identitiesOf(db, model, keys));
    },
    keyIsIdentity: (name) => modelOf(name).localKey?.kind === "identity",
  };
}

/** The other members, as they are stored and as they are connected at this moment. */
export function peersOf({ deps }: LocalLibrary, replicator: Replicator) {
  const { connection, members } = deps;
  const { self } = readState(connection);
  const sessions = new Map(replicator.sessions.map((session) => [session.peer, session]));
  return members
    .present()
    .filter((member) => member.num !== self)
    .map((member) => {
      const stored = loadPeer(connection, member.num);
      const session = sessions.get(member.origin);
      return {
        member,
        stored,
        about: {
          peer: member.origin,
          deviceId: member.deviceId,
          name: member.name,
          state: session?.state ?? stored.state,
          connected: session !== undefined,
          failures: stored.failures,
        },
      };
    });
}

export function syncFiguresOf(library: LocalLibrary, replicator: Replicator): SyncFigures {
  const { connection, members, clock } = library.deps;
  return {
    async peers() {
      const peers = peersOf(library, replicator);
      // As it is at rest, where to look for every peer and origin would be much of what is done.
      const empty = prepared(connection, "SELECT NOT EXISTS (SELECT 1 FROM tidemark_stamp)").pluck().get() === 1;
      if (empty) return peers.map(({ about }): PeerFigures => ({ ...about, pending: 0, lagMs: 0 }));
      return peers.map(({ member, about }): PeerFigures => {
        const vector = loadVector(connection, member.num);
        let pending = 0;
        let oldest = Number.POSITIVE_INFINITY;
        for (const origin of members.all()) {
          if (origin.num === member.num) continue;
          const row = prepared(
            connection,
            "SELECT count(*) AS n, min(hlc) AS oldest FROM tidemark_stamp WHERE origin = ? AND hlc > ?",
          ).get(origin.num, vector.get(origin.num) ?? 0) as { n: number; oldest: number | null };
          pending += row.n;
          if (row.oldest !== null) oldest = Math.min(oldest, row.oldest);
        }
        return { ...about, pending, lagMs: pending === 0 ? 0 : Math.max(0, clock.now() - physicalMs(oldest)) };
      });
    },
    async parked() {
      const rows = prepared(
        connection,
        "SELECT kind, count(*) AS n, min(since) AS since FROM tidemark_parked GROUP BY kind",
      ).all() as { kind: ParkedKind; n: number; since: number }[];
      const none = { count: 0, oldestMs: 0 };
      const figures = { hidden: none, quarantined: none, deferred: none, dead: none, foreign: none };
      for (const { kind, n, since } of rows) figures[kind] = { count: n, oldestMs: Math.max(0, clock.now() - since) };
      return figures;
    },
  };
}
