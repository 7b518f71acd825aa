/**
 * The mergeable state of one record, and its join. Pure: no database, no clock.
 *
 * A record is a set of births, one death, and stamps of columns. It lives while a birth is higher than its death. A
 * column without a stamp of its own counts as stamped by the newest birth, because a creation sets every column; a birth
 * at or below the floor has lost its stamp and is written {@link UNSTAMPED}: older than anything still to come.
 * Joining two states is commutative, associative and idempotent.
 */

/** When (hybrid logical clock) and by whom (local member number) something was changed. */
export interface Stamp {
  readonly hlc: number;
  readonly origin: number;
}

/** Older than every stamp; also "never" where a death is asked for. */
export const UNSTAMPED: Stamp = Object.freeze({ hlc: 0, origin: 0 });

/** Member number 0 in a death: above every origin of that time. Such a death is a floor, not somebody's delete. */
export const ANY_ORIGIN = 0;

/** The beginning of a life. */
export interface Birth extends Stamp {
  /**
   * Since when the life counts, where that is before this stamp: a birth that was stamped anew is no new life, so that
   * what refers to the record goes on to hold. 0: since before the floor.
   */
  readonly age?: number;
}

/** Orders stamps alike on all devices: by time, then by origin id (never by the local number). */
export interface StampOrder {
  compare(a: Stamp, b: Stamp): number;
}

export function stampOrder(originIdOf: (member: number) => string): StampOrder {
  return {
    compare(a, b) {
      if (a.hlc !== b.hlc) return a.hlc - b.hlc;
      if (a.origin === b.origin || a.hlc === 0) return 0;
      if (a.origin === ANY_ORIGIN) return 1;
      if (b.origin === ANY_ORIGIN) return -1;
      const left = originIdOf(a.origin);
      const right = originIdOf(b.origin);
      return left < right ? -1 : left > right ? 1 : 0;
    },
  };
}

export interface RecordState {
  /** Above the death, ascending; empty when dead. `UNSTAMPED` first, if it is among them. */
  readonly births: readonly Birth[];
  /** `UNSTAMPED` when there is none. */
  readonly death: Stamp;
  /** Stamps of columns (0: the whole row of a device-owned record) above the newest birth, or above the death. */
  readonly columns: ReadonlyMap<number, Stamp>;
}

const NO_COLUMNS: ReadonlyMap<number, Stamp> = new Map();

/** Nothing is known of the record. */
export const UNKNOWN: RecordState = Object.freeze({ births: [], death: UNSTAMPED, columns: NO_COLUMNS });
/** The record is here and nothing about it is younger than the floor. */
export const SETTLED: RecordState = Object.freeze({ births: [UNSTAMPED], death: UNSTAMPED, columns: NO_COLUMNS });

export function isLiving(state: RecordState): boolean {
  return state.births.length > 0;
}

export function newestBirth(state: RecordState): Birth {
  return state.births[state.births.length - 1] ?? UNSTAMPED;
}

/** Since when the record lives: its first birth above its death, by age. References older than this do not hold. */
export function lifeOf(state: RecordState): Stamp {
  let life: Stamp | null = null;
  for (const birth of state.births) {
    const since = beginningOf(birth);
    if (life === null || since.hlc < life.hlc || (since.hlc === life.hlc && life.origin === ANY_ORIGIN)) life = since;
  }
  return life ?? UNSTAMPED;
}

/** An age stands above every origin of its time, because it does not say whose it was. */
function beginningOf(birth: Birth): Stamp {
  if (birth.age === undefined) return birth;
  return birth.age === 0 ? UNSTAMPED : { hlc: birth.age, origin: ANY_ORIGIN };
}

/** The stamp that counts for a column: its own, or that of the newest birth. */
export function columnStamp(state: RecordState, column: number): Stamp {
  return state.columns.get(column) ?? newestBirth(state);
}

/**
 * What somebody tells, as a device sees it that has forgotten stamps. Births that are forgotten count as one that has no
 * stamp; and where there is one, what ended the life before it is forgotten as well. Otherwise that end, of which it can't
 * be seen any more that it came first, would seem to end the life that goes on.
 */
export function beyondFloor(state: RecordState, isForgotten: (stamp: Stamp) => boolean): RecordState {
  const { births, death } = state;
  const gone = births.filter((birth) => birth.hlc === 0 || isForgotten(birth));
  if (gone.length === 0 || (gone.every(({ hlc }) => hlc === 0) && !isForgotten(death))) return state;
  return {
    births: [UNSTAMPED, ...births.filter((birth) => !gone.includes(birth))],
    death: isForgotten(death) ? UNSTAMPED : death,
    columns: state.columns,
  };
}

