/**
 * What a text has to be to serve as the identity of a record. Identities end up in JSON, in keys and in log lines, and a
 * derived identity is several of them joined by a blank that must sort before each of their characters. So: 1 to 512
 * characters, no white space, no control characters, no half of a surrogate pair. A derived identity is not one itself;
 * its parts are.
 */
export function isIdentity(text: string): boolean {
  return text.length <= MAX_LENGTH && (PLAIN.test(text) || ANY.test(text));
}

const MAX_LENGTH = 512;
/** What nearly all identities are; asked first, because it is quicker. */
const PLAIN = /^[!-~]+$/;
const ANY = /^[^\p{Cc}\p{Cs}\s]+$/u;
