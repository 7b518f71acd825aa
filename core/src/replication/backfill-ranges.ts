import { compareIdentities } from "../registry/identity-form.js";

/**
 * Which stretches of a model are not here yet. Pure functions on lists that are in order and don't overlap; what they mean
 * is known elsewhere.
 */
export type Stretch = readonly [
  /** Exclusive; null: from the first record. */
  after: string | null,
  /** Inclusive; null: to the last record. */
  upTo: string | null,
];

export const WHOLE: readonly Stretch[] = [[null, null]];

/** Whether `part` lies within one of the stretches. */
export function isWithin(open: readonly Stretch[], part: Stretch): boolean {
  return open.some((stretch) => contains(stretch, part));
}

/** What is left when `part`, which lies within one of the stretches, is taken out. */
export function without(open: readonly Stretch[], part: Stretch): readonly Stretch[] {
  return open.flatMap((stretch) => {
    if (!contains(stretch, part)) return [stretch];
    const left: Stretch[] = [];
    if (stretch[0] !== part[0]) left.push([stretch[0], part[0]]);
    if (stretch[1] !== part[1]) left.push([part[1], stretch[1]]);
    return left;
  });
}

/** Whether a record lies in a stretch. */
export function holds([after, upTo]: Stretch, identity: string): boolean {
  return (
    (after === null || compareIdentities(identity, after) > 0) &&
    (upTo === null || compareIdentities(identity, upTo) <= 0)
  );
}

function contains(stretch: Stretch, part: Stretch): boolean {
  if (part[0] !== null && part[1] !== null && compareIdentities(part[0], part[1]) >= 0) return false;
  const starts = stretch[0] === null || (part[0] !== null && compareIdentities(stretch[0], part[0]) <= 0);
  const ends = stretch[1] === null || (part[1] !== null && compareIdentities(part[1], stretch[1]) <= 0);
  return starts && ends;
}
