// Proves membership by a secret that all devices of a library share. It sees transcripts only: what they contain, and
// that both challenges are in them, is the session's business. The secret is never sent, logged or put into an error.

import { createHmac, timingSafeEqual } from "node:crypto";
import type { Authenticator } from "@tidemark/plugin-api";
import { transportErrors } from "./errors.js";

const MIN_SECRET_CHARACTERS = 16;

/**
 * An authenticator that proves knowledge of `secret` by HMAC-SHA-256 over the session's transcript.
 *
 * Whoever sees a proof can try secrets against it at leisure, so the secret must be random, not a pass phrase.
 *
 * Throws `TIDEMARK_TRANSPORT_SECRET_TOO_SHORT` when the secret has fewer than 16 characters.
 *
 * @example
 * const authenticator = sharedSecretAuthenticator({ secret: "kQ3v…" });
 */
export function sharedSecretAuthenticator({ secret }: { readonly secret: string }): Authenticator {
  const length = [...secret].length;
  if (length < MIN_SECRET_CHARACTERS) throw transportErrors.secretTooShort({ length, minimum: MIN_SECRET_CHARACTERS });
  // The same letters may be typed composed on one system and decomposed on another.
  const key = Buffer.from(secret.normalize("NFC"), "utf8");
  const prove = (transcript: Uint8Array): Uint8Array =>
    new Uint8Array(createHmac("sha256", key).update(transcript).digest());
  return {
    method: "shared-secret-hmac-sha256",
    prove,
    verify({ transcript, proof }) {
      const expected = prove(transcript);
      // The length of a right proof is no secret; its bytes are.
      return proof.byteLength === expected.byteLength && timingSafeEqual(expected, proof);
    },
  };
}
