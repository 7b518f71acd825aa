import { ANY_ORIGIN, type Birth, isLiving, lifeOf, newestBirth, type RecordState, type Stamp } from "./record-state.js";

/** Knows which stamps are late. */
export interface LateStamps {
  /** Whether any can be. */
  readonly anySettled: boolean;
  isLate(stamp: Stamp): boolean;
}

/**
 * What becomes of entries of a removed origin that turn up above what all members agreed to count of it: whoever meets
 * one stamps it anew, as its own. Nobody else may ever get it otherwise, and it would be older than what others have
 * forgotten. Pure: no database, no clock.
 *
 * With a birth, or with the death that a birth stands on, the record is stamped as a whole: one birth that keeps the age
 * of the life, above a death that ends all births before it, and no column of its own. Otherwise the single stamps are.
 */
export function stampAnew({
  state,
  members,
  tx,
}: {
  readonly state: RecordState;
  readonly members: LateStamps;
  /** Gives new own stamps, above all that are known. */
  readonly tx: { tick(): Stamp };
}): RecordState {
  if (!holdsLate(state, members)) return state;
  const isLate = (stamp: Stamp) => members.isLate(stamp);
  const tick = () => tx.tick();
  if (isLiving(state) && (isLate(state.death) || state.births.some(isLate))) {
    return bornAnew(state, tick());
  }
  if (!isLiving(state) && isLate(state.death)) return { births: [], death: tick(), columns: new Map() };
  const columns = new Map(state.columns);
  for (const [column, stamp] of columns) if (isLate(stamp)) columns.set(column, tick());
  return { births: state.births, death: state.death, columns };
}

/** The same life, stamped as a whole. */
export function bornAnew(state: RecordState, stamp: Stamp): RecordState {
  const birth: Birth = { ...stamp, age: lifeOf(state).hlc };
  // A death of no origin, or the former birth would turn up again wherever the new one goes.
  const before = Math.max(newestBirth(state).hlc, state.death.hlc);
  return { births: [birth], death: { hlc: before, origin: ANY_ORIGIN }, columns: new Map() };
}

/** Whether any stamp of the record is late. */
export function holdsLate(state: RecordState, members: LateStamps): boolean {
  if (!members.anySettled) return false;
  if (members.isLate(state.death) || state.births.some((birth) => members.isLate(birth))) return true;
  for (const stamp of state.columns.values()) if (members.isLate(stamp)) return true;
  return false;
}
