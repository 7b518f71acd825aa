/**
 * Packs columns of a page into bytes: identities that are uuids, and integers. Values stand in planes, the first byte of
 * all of them, then the second of all, and so on: what is alike lies together, which is what compresses well. Pure, and
 * exact: what can't be packed so that it comes out the same is not packed.
 */

/** Bytes of a packed uuid. */
export const UUID_BYTES = 16;
/** The widest integers that are packed; wider ones differ by more than anything that is counted. */
export const MAX_INTEGER_BYTES = 6;

const DIGITS = "0123456789abcdef";
const DASH = "-".charCodeAt(0);
/** Where the digits of a uuid stand, two for each of its bytes. */
const PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const DASHES = [8, 13, 18, 23] as const;
const UUID_LENGTH = 36;

const VALUE_OF = new Int8Array(128).fill(-1);
for (let value = 0; value < 16; value++) VALUE_OF[DIGITS.charCodeAt(value)] = value;

/** Null when one of the texts is not a uuid as it is always written: lower case, with dashes. */
export function packUuids(texts: readonly string[]): Uint8Array | null {
  const count = texts.length;
  const bytes = new Uint8Array(count * UUID_BYTES);
  for (let index = 0; index < count; index++) {
    const text = texts[index]!;
    if (text.length !== UUID_LENGTH) return null;
    for (const place of DASHES) if (text.charCodeAt(place) !== DASH) return null;
    for (let plane = 0; plane < UUID_BYTES; plane++) {
      const place = PLACES[plane]!;
      const high = VALUE_OF[text.charCodeAt(place)] ?? -1;
      const low = VALUE_OF[text.charCodeAt(place + 1)] ?? -1;
      if (high < 0 || low < 0) return null;
      bytes[plane * count + index] = high * 16 + low;
    }
  }
  return bytes;
}

/** The inverse of {@link packUuids}; `bytes` must be {@link UUID_BYTES} for each. */
export function unpackUuids(bytes: Uint8Array): string[] {
  const count = bytes.length / UUID_BYTES;
  const letters = Buffer.alloc(count * UUID_LENGTH, DASH);
  for (let plane = 0; plane < UUID_BYTES; plane++) {
    let at = PLACES[plane]!;
    for (let index = plane * count; index < (plane + 1) * count; index++, at += UUID_LENGTH) {
      const byte = bytes[index]!;
      letters[at] = DIGITS.charCodeAt(byte >> 4);
      letters[at + 1] = DIGITS.charCodeAt(byte & 15);
    }
  }
  const text = letters.toString("latin1");
  return Array.from({ length: count }, (_, index) => text.slice(index * UUID_LENGTH, (index + 1) * UUID_LENGTH));
}

/** Integers as their distance from the least of them, in as few bytes as the greatest takes. */
export interface PackedIntegers {
  readonly least: number;
  /** Bytes of each. */
  readonly width: number;
  readonly bytes: Uint8Array;
}

/** Null when one of the values is not an integer that a number keeps exactly, or when they are too far apart. */
export function packIntegers(values: readonly unknown[]): PackedIntegers | null {
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    // -0 would come out as 0.
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return null;
    least = Math.min(least, value as number);
    greatest = Math.max(greatest, value as number);
  }
  let width = 0;
  for (let rest = greatest - least; rest >= 1; rest /= 256) width += 1;
  if (values.length === 0 || width > MAX_INTEGER_BYTES || !fits(least, width)) return null;
  const count = values.length;
  const bytes = new Uint8Array(count * width);
  for (let index = 0; index < count; index++) {
    const distance = (values[index] as number) - least;
    let rest = distance;
    for (let plane = width - 1; plane >= 0; plane--) {
      const next = Math.floor(rest / 256);
      bytes[plane * count + index] = rest - next * 256;
      rest = next;
    }
  }
  return { least, width, bytes };
}

/** Whether all that the bytes can say is exact, so that the receiver needs to look at nothing else. */
export function fits(least: number, width: number): boolean {
  return least <= Number.MAX_SAFE_INTEGER - (256 ** width - 1);
}

/** The inverse of {@link packIntegers}; `bytes` must be `width` for each of `count`. */
export function unpackIntegers({ least, width, bytes }: PackedIntegers, count: number): number[] {
  const values = new Array<number>(count).fill(0);
  for (let plane = 0; plane < width; plane++) {
    for (let index = 0; index < count; index++) values[index] = values[index]! * 256 + bytes[plane * count + index]!;
  }
  for (let index = 0; index < count; index++) values[index]! += least;
  return values;
}
