import type { Sqlite } from "./database.js";
import { storageErrors } from "./errors.js";

/**
 * The sync tables and their migrations: versioned by `tidemark_state.format`, forward only. Everything that Tidemark
 * keeps lives in the application's own database file, so that a record and its log entry commit together.
 *
 * A stamp is a pair (hlc, origin). `origin` and `member` columns hold the local number of a member (`tidemark_member.num`),
 * which never leaves the device; `model` and `col` hold numbers from `tidemark_model` and `tidemark_column`.
 */
export const FORMAT = 1;

export const SYNC_TABLES = [
  "tidemark_state",
  "tidemark_model",
  "tidemark_column",
  "tidemark_capture",
  "tidemark_applying",
  "tidemark_outbox",
  "tidemark_stamp",
  "tidemark_parked",
  "tidemark_waiting",
  "tidemark_late",
  "tidemark_extra",
  "tidemark_deferred",
  "tidemark_restore",
  "tidemark_member",
  "tidemark_vector",
  "tidemark_peer",
  "tidemark_backfill",
  "tidemark_unsent",
  "tidemark_silence",
  "tidemark_unseen",
  "tidemark_journal",
] as const;

const MIGRATIONS: readonly string[] = [
  `
  -- One row: this device's place in the library.
  CREATE TABLE tidemark_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    library TEXT,                    -- library id; NULL until founded or joined
    device TEXT,                     -- device id
    self INTEGER,                    -- own member number
    hlc INTEGER NOT NULL,            -- high-water mark of the clock
    floor INTEGER NOT NULL,          -- S as far as it has been acted on: nothing at or below it carries a stamp
    sequence INTEGER NOT NULL,       -- last local sequence number given to a stamp
    fence INTEGER NOT NULL,          -- changed by every fence
    log_id TEXT NOT NULL,            -- names this log; a position in it means nothing in another one
    token INTEGER NOT NULL,          -- session token, raised before data flows
    ready INTEGER NOT NULL DEFAULT 0, -- 1 once this device has the whole library and may serve it
    next_origin TEXT,                -- the origin that it asks to join under; NULL before it asks
    next_mode TEXT,                  -- of the backfill that follows the join: join | full; NULL: join
    beat INTEGER,                    -- when this device was last known to run, ms since the epoch; written once in a while
    watching INTEGER                 -- since when it has not been away for long, ms since the epoch
  );
  -- Names to numbers, never reused.
  CREATE TABLE tidemark_model (num INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE tidemark_column (
    model INTEGER NOT NULL, num INTEGER NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (model, num), UNIQUE (model, name)
  ) WITHOUT ROWID;
  -- What capture has installed, complete enough to install it again without the application's code.
  CREATE TABLE tidemark_capture (model INTEGER PRIMARY KEY, tbl TEXT NOT NULL UNIQUE, plan TEXT NOT NULL);
  -- Holds a row during an apply transaction and is empty at every commit: the triggers' guard.
  CREATE TABLE tidemark_applying (on_behalf INTEGER PRIMARY KEY);
  -- Local changes in the order of their commit, not yet stamped. Written by triggers.
  CREATE TABLE tidemark_outbox (
    seq INTEGER PRIMARY KEY,
    t REAL,                          -- julianday of the write
    model INTEGER NOT NULL,
    record TEXT,                     -- identity; for derived identities the local key values as a JSON array
    mask INTEGER NOT NULL,           -- -1 birth, -2 death, -3 suspect, else the bits of the changed columns of one part
    part INTEGER NOT NULL DEFAULT 0, -- bit b of the mask is column 48 * part + b + 1
    key INTEGER,                     -- births, deaths and suspects: the local integer key of the row
    hop                              -- local value of the next reference on the way to the owner: births the new one, else the old
  );
  -- The log: newest stamps, no payload.
  -- col: -1 newest birth, -2 death, 0 all columns (device-owned), >0 a column, <= -10 older births above the death.
  -- The death stamp of a living record stands in prior_* of its newest birth, with which it is pruned; that of a dead
  -- record is the row with col -2. prior_origin 0 is above every origin: that death is a floor, not a delete.
  CREATE TABLE tidemark_stamp (
    model INTEGER NOT NULL, record TEXT NOT NULL, col INTEGER NOT NULL,
    hlc INTEGER NOT NULL, origin INTEGER NOT NULL, seq INTEGER NOT NULL,
    prior_hlc INTEGER NOT NULL DEFAULT 0, prior_origin INTEGER NOT NULL DEFAULT 0,
    age INTEGER,                     -- births: since when the life counts, where that is before its stamp; 0: below the floor
    PRIMARY KEY (model, record, col)
  ) WITHOUT ROWID;
  CREATE INDEX tidemark_stamp_seq ON tidemark_stamp (seq);
  -- Records that are not (or not wholly) in their table.
  -- kind: hidden | quarantined | deferred | dead | foreign (a model unknown here)
  CREATE TABLE tidemark_parked (
    model INTEGER NOT NULL, record TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
    vals TEXT NOT NULL,              -- JSON object: column number -> wire value
    since INTEGER NOT NULL,          -- milliseconds since the epoch
    PRIMARY KEY (model, record)
  ) WITHOUT ROWID;
  -- After each batch the quarantined records of its models are looked for, however many others are hidden.
  CREATE INDEX tidemark_parked_kind ON tidemark_parked (kind, model, since);
  -- References that do not hold: of hidden records, and nullable ones that read NULL while their value is kept here.
  CREATE TABLE tidemark_waiting (
    target_model INTEGER NOT NULL, target TEXT NOT NULL, model INTEGER NOT NULL, record TEXT NOT NULL, col INTEGER NOT NULL,
    PRIMARY KEY (target_model, target, model, record, col)
  ) WITHOUT ROWID;
  CREATE INDEX tidemark_waiting_record ON tidemark_waiting (model, record);
  -- References of rows in their tables that the application has written before what they refer to, and that have to be
  -- stamped again when that is born. until: the last outbox entry that was committed with the row; NULL: any time.
  CREATE TABLE tidemark_late (
    target_model INTEGER NOT NULL,
    target NOT NULL,                 -- the reference's local value, or the identity where the record is named by it
    model INTEGER NOT NULL, record TEXT NOT NULL, until INTEGER,
    PRIMARY KEY (target_model, target, model, record)
  ) WITHOUT ROWID;
  CREATE INDEX tidemark_late_record ON tidemark_late (model, record);
  CREATE INDEX tidemark_late_until ON tidemark_late (until);
  -- Values of columns that this version of the application does not have.
  CREATE TABLE tidemark_extra (
    model INTEGER NOT NULL, record TEXT NOT NULL, col INTEGER NOT NULL, val TEXT NOT NULL,
    PRIMARY KEY (model, record, col)
  ) WITHOUT ROWID;
  -- Entries from beyond the drift limit: had and relayed, merged when their time has come.
  CREATE TABLE tidemark_deferred (seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, entry TEXT NOT NULL);
  CREATE INDEX tidemark_deferred_due ON tidemark_deferred (due);
  CREATE INDEX tidemark_deferred_record
    ON tidemark_deferred (json_extract(entry, '$.groups[0].m'), json_extract(entry, '$.groups[0].r[0][0]'));
  -- Records whose state must be fetched again from a peer, because a refused local change has damaged them.
  CREATE TABLE tidemark_restore (model INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (model, record)) WITHOUT ROWID;
  CREATE TABLE tidemark_member (
    num INTEGER PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,     -- origin id
    device TEXT NOT NULL, name TEXT NOT NULL,
    join_hlc INTEGER,                -- NULL: heard of, its join has not been counted yet
    sponsor TEXT,                    -- origin id; NULL for the founder
    removed_kind TEXT,               -- replaced | orphaned | lapsed | regressed | removed; NULL: not removed
    removed_hlc INTEGER, removed_by TEXT,
    settled_hlc INTEGER              -- of a removed origin: the last time that counts; NULL: not all members agree yet
  );
  -- Vectors of all members; the own one under the own number (its own entry is tidemark_state.hlc). An entry under -num
  -- says of the removal of num: 1 it was known, 2 it was settled there.
  CREATE TABLE tidemark_vector (member INTEGER NOT NULL, origin INTEGER NOT NULL, hlc INTEGER NOT NULL, PRIMARY KEY (member, origin)) WITHOUT ROWID;
  CREATE TABLE tidemark_peer (
    member INTEGER PRIMARY KEY,
    state TEXT NOT NULL,             -- uninitialized | backfilling | catching-up | ready | paused
    log_id TEXT, position INTEGER NOT NULL DEFAULT 0, -- read so far of the peer's log, at the end of a round
    token INTEGER NOT NULL DEFAULT 0,                 -- last session token that the peer told
    failures INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0,            -- no attempt before this time, ms since the epoch
    delay INTEGER NOT NULL DEFAULT 0,                 -- how long that was when it was decided, ms
    full_backfill INTEGER NOT NULL DEFAULT 0
  );
  -- A backfill under way, resumable with any peer.
  CREATE TABLE tidemark_backfill (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    mode TEXT NOT NULL,              -- join | full
    noted TEXT, floor INTEGER NOT NULL,
    cursors TEXT NOT NULL,           -- JSON: model name -> { open: [[after, upTo]…], done }
    total INTEGER NOT NULL DEFAULT 0,
    started INTEGER NOT NULL
  );
  -- What this device had not got out under an origin that it gave up: to be issued again after the backfill.
  CREATE TABLE tidemark_unsent (
    id INTEGER PRIMARY KEY,
    hlc INTEGER NOT NULL,            -- the first of its times, which they are issued in the order of
    model INTEGER NOT NULL, record TEXT NOT NULL,
    born INTEGER NOT NULL,           -- 1: the record was made under that origin
    kept INTEGER NOT NULL DEFAULT 0, -- 1: its row is still in its table, and the library lacks it
    page TEXT NOT NULL               -- the part that was not got out, as a page of one record
  );
  CREATE INDEX tidemark_unsent_record ON tidemark_unsent (model, record);
  -- Spans of time, bounds excluded, that the clock of this origin passed over between two runs: nobody can have heard of
  -- any time within, unless the database has gone back in time.
  CREATE TABLE tidemark_silence (began INTEGER PRIMARY KEY, ended INTEGER NOT NULL);
  -- Models of which writes may have gone unseen while a capture trigger was missing, until they were compared with a peer.
  CREATE TABLE tidemark_unseen (model INTEGER PRIMARY KEY);
  CREATE TABLE tidemark_journal (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL, record TEXT NOT NULL,
    reason TEXT NOT NULL, vals TEXT
  );
  `,
];

/** Creates the sync tables, or brings those of an older version up to date. Call inside a write transaction. */
export function migrateSyncTables({ db, logId }: { readonly db: Sqlite; readonly logId: string }): void {
  const exists = db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tidemark_state'").get();
  const from = exists ? (db.prepare("SELECT format FROM tidemark_state").pluck().get() as number) : 0;
  if (from > FORMAT) throw storageErrors.newerFormat({ found: from, supported: FORMAT });
  for (let format = from; format < FORMAT; format++) db.exec(MIGRATIONS[format]!);
  if (!exists) {
    db.prepare(
      "INSERT INTO tidemark_state (id, format, hlc, floor, sequence, fence, log_id, token) VALUES (1, ?, 0, 0, 0, 0, ?, 0)",
    ).run(BigInt(FORMAT), logId);
  } else if (from < FORMAT) {
    db.prepare("UPDATE tidemark_state SET format = ?").run(BigInt(FORMAT));
  }
}
