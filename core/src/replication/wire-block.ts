import type { WireValue } from "@tidemark/plugin-api";
import {
  fits,
  MAX_HEX_BYTES,
  MAX_INTEGER_BYTES,
  packHex,
  packIntegers,
  packRising,
  packTexts,
  packUuids,
  RISING_BYTES,
  UUID_BYTES,
  unpackHex,
  unpackIntegers,
  unpackRising,
  unpackTexts,
  unpackUuids,
} from "./column-packing.js";
import { replicationErrors } from "./errors.js";
import { type HeardIdentities, NOTE, NOTE_ANEW, type Note, type ToldIdentities } from "./told-identities.js";
import type { WireSettledRecord } from "./wire-records.js";

/**
 * Settled records of one model, column by column, in the order of their identities. On the wire, most columns stand behind
 * the JSON as bytes, in the order in which the JSON names them. No byte is read twice, and the number of values in a
 * message is bounded, so that what comes out is in proportion to what came.
 */
export class WireBlock {
  readonly identities: readonly string[];
  /** In the order of the group's columns. */
  readonly columns: readonly WireColumn[];

  constructor(identities: readonly string[], columns: readonly WireColumn[]) {
    this.identities = identities;
    this.columns = columns;
  }
}

export type WireColumn = readonly WireValue[] | WireDictionary;

/** A column whose values come again and again, such as the targets of references. */
export interface WireDictionary {
  /** Each value once. */
  readonly values: readonly WireValue[];
  /** For each record the place of its value among them, counted from 1; 0: null. */
  readonly at: readonly number[];
}

export function isDictionary(column: WireColumn): column is WireDictionary {
  return !Array.isArray(column);
}

export function valueAt(column: WireColumn, row: number): WireValue {
  if (!isDictionary(column)) return column[row]!;
  const at = column.at[row]!;
  return at === 0 ? null : column.values[at - 1]!;
}

/** Values that the blocks of one message may hold; a server sends more than these as single records. */
const MAX_CELLS = 1_000_000;
/** Fewer records are not worth the names of their columns. */
const LEAST_RECORDS = 16;
/** A text that comes so often on average is written once. */
const WORTH_A_DICTIONARY = 8;

/** A block of records whose identities ascend; null where that would gain nothing. `references` tells which columns are. */
export function blockOf(records: readonly WireSettledRecord[], references: readonly boolean[]): WireBlock | null {
  if (records.length < LEAST_RECORDS || records.length * references.length > MAX_CELLS) return null;
  const columns = references.map((isReference, index) => {
    const values = records.map(([, row]) => row[index]!);
    return dictionaryOf(values, isReference ? 1 : WORTH_A_DICTIONARY) ?? values;
  });
  return new WireBlock(
    records.map(([identity]) => identity),
    columns,
  );
}

/** The column as a dictionary of texts; null if it holds something else, or if a text comes less often than `least` times. */
export function dictionaryOf(column: readonly WireValue[], least: number): WireDictionary | null {
  const places = new Map<string, number>();
  const most = column.length / least;
  const at: number[] = [];
  for (const value of column) {
    if (value === null) {
      at.push(0);
      continue;
    }
    if (typeof value !== "string") return null;
    let place = places.get(value);
    if (place === undefined) {
      place = places.size + 1;
      if (place > most) return null;
      places.set(value, place);
    }
    at.push(place);
  }
  return { values: [...places.keys()], at };
}

/**
 * How a column stands in JSON: as it is, or among the bytes as uuids (`u`: 1, or the beginning of the first and the bytes of
 * each distance), hexadecimal text (`x`: bytes of each), integers (`z`: least, bytes of each) or any text (`s`: bytes of the
 * column). A dictionary (`d`) may give the numbers (`t`) of identities that were told before; 0 stands for the next in `d`.
 */
type PackedColumn =
  | readonly WireValue[]
  | { readonly u: 1 | readonly [first: number, width: number] }
  | { readonly x: number }
  | { readonly z: readonly [least: number, width: number] }
  | { readonly s: number }
  | { readonly t?: PackedColumn; readonly d: PackedColumn; readonly n: number; readonly a: PackedColumn };

export interface PackedBlock {
  readonly n: number;
  readonly i: PackedColumn;
  readonly v: readonly PackedColumn[];
  /** Whether its identities may be named by their numbers from now on. */
  readonly s?: Note;
}

/** The block as JSON; its bytes are appended to `bytes`. Identities in `told` are named by their numbers. */
export function packBlock(
  { identities, columns }: WireBlock,
  bytes: Uint8Array[],
  { told, mark = null }: { readonly told?: ToldIdentities | null; readonly mark?: Note | null } = {},
): PackedBlock {
  return {
    n: identities.length,
    i: packColumn(identities, bytes),
    v: columns.map((column) =>
      isDictionary(column) ? packDictionary(column, bytes, told ?? null) : packColumn(column, bytes),
    ),
    ...(mark !== null && { s: mark }),
  };
}

function packDictionary(
  { values, at }: WireDictionary,
  bytes: Uint8Array[],
  told: ToldIdentities | null,
): PackedColumn {
  const numbers = told === null ? [] : values.map((value) => told.numberOf(value as string));
  const rest = values.filter((_, place) => !numbers[place]);
  // Where most have no number the numbers would cost what they save.
  const worth = values.length > 0 && rest.length <= values.length / 2;
  return {
    ...(worth && { t: packColumn(numbers, bytes) }),
    d: packColumn(worth ? rest : values, bytes),
    n: values.length,
    a: packColumn(at, bytes),
  };
}

