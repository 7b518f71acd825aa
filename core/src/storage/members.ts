import type { RemovalKind } from "@tidemark/plugin-api";
import { ANY_ORIGIN, type Stamp, type StampOrder, stampOrder } from "../replication/record-state.js";
import type { Sqlite } from "./database.js";

/**
 * The origins that this device has heard of, and their local numbers. The numbers are what stamps carry in the sync
 * tables; they never leave the device.
 */
export interface Member {
  readonly num: number;
  readonly origin: string;
  readonly deviceId: string;
  readonly name: string;
  /** The stamp of its join, from which it counts; null while its join has not been counted here. */
  readonly joinHlc: number | null;
  /** The origin that vouched for it; null for the founder. */
  readonly sponsor: string | null;
  /** Null for a member. Removals are only ever added. */
  readonly removal: Removal | null;
  /**
   * Of a removed origin: the last time of it that counts, once all members agree on it. What turns up of it above that is
   * stamped anew by whoever meets it.
   */
  readonly settledHlc: number | null;
}

/** Why an origin is no member any more, weakest first: of two reasons the stronger one stands. */
export const REMOVAL_KINDS = [
  /** Its device has taken a new origin by itself. */
  "replaced",
  /** Its sponsor was removed before anybody else had heard of it. */
  "orphaned",
  /** Nothing was heard of it for too long. */
  "lapsed",
  /** Its database has gone back in time. */
  "regressed",
  /** A person has removed it. */
  "removed",
] as const satisfies readonly RemovalKind[];

export interface Removal {
  readonly kind: RemovalKind;
  readonly hlc: number;
  /** Origin id of who said so. */
  readonly by: string;
}

interface MemberRow {
  num: number;
  origin: string;
  device: string;
  name: string;
  join_hlc: number | null;
  sponsor: string | null;
  removed_kind: RemovalKind | null;
  removed_hlc: number | null;
  removed_by: string | null;
  settled_hlc: number | null;
}

export class Members {
  readonly #byNumber = new Map<number, Member>();
  readonly #byOrigin = new Map<string, Member>();
  readonly #settled = new Map<number, number>();
  /** Orders stamps by the origin ids behind the local numbers. */
  readonly order: StampOrder = stampOrder((num) => this.byNumber(num).origin);

  /** Reads the table anew; call after anything that wrote to it, and after a rollback of such a thing. */
  load(db: Sqlite): void {
    this.#byNumber.clear();
    this.#byOrigin.clear();
    this.#settled.clear();
    const rows = db
      .prepare<[], MemberRow>(
        `SELECT num, origin, device, name, join_hlc, sponsor, removed_kind, removed_hlc, removed_by, settled_hlc
         FROM tidemark_member ORDER BY num`,
      )
      .all();
    for (const row of rows) {
      const member: Member = {
        num: row.num,
        origin: row.origin,
        deviceId: row.device,
        name: row.name,
        joinHlc: row.join_hlc,
        sponsor: row.sponsor,
        removal:
          row.removed_kind === null ? null : { kind: row.removed_kind, hlc: row.removed_hlc!, by: row.removed_by! },
        settledHlc: row.settled_hlc,
      };
      if (member.settledHlc !== null) this.#settled.set(member.num, member.settledHlc);
      this.#byNumber.set(member.num, member);
      this.#byOrigin.set(member.origin, member);
    }
  }

  byNumber(num: number): Member {
    const member = this.#byNumber.get(num);
    if (member === undefined) throw new RangeError(`no member has the local number ${num} (floor is ${ANY_ORIGIN})`);
    return member;
  }

  byOrigin(origin: string): Member | undefined {
    return this.#byOrigin.get(origin);
  }

  /** All origins heard of, counted or not. */
  all(): readonly Member[] {
    return [...this.#byNumber.values()];
  }

  /** Those whose join has been counted, removed ones among them. */
  counted(): readonly Member[] {
    return this.all().filter((member) => member.joinHlc !== null);
  }

  /** The members: joined and not removed. */
  present(): readonly Member[] {
    return this.counted().filter((member) => member.removal === null);
  }

  /** All origins that have been removed, those included whose join was never heard of. */
  removed(): readonly Member[] {
    return this.all().filter((member) => member.removal !== null);
  }

  /** Whether a device was a member once and is none any more, and all agree on what counts of it. */
  isGone(deviceId: string): boolean {
    const origins = this.counted().filter((member) => member.deviceId === deviceId);
    return origins.length > 0 && origins.every(({ removal, settledHlc }) => removal !== null && settledHlc !== null);
  }

  /** Whether any removal is settled, so that entries of a removed origin may be late. */
  get anySettled(): boolean {
    return this.#settled.size > 0;
  }

  /** Whether a stamp is of a removed origin, from above what all members agreed to count of it. */
  isLate({ hlc, origin }: Stamp): boolean {
    const settled = this.#settled.get(origin);
    return settled !== undefined && hlc > settled;
  }
}

export interface MemberFacts {
  readonly origin: string;
  readonly deviceId: string;
  readonly name: string;
  readonly joinHlc: number | null;
  readonly sponsor: string | null;
}

/**
 * Adds an origin, or what is known of it now. Call inside a write transaction, and load {@link Members} afterwards.
 */
export function saveMember(db: Sqlite, facts: MemberFacts): void {
  db.prepare(
    `INSERT INTO tidemark_member (origin, device, name, join_hlc, sponsor) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (origin) DO UPDATE SET
       device = excluded.device, name = excluded.name,
       sponsor = CASE WHEN excluded.join_hlc IS NULL THEN sponsor ELSE excluded.sponsor END,
       join_hlc = coalesce(excluded.join_hlc, join_hlc)`,
  ).run(facts.origin, facts.deviceId, facts.name, facts.joinHlc, facts.sponsor);
}

export interface RemovalFacts extends Removal {
  readonly origin: string;
  readonly deviceId: string;
  readonly name: string;
}

/**
 * Adds a removal, or what another one says of the same origin: the stronger reason stands, then the earlier one, so that
 * all devices come to say the same. Call inside a write transaction, and load {@link Members} afterwards.
 */
export function saveRemoval(db: Sqlite, { origin, deviceId, name, kind, hlc, by }: RemovalFacts): void {
  db.prepare(
    `INSERT INTO tidemark_member (origin, device, name, removed_kind, removed_hlc, removed_by) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (origin) DO UPDATE SET
       removed_kind = excluded.removed_kind, removed_hlc = excluded.removed_hlc, removed_by = excluded.removed_by`,
  ).run(origin, deviceId, name, kind, hlc, by);
}

/** Whether `a` says more than `b` about why an origin is removed. */
export function outweighs(a: Removal, b: Removal): boolean {
  const rank = REMOVAL_KINDS.indexOf(a.kind) - REMOVAL_KINDS.indexOf(b.kind);
  if (rank !== 0) return rank > 0;
  return a.hlc < b.hlc || (a.hlc === b.hlc && a.by < b.by);
}
