import { deflateRawSync, inflateRawSync } from "node:zlib";
import { replicationErrors } from "./errors.js";

/**
 * The forms of a message besides plain JSON, each led by a byte of its own: with bytes behind its JSON, and deflated. Long
 * messages are deflated as quickly as can be: what they hold is either very much alike or not at all.
 */

/** A message in another form, deflated. */
export const DEFLATED = 3;
/** The length of the JSON, the JSON, and bytes. */
export const WITH_BYTES = 4;

/** Shorter messages gain little; live changes are to be quick. */
const WORTH_DEFLATING_BYTES = 8 * 1024;

/** The message as it is sent. */
export function deflated(message: Uint8Array): Uint8Array {
  if (message.length < WORTH_DEFLATING_BYTES) return message;
  const body = deflateRawSync(message, { level: 1 });
  const whole = new Uint8Array(body.length + 1);
  whole[0] = DEFLATED;
  whole.set(body, 1);
  return whole;
}

/** The inverse of {@link deflated}. Throws `TIDEMARK_WIRE_MALFORMED`, also for what would be longer than `limit` bytes. */
export function inflated(message: Uint8Array, limit: number): Uint8Array {
  if (message[0] !== DEFLATED) return message;
  try {
    return inflateRawSync(message.subarray(1), { maxOutputLength: limit });
  } catch {
    throw replicationErrors.malformed({ reason: "a message is not deflated well, or is too long" });
  }
}
