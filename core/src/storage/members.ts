import { ANY_ORIGIN, type StampOrder, stampOrder } from "../replication/record-state.js";
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
}

interface MemberRow {
  num: number;
  origin: string;
  device: string;
  name: string;
  join_hlc: number | null;
  sponsor: string | null;
}

export class Members {
  readonly #byNumber = new Map<number, Member>();
  readonly #byOrigin = new Map<string, Member>();
  /** Orders stamps by the origin ids behind the local numbers. */
  readonly order: StampOrder = stampOrder((num) => this.byNumber(num).origin);

  /** Reads the table anew; call after anything that wrote to it, and after a rollback of such a thing. */
  load(db: Sqlite): void {
    this.#byNumber.clear();
    this.#byOrigin.clear();
    const rows = db
      .prepare<[], MemberRow>("SELECT num, origin, device, name, join_hlc, sponsor FROM tidemark_member ORDER BY num")
      .all();
    for (const row of rows) {
      const member: Member = {
        num: row.num,
        origin: row.origin,
        deviceId: row.device,
        name: row.name,
        joinHlc: row.join_hlc,
        sponsor: row.sponsor,
      };
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

  /** Those whose join has been counted. */
  counted(): readonly Member[] {
    return this.all().filter((member) => member.joinHlc !== null);
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
 * Adds an origin, or completes what is known of it: a join, once counted, stays. Call inside a write transaction, and
 * load {@link Members} afterwards.
 */
export function saveMember(db: Sqlite, facts: MemberFacts): void {
  db.prepare(
    `INSERT INTO tidemark_member (origin, device, name, join_hlc, sponsor) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (origin) DO UPDATE SET
       device = excluded.device, name = excluded.name,
       join_hlc = coalesce(join_hlc, excluded.join_hlc), sponsor = coalesce(sponsor, excluded.sponsor)`,
  ).run(facts.origin, facts.deviceId, facts.name, facts.joinHlc, facts.sponsor);
}