/**
 * What has been kept for later, as a device sees it that has forgotten stamps meanwhile. Of what ended a life at or below
 * the floor it has known for long, and what lives here without a stamp has outlived it.
 */
export function withoutOldDeath(state: RecordState, isForgotten: (stamp: Stamp) => boolean): RecordState {
  return isLiving(state) && isForgotten(state.death) ? { ...state, death: UNSTAMPED } : state;
}

/**
 * The part of what somebody tells that is new here; null if nothing is. What has been merged before is left out, because
 * what superseded it may have been forgotten since.
 */
export function newsOf(state: RecordState, isNew: (stamp: Stamp) => boolean): RecordState | null {
  const births = state.births.filter((birth) => birth.hlc > 0 && isNew(birth));
  const columns = new Map([...state.columns].filter(([, stamp]) => isNew(stamp)));
  const death =
    births.length > 0 || (state.death.origin !== ANY_ORIGIN && isNew(state.death)) ? state.death : UNSTAMPED;
  if (births.length === 0 && columns.size === 0 && death.hlc === 0) return null;
  if (births.length === state.births.length && columns.size === state.columns.size && death === state.death)
    return state;
  return { births, death, columns };
}

/** Everything that somebody has stamped; a death that stands for the floor is nobody's. */
export function* stampsOf(state: RecordState): Iterable<Stamp> {
  yield* state.births;
  if (state.death.origin !== ANY_ORIGIN) yield state.death;
  yield* state.columns.values();
}

export type Ties = "none" | "unstamped" | "all";

export interface Join {
  readonly state: RecordState;
  /** Whether the state differs from the local one. */
  readonly changed: boolean;
  /** Whether the incoming value of a column wins. Ask only for columns whose value came. */
  wins(column: number): boolean;
}

/**
 * Joins an incoming state into the local one. `incoming` may be partial: without births it is an edit (or a death), and
 * only the columns in its map count. With `unstampedWins`, a value whose stamps are both below the floor is taken from
 * the incoming side: that of a backfill page, which speaks for the library.
 */
export function joinStates({
  local,
  incoming,
  order,
  ties = "none",
  forgotten = 0,
}: {
  readonly local: RecordState;
  readonly incoming: RecordState;
  readonly order: StampOrder;
  /** Ties that the incoming side wins. */
  readonly ties?: Ties;
  /** The incoming side has everything up to here and may have forgotten its stamps: without one it is no older. */
  readonly forgotten?: number;
}): Join {
  const death = order.compare(incoming.death, local.death) > 0 ? incoming.death : local.death;
  const births = joinBirths(local.births, incoming.births, death, order);
  const floor = births.length > 0 ? births[births.length - 1]! : death;

  const columns = new Map<number, Stamp>();
  for (const source of [local.columns, incoming.columns]) {
    for (const [column, stamp] of source) {
      if (order.compare(stamp, floor) <= 0) continue;
      const present = columns.get(column);
      if (present === undefined || order.compare(stamp, present) > 0) columns.set(column, stamp);
    }
  }
  const state: RecordState = { births, death, columns };
  return {
    state,
    changed: !sameState(local, state, order),
    wins(column) {
      const theirs = incoming.columns.get(column) ?? (incoming.births.length > 0 ? newestBirth(incoming) : undefined);
      if (theirs === undefined) return false;
      // A value from below the death belongs to a life that is over.
      if (order.compare(theirs, death) <= 0 && theirs.hlc !== 0) return false;
      if (theirs.hlc === 0 && death.hlc > forgotten) return false;
      const ours = local.columns.get(column) ?? (local.births.length > 0 ? newestBirth(local) : undefined);
      if (ours === undefined) return true;
      const difference = theirs.hlc === 0 && ours.hlc <= forgotten ? 0 : order.compare(theirs, ours);
      return difference > 0 || (difference === 0 && (ties === "all" || (ties === "unstamped" && theirs.hlc === 0)));
    },
  };
}

/**
 * Whether something of `incoming` comes to nothing because of a change of `member`, at which the states meet. If the
 * incoming change is news there, neither maker knew of the other: whoever had known would have stamped later.
 */
