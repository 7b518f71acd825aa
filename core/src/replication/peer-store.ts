import type { PeerState } from "@tidemark/plugin-api";
import type { Sqlite } from "../storage/database.js";
import { prepared } from "../storage/statements.js";

/** `notBefore` of a peer that was given up: not before the next start or resume, when somebody may have mended the cause. */
export const GIVEN_UP = Number.MAX_SAFE_INTEGER;

/** What is stored of each peer, so that a restart goes on where it was. */
export interface PeerRecord {
  readonly state: PeerState;
  /** Names the log in which `position` counts. */
  readonly logId: string | null;
  /** How far the peer's log has been read, at the end of a round. */
  readonly position: number;
  /** The last session token that the peer told. */
  readonly token: number;
  /** Consecutive failures. */
  readonly failures: number;
  /** No attempt before this time, in milliseconds since the epoch. */
  readonly notBefore: number;
  /** How long that was when it was decided, in milliseconds. */
  readonly delayMs: number;
  /** Whether the next attempt is a full backfill. */
  readonly fullBackfill: boolean;
}

const NEW: PeerRecord = {
  state: "uninitialized",
  logId: null,
  position: 0,
  token: 0,
  failures: 0,
  notBefore: 0,
  delayMs: 0,
  fullBackfill: false,
};

interface Row {
  state: PeerState;
  log_id: string | null;
  position: number;
  token: number;
  failures: number;
  not_before: number;
  delay: number;
  full_backfill: number;
}

export function loadPeer(db: Sqlite, member: number): PeerRecord {
  const row = prepared(
    db,
    "SELECT state, log_id, position, token, failures, not_before, delay, full_backfill FROM tidemark_peer WHERE member = ?",
  ).get(member) as Row | undefined;
  if (row === undefined) return NEW;
  return {
    state: row.state,
    logId: row.log_id,
    position: row.position,
    token: row.token,
    failures: row.failures,
    notBefore: row.not_before,
    delayMs: row.delay,
    fullBackfill: row.full_backfill === 1,
  };
}

/** Gives peers that were given up another chance; call inside a write transaction. Their number. */
export function liftGivenUp(db: Sqlite): number {
  return prepared(
    db,
    "UPDATE tidemark_peer SET not_before = 0, failures = 0, state = 'catching-up' WHERE not_before = ?",
  ).run(GIVEN_UP).changes;
}

/** No attempt with any peer has to be a full backfill any more; call inside a write transaction. */
export function forgetFullBackfills(db: Sqlite): void {
  prepared(db, "UPDATE tidemark_peer SET full_backfill = 0 WHERE full_backfill = 1").run();
}

/** Changes what is stored of a peer; call inside a write transaction. */
export function updatePeer(db: Sqlite, member: number, change: Partial<PeerRecord>): PeerRecord {
  const next = { ...loadPeer(db, member), ...change };
  prepared(
    db,
    `INSERT OR REPLACE INTO tidemark_peer (member, state, log_id, position, token, failures, not_before, delay, full_backfill)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    member,
    next.state,
    next.logId,
    next.position,
    next.token,
    next.failures,
    Math.trunc(next.notBefore),
    Math.trunc(next.delayMs),
    next.fullBackfill ? 1 : 0,
  );
  return next;
}