function packColumn(values: readonly WireValue[], bytes: Uint8Array[]): PackedColumn {
  if (typeof values[0] === "string" && values.every((value) => typeof value === "string")) {
    const uuids = packUuids(values);
    if (uuids !== null) {
      const rising = packRising(uuids);
      bytes.push(rising?.bytes ?? uuids);
      return { u: rising === null ? 1 : [rising.first, rising.width] };
    }
    const hex = packHex(values);
    if (hex !== null) {
      bytes.push(hex.bytes);
      return { x: hex.width };
    }
  }
  const integers = packIntegers(values);
  if (integers !== null) {
    bytes.push(integers.bytes);
    return { z: [integers.least, integers.width] };
  }
  const texts = packTexts(values);
  if (texts === null) return values;
  bytes.push(texts);
  return { s: texts.length };
}

/** What follows the JSON of a message, read from its beginning to its end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #cells = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw malformed("it has fewer bytes than it says");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Call before values are unpacked: integers that are all the same take no bytes at all, however many they are. */
  count(cells: number): void {
    this.#cells += cells;
    if (this.#cells > MAX_CELLS) throw malformed("it has more values than there may be in a message");
  }
}

/**
 * The inverse of {@link packBlock}. Checks the shape; values and identities are looked at by whoever takes them. Without
 * `heard` nothing can be named by its number.
 */
export function unpackBlock(packed: unknown, bytes: ByteReader, heard?: HeardIdentities): WireBlock {
  const block = object(packed);
  const count = integer(block.n, 0, MAX_CELLS);
  if (!Array.isArray(block.v)) throw malformed("it has no columns");
  bytes.count(count * Math.max(1, block.v.length));
  const identities = unpackColumn(block.i, count, bytes);
  if (!identities.every((identity) => typeof identity === "string")) throw malformed("an identity is not text");
  const columns = block.v.map((column: unknown) => {
    if (Array.isArray(column) || object(column).d === undefined) return unpackColumn(column, count, bytes);
    const { t, d, n, a } = object(column);
    const length = integer(n, 0, count);
    const values = t === undefined ? unpackColumn(d, length, bytes) : unpackTold({ t, d, length, bytes, heard });
    const at = unpackColumn(a, count, bytes);
    for (const place of at) integer(place, 0, values.length);
    return { values, at: at as readonly number[] };
  });
  if (block.s !== undefined) {
    if (heard === undefined || (block.s !== NOTE && block.s !== NOTE_ANEW)) throw malformed("it has an unknown mark");
    heard.note(identities as readonly string[], block.s);
  }
  return new WireBlock(identities as readonly string[], columns);
}

/** The values of a dictionary some of which go by their numbers. */
function unpackTold({
  t,
  d,
  length,
  bytes,
  heard,
}: {
  readonly t: unknown;
  readonly d: unknown;
  readonly length: number;
  readonly bytes: ByteReader;
  readonly heard: HeardIdentities | undefined;
}): readonly WireValue[] {
  if (heard === undefined) throw malformed("it names identities by number where none were told");
  const numbers = unpackColumn(t, length, bytes).map((number) => integer(number, 0, Number.MAX_SAFE_INTEGER));
  const rest = unpackColumn(d, numbers.filter((number) => number === 0).length, bytes);
  let next = 0;
  return numbers.map((number) => (number === 0 ? rest[next++]! : heard.at(number)));
}

function unpackColumn(packed: unknown, count: number, bytes: ByteReader): readonly WireValue[] {
  if (Array.isArray(packed)) {
    if (packed.length !== count) throw malformed("a column has another number of values than there are records");
    return packed as readonly WireValue[];
  }
  const column = object(packed);
  if (column.u === 1) return unpackUuids(bytes.take(count * UUID_BYTES));
  if (Array.isArray(column.u)) return unpackUuids(unpackDistances(column.u, count, bytes));
  if (column.x !== undefined) {
    const width = integer(column.x, 1, MAX_HEX_BYTES);
    return unpackHex({ width, bytes: bytes.take(count * width) });
  }
  if (column.s !== undefined) {
    const texts = unpackTexts(bytes.take(integer(column.s, 0, Number.MAX_SAFE_INTEGER)), count);
    if (texts === null)
      throw malformed("a column of texts is not UTF-8, or has another number of values than there are records");
    return texts;
  }
  if (!Array.isArray(column.z)) throw malformed("a column has an unknown form");
  const [least, width] = column.z as readonly unknown[];
  const shape = {
    least: integer(least, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    width: integer(width, 0, MAX_INTEGER_BYTES),
  };
  if (!fits(shape.least, shape.width)) throw malformed("its integers are not exact");
  return unpackIntegers({ ...shape, bytes: bytes.take(count * shape.width) }, count);
}

function unpackDistances([first, width]: readonly unknown[], count: number, bytes: ByteReader): Uint8Array {
  const shape = {
    first: integer(first, 0, 256 ** RISING_BYTES - 1),
    width: integer(width, 0, RISING_BYTES - 1),
  };
  const length = count * (shape.width + UUID_BYTES - RISING_BYTES);
  const packed = unpackRising({ ...shape, bytes: bytes.take(length) }, count);
  if (packed === null) throw malformed("its uuids rise beyond their end");
  return packed;
}

function object(input: unknown): Record<string, unknown> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) throw malformed("it is not an object");
  return input as Record<string, unknown>;
}

function integer(input: unknown, least: number, most: number): number {
  if (!Number.isSafeInteger(input) || (input as number) < least || (input as number) > most) {
    throw malformed("a number is out of its range");
  }
  return input as number;
}

function malformed(reason: string): Error {
  return replicationErrors.malformed({ reason: `a block of records: ${reason}` });
}
