/**
 * Packs columns of a page into bytes: identities that are uuids, texts that are hexadecimal, integers, and other texts. All
 * but the last stand in planes, the first byte of all of them, then the second of all, and so on: what is alike lies
 * together, which is what compresses well. Pure, and exact: what can't be packed so that it comes out the same is not
 * packed.
 */

/** Bytes of a packed uuid. */
export const UUID_BYTES = 16;
/** The widest integers that are packed; wider ones differ by more than anything that is counted. */
export const MAX_INTEGER_BYTES = 6;

const DIGITS = "0123456789abcdef";
const DASH = "-".charCodeAt(0);
/** Where the digits of a uuid stand, two for each of its bytes. */
const UUID_PLACES: readonly number[] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const DASHES = [8, 13, 18, 23] as const;
const UUID_LENGTH = 36;

const VALUE_OF = new Int8Array(128).fill(-1);
for (let value = 0; value < 16; value++) VALUE_OF[DIGITS.charCodeAt(value)] = value;

/** Null when one of the texts is not a uuid as it is always written: lower case, with dashes. */
export function packUuids(texts: readonly string[]): Uint8Array | null {
  for (const text of texts) {
    if (text.length !== UUID_LENGTH) return null;
    for (const place of DASHES) if (text.charCodeAt(place) !== DASH) return null;
  }
  return packDigits(texts, UUID_PLACES);
}

/** The inverse of {@link packUuids}; `bytes` must be {@link UUID_BYTES} for each. */
export function unpackUuids(bytes: Uint8Array): string[] {
  return unpackDigits(bytes, UUID_LENGTH, UUID_PLACES);
}

/** Texts of pairs of lower-case hexadecimal digits, all of one length. */
export interface PackedHex {
  /** Of each, in bytes: half of its digits. */
  readonly width: number;
  readonly bytes: Uint8Array;
}

/** The longest that are packed; longer texts are rarely digests. */
export const MAX_HEX_BYTES = 64;

export function packHex(texts: readonly string[]): PackedHex | null {
  const length = texts[0]?.length ?? 0;
  if (length === 0 || length % 2 === 1 || length > 2 * MAX_HEX_BYTES) return null;
  if (!texts.every((text) => text.length === length)) return null;
  const bytes = packDigits(texts, placesOf(length));
  return bytes === null ? null : { width: length / 2, bytes };
}

/** The inverse of {@link packHex}; `bytes` must be `width` for each. */
export function unpackHex({ width, bytes }: PackedHex): string[] {
  return unpackDigits(bytes, 2 * width, placesOf(2 * width));
}

function placesOf(length: number): readonly number[] {
  return Array.from({ length: length / 2 }, (_, plane) => 2 * plane);
}

/** Null when there is something else than a digit where one has to be. */
function packDigits(texts: readonly string[], places: readonly number[]): Uint8Array | null {
  const count = texts.length;
  const bytes = new Uint8Array(count * places.length);
  for (let index = 0; index < count; index++) {
    const text = texts[index]!;
    for (let plane = 0; plane < places.length; plane++) {
      const place = places[plane]!;
      const high = VALUE_OF[text.charCodeAt(place)] ?? -1;
      const low = VALUE_OF[text.charCodeAt(place + 1)] ?? -1;
      if (high < 0 || low < 0) return null;
      bytes[plane * count + index] = high * 16 + low;
    }
  }
  return bytes;
}

function unpackDigits(bytes: Uint8Array, length: number, places: readonly number[]): string[] {
  const count = bytes.length / places.length;
  const letters = Buffer.alloc(count * length, DASH);
  for (let plane = 0; plane < places.length; plane++) {
    let at = places[plane]!;
    for (let index = plane * count; index < (plane + 1) * count; index++, at += length) {
      const byte = bytes[index]!;
      letters[at] = DIGITS.charCodeAt(byte >> 4);
      letters[at + 1] = DIGITS.charCodeAt(byte & 15);
    }
  }
  const text = letters.toString("latin1");
  return Array.from({ length: count }, (_, index) => text.slice(index * length, (index + 1) * length));
}