export function losesTo({
  member,
  local,
  incoming,
  order,
}: {
  readonly member: number;
  readonly local: RecordState;
  readonly incoming: RecordState;
  readonly order: StampOrder;
}): boolean {
  const loses = (theirs: Stamp, ours: Stamp) => ours.origin === member && order.compare(theirs, ours) < 0;
  const { births, columns, death } = incoming;
  if (!isLiving(local)) {
    const revived = births.some((birth) => order.compare(birth, local.death) > 0);
    return local.death.origin === member && !revived && (births.length > 0 || columns.size > 0);
  }
  for (const [column, stamp] of columns) if (loses(stamp, columnStamp(local, column))) return true;
  // A creation tells a death too, which is none of its own.
  const whole = births.length > 0 ? newestBirth(incoming) : death;
  return whole.hlc > 0 && loses(whole, newestBirth(local));
}

/**
 * Whether something of `incoming` that `maker` has made takes the place of a change of `member`, of whom `maker` has heard
 * no more than what is stamped at or below `heard`.
 */
export function overridesUnheard({
  maker,
  member,
  heard,
  local,
  incoming,
  order,
}: {
  readonly maker: number;
  readonly member: number;
  readonly heard: number;
  readonly local: RecordState;
  readonly incoming: RecordState;
  readonly order: StampOrder;
}): boolean {
  if (!isLiving(local)) return false;
  const isUnheard = (ours: Stamp) => ours.origin === member && ours.hlc > heard;
  const overrides = (theirs: Stamp, ours: Stamp) =>
    theirs.origin === maker && isUnheard(ours) && order.compare(theirs, ours) > 0;
  const { births, columns, death } = incoming;
  for (const [column, stamp] of columns) if (overrides(stamp, columnStamp(local, column))) return true;
  if (births.length > 0) return overrides(newestBirth(incoming), newestBirth(local));
  // A deletion beats every edit that it raced with, younger ones too.
  return death.origin === maker && [newestBirth(local), ...local.columns.values()].some(isUnheard);
}

function joinBirths(
  left: readonly Birth[],
  right: readonly Birth[],
  death: Stamp,
  order: StampOrder,
): readonly Birth[] {
  // Nearly always there is one birth, on one side or the same on both.
  const all: Birth[] = [];
  for (const births of [left, right]) {
    for (const birth of births) {
      if (birth.hlc === 0 ? death.hlc !== 0 : order.compare(birth, death) <= 0) continue;
      const at = all.findIndex((known) => order.compare(known, birth) === 0);
      if (at < 0) all.push(birth);
      else if (ageOf(birth) < ageOf(all[at]!)) all[at] = birth;
    }
  }
  return all.sort(order.compare);
}

function ageOf({ hlc, age = hlc }: Birth): number {
  return age;
}

function sameState(a: RecordState, b: RecordState, order: StampOrder): boolean {
  if (order.compare(a.death, b.death) !== 0 || a.births.length !== b.births.length) return false;
  for (const [index, birth] of a.births.entries()) {
    const other = b.births[index]!;
    if (order.compare(birth, other) !== 0 || ageOf(birth) !== ageOf(other)) return false;
  }
  if (a.columns.size !== b.columns.size) return false;
  for (const [column, stamp] of a.columns) {
    const other = b.columns.get(column);
    if (other === undefined || order.compare(stamp, other) !== 0) return false;
  }
  return true;
}

/**
 * A local creation at `stamp`. It carries a death, the higher of the floor and the newest birth or death known here, so
 * that the new life never inherits from one that its maker could not see.
 */
export function bornLocally(local: RecordState, stamp: Stamp, floor: number, order: StampOrder): RecordState {
  let death: Stamp = floor > 0 ? { hlc: floor, origin: ANY_ORIGIN } : UNSTAMPED;
  for (const known of [local.death, newestBirth(local)]) if (order.compare(known, death) > 0) death = known;
  return { births: [stamp], death, columns: NO_COLUMNS };
}

export function diedLocally(stamp: Stamp): RecordState {
  return { births: [], death: stamp, columns: NO_COLUMNS };
}

/** A local edit of `columns` at `stamp`. */
export function editedLocally(local: RecordState, columns: Iterable<number>, stamp: Stamp): RecordState {
  const stamps = new Map(local.columns);
  for (const column of columns) stamps.set(column, stamp);
  return { births: local.births, death: local.death, columns: stamps };
}

/** Whether a reference stamped `reference` to a visible target that lives since `life` holds. */
export function referenceHolds({
  reference,
  life,
  order,
}: {
  readonly reference: Stamp;
  readonly life: Stamp;
  readonly order: StampOrder;
}): boolean {
  return life.hlc === 0 || order.compare(reference, life) > 0;
}
