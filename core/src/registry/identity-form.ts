/**
 * What a text has to be to serve as the identity of a record. Identities end up in JSON, in keys and in log lines, and a
 * derived identity is several of them joined by a blank that must sort before each of their characters. So: 1 to 512
 * characters, no white space, no control characters, no half of a surrogate pair. A derived identity is not one itself;
 * its parts are.
 */
export function isIdentity(value: unknown): boolean {
  return typeof value === "string" && value.length <= MAX_LENGTH && (PLAIN.test(value) || ANY.test(value));
}

const MAX_LENGTH = 512;
/** What nearly all identities are; asked first, because it is quicker. */
const PLAIN = /^[!-~]+$/;
const ANY = /^[^\p{Cc}\p{Cs}\s]+$/u;

/** The order of identities on every device: by the bytes of their UTF-8, as SQLite compares text. */
export function compareIdentities(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return inUtf8Order(left) - inUtf8Order(right);
  }
  return a.length - b.length;
}

/** UTF-16 puts surrogate pairs, which stand for the highest characters, before U+E000; UTF-8 does not. */
function inUtf8Order(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