/** Bytes at the beginning of a uuid that count up where identities are in order. */
export const RISING_BYTES = 6;

/** Packed uuids in ascending order, each beginning as the distance to the one before. */
export interface RisingUuids {
  /** The first six bytes of the first, as a number. */
  readonly first: number;
  /** Bytes of each distance. */
  readonly width: number;
  /** The distances, then the other ten bytes of all, each in planes. */
  readonly bytes: Uint8Array;
}

/** From what {@link packUuids} gives; null when they do not ascend, or nothing would be gained. */
export function packRising(packed: Uint8Array): RisingUuids | null {
  const count = packed.length / UUID_BYTES;
  if (count < 2) return null;
  const rising = (index: number): number => {
    let value = 0;
    for (let plane = 0; plane < RISING_BYTES; plane++) value = value * 256 + packed[plane * count + index]!;
    return value;
  };
  const first = rising(0);
  const distances = [0];
  for (let index = 1, before = first; index < count; index++) {
    const value = rising(index);
    if (value < before) return null;
    distances.push(value - before);
    before = value;
  }
  const { width, bytes } = packIntegers(distances)!;
  if (width >= RISING_BYTES) return null;
  const whole = new Uint8Array(count * (width + UUID_BYTES - RISING_BYTES));
  whole.set(bytes);
  whole.set(packed.subarray(count * RISING_BYTES), bytes.length);
  return { first, width, bytes: whole };
}

/** The inverse of {@link packRising}; null when the distances lead beyond what six bytes hold. */
export function unpackRising({ first, width, bytes }: RisingUuids, count: number): Uint8Array | null {
  const distances = unpackIntegers({ least: 0, width, bytes: bytes.subarray(0, count * width) }, count);
  const packed = new Uint8Array(count * UUID_BYTES);
  packed.set(bytes.subarray(count * width), count * RISING_BYTES);
  let value = first;
  for (let index = 0; index < count; index++) {
    value += distances[index]!;
    if (value >= 256 ** RISING_BYTES) return null;
    for (let plane = RISING_BYTES - 1, rest = value; plane >= 0; plane--) {
      const next = Math.floor(rest / 256);
      packed[plane * count + index] = rest - next * 256;
      rest = next;
    }
  }
  return packed;
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

/** Between two texts of a column, and in the place of one that is NULL. Texts that hold either are not packed. */
const END_OF_TEXT = "\n";
const NO_TEXT = "\0";
/** What UTF-8 has no bytes for. */
const HALF_A_PAIR = /\p{Cs}/u;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Any texts and NULLs as one text in UTF-8: shorter than as JSON, and quicker to read, since the engine makes one string of
 * it and cuts that. It also keeps the JSON of a page so short that V8 does not take its values for long-lived, which it
 * does from 100 KiB on. Null for values of other kinds, for NULLs alone, and where a text would not come out the same.
 */
export function packTexts(values: readonly unknown[]): Uint8Array | null {
  let texts = 0;
  for (const value of values) {
    if (value === null) continue;
    if (typeof value !== "string" || value.includes(END_OF_TEXT) || value.includes(NO_TEXT)) return null;
    texts += 1;
  }
  if (texts === 0) return null;
  const whole = (texts === values.length ? values : values.map((value) => value ?? NO_TEXT)).join(END_OF_TEXT);
  return HALF_A_PAIR.test(whole) ? null : encoder.encode(whole);
}

/** The inverse of {@link packTexts}; null when the bytes are not UTF-8, or not `count` texts. */
export function unpackTexts(bytes: Uint8Array, count: number): (string | null)[] | null {
  let whole: string;
  try {
    whole = decoder.decode(bytes);
  } catch {
    return null;
  }
  const texts: (string | null)[] = whole.split(END_OF_TEXT, count + 1);
  if (texts.length !== count) return null;
  if (whole.includes(NO_TEXT)) {
    for (let index = 0; index < count; index++) if (texts[index] === NO_TEXT) texts[index] = null;
  }
  return texts;
}
