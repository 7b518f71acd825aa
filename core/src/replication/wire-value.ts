import { isUtf8 } from "node:buffer";
import type { WireValue } from "@tidemark/plugin-api";
import type { Affinity } from "../registry/model.js";
import type { Bindable, RawText } from "../storage/row-writer.js";
import { replicationErrors } from "./errors.js";

/**
 * Translates between what SQLite stores and what travels. A wire value is JSON and exact: null, numbers and text as they
 * are where JSON keeps them, and one-key tags where it does not:
 *
 *     {"i":"9007199254740993"}              an integer beyond ±(2^53 - 1)
 *     {"r":5}                               a REAL that plain JSON would turn into an integer
 *     {"r":"Infinity"}, {"r":"-Infinity"}
 *     {"b":"<base64>"}                      a blob
 *     {"t":"<base64>"}                      text whose bytes are not valid UTF-8
 *
 * There is one way to write each value, so that equal values have equal JSON and digests can be compared. -0 is
 * written 0, because SQLite itself keeps the sign only in columns without affinity. Values of references are not the
 * concern of this file: they travel as the target's identity.
 */

/** A value as better-sqlite3 yields it with `safeIntegers(true)`. */
export type StoredValue = null | bigint | number | string | Buffer;

/** The longest text or blob that travels, in UTF-16 units or bytes. Frames are limited far below; this is the backstop. */
export const MAX_VALUE_LENGTH = 2 ** 28;

const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_INT64 = 2n ** 63n - 1n;
const INTEGER = /^-?[1-9][0-9]{15,18}$/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * The wire value of a stored value. Text that contains U+FFFD may be one that better-sqlite3 has repaired: see
 * {@link mayBeRepaired}. Throws `TIDEMARK_WIRE_VALUE_TOO_LONG`.
 */
export function encodeWireValue(value: StoredValue, affinity: Affinity): WireValue {
  switch (typeof value) {
    case "string":
      if (value.length > MAX_VALUE_LENGTH) throw replicationErrors.valueTooLong({ length: value.length });
      return value;
    case "bigint":
      return value <= MAX_EXACT && value >= -MAX_EXACT ? Number(value) : { i: value.toString() };
    case "number":
      return encodeReal(value, affinity);
    default:
      if (value === null) return null;
      if (value.length > MAX_VALUE_LENGTH) throw replicationErrors.valueTooLong({ length: value.length });
      return { b: value.toString("base64") };
  }
}

function encodeReal(value: number, affinity: Affinity): WireValue {
  if (!Number.isInteger(value)) return Number.isFinite(value) ? value : { r: value > 0 ? "Infinity" : "-Infinity" };
  const positive = value + 0; // -0 becomes 0
  return affinity === "none" || !Number.isSafeInteger(positive) ? { r: positive } : positive;
}

/** Whether a text may have had invalid bytes, which better-sqlite3 replaces without a word; then read it as a blob. */
export function mayBeRepaired(text: string): boolean {
  return text.includes("\uFFFD");
}

/** The wire value of a text from its bytes. */
export function encodeTextBytes(bytes: Buffer): WireValue {
  if (bytes.length > MAX_VALUE_LENGTH) throw replicationErrors.valueTooLong({ length: bytes.length });
  return isUtf8(bytes) ? bytes.toString("utf8") : { t: bytes.toString("base64") };
}

/**
 * What to bind for a wire value that came from outside. Integers become BigInt, because better-sqlite3 binds numbers as
 * REAL and only a numeric affinity would turn them back; invalid text becomes `{ bytes }`, to be stored with
 * `CAST(? AS TEXT)`. Throws `TIDEMARK_WIRE_BAD_VALUE` on everything that {@link encodeWireValue} does not write.
 */
export function decodeWireValue(value: unknown, affinity: Affinity): Bindable {
  switch (typeof value) {
    case "string":
      return checkedText(value);
    case "number":
      if (!Number.isFinite(value)) throw bad("a number is not finite");
      if (!Number.isInteger(value)) return value;
      if (!Number.isSafeInteger(value)) throw bad("an integer that JSON numbers can't keep exactly is not tagged");
      return affinity === "real" ? value + 0 : BigInt(value);
    case "object":
      return value === null ? null : decodeTag(value, affinity);
    default:
      throw bad(`its type is ${typeof value}`);
  }
}

/**
 * The same for a value that {@link decodeWireValue} has accepted before, except that a number stays one where the column's
 * affinity makes an integer of it again: BigInts are dear.
 */
export function bindWireValue(value: WireValue, affinity: Affinity): Exclude<Bindable, RawText> {
  if (typeof value === "string" || value === null) return value;
  if (typeof value === "number" && (affinity === "integer" || affinity === "numeric")) return value;
  return decodeWireValue(value, affinity) as Exclude<Bindable, RawText>;
}

/** Whether it is text whose bytes are not valid, which has to be stored by way of a cast. */
export function isRawTextTag(value: WireValue): boolean {
  return typeof value === "object" && value !== null && "t" in value;
}

function decodeTag(value: object, affinity: Affinity): Bindable {
  const keys = Object.keys(value);
  if (Array.isArray(value) || keys.length !== 1) throw bad("an object must have exactly one key, its tag");
  const [tag] = keys as [string];
  const content: unknown = (value as Record<string, unknown>)[tag];
  switch (tag) {
    case "i":
      return decodeInteger(content, affinity);
    case "r":
      return decodeReal(content);
    case "b":
      return decodeBase64(content);
    case "t": {
      const bytes = decodeBase64(content);
      if (isUtf8(bytes)) throw bad("text with valid bytes is tagged as invalid");
      return { bytes };
    }
    default:
      throw bad("its tag is unknown");
  }
}

function decodeInteger(content: unknown, affinity: Affinity): Bindable {
  if (typeof content !== "string" || !INTEGER.test(content)) throw bad("an integer is not written in plain decimals");
  const integer = BigInt(content);
  if (integer <= MAX_EXACT && integer >= -MAX_EXACT) throw bad("an integer is tagged without need");
  if (integer > MAX_INT64 || integer < -MAX_INT64 - 1n) throw bad("an integer does not fit into 64 bits");
  return affinity === "real" ? Number(integer) : integer;
}

function decodeReal(content: unknown): Bindable {
  if (content === "Infinity") return Number.POSITIVE_INFINITY;
  if (content === "-Infinity") return Number.NEGATIVE_INFINITY;
  if (!Number.isInteger(content)) throw bad("a tagged real is neither infinite nor integral");
  return (content as number) + 0;
}

function decodeBase64(content: unknown): Buffer {
  if (typeof content !== "string") throw bad("bytes are not written as text");
  // Before anything is allocated for it; base64 takes four characters for three bytes.
  if (content.length > Math.ceil(MAX_VALUE_LENGTH / 3) * 4) throw bad("it is too long");
  const bytes = Buffer.from(content, "base64");
  // Node decodes leniently; writing it again shows whether something was passed over.
  if (bytes.toString("base64") !== content) throw bad("bytes are not written in canonical base64");
  return bytes;
}

function checkedText(text: string): string {
  if (text.length > MAX_VALUE_LENGTH) throw bad("it is too long");
  // JSON can carry half of a surrogate pair; SQLite would store U+FFFD in its place and the devices would differ.
  if (LONE_SURROGATE.test(text)) throw bad("text contains half of a surrogate pair");
  return text;
}

function bad(reason: string): Error {
  return replicationErrors.badValue({ reason });
}
