import { replicationErrors } from "./errors.js";
import { DEFLATED, WITH_BYTES } from "./message-forms.js";

/**
 * Carries messages of any size in frames of a bounded one. A message that fits is its own frame: it begins with `{`, being
 * a JSON object, or with the byte that leads one of another form. A longer one is cut into fragments, each led by a byte
 * that says whether more follows.
 */
const MORE = 1;
const LAST = 2;
const WHOLE: ReadonlySet<number | undefined> = new Set([0x7b, DEFLATED, WITH_BYTES]);

/** Bytes of a fragment: with its leading byte no more than the smallest `maxFrameBytes` that can be set. */
export const FRAGMENT_BYTES = 64 * 1024 - 1;
/** Smaller parts than this are sent by nobody but whoever wants to fill the memory with their number. */
const LEAST_FRAGMENT_BYTES = 1_024;
/** The longest message of a peer that has not introduced itself yet. */
export const MAX_INTRODUCTION_BYTES = 4 * 1024 * 1024;
/** The longest message that is put together again, in bytes. A record that is longer than this can't be synced. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export function* framesOf(message: Uint8Array): Iterable<Uint8Array> {
  if (message.length > MAX_MESSAGE_BYTES) {
    throw replicationErrors.messageTooLong({ bytes: message.length, limit: MAX_MESSAGE_BYTES });
  }
  if (message.length <= FRAGMENT_BYTES) {
    yield message;
    return;
  }
  for (let from = 0; from < message.length; from += FRAGMENT_BYTES) {
    const part = message.subarray(from, from + FRAGMENT_BYTES);
    const frame = new Uint8Array(part.length + 1);
    frame[0] = from + FRAGMENT_BYTES < message.length ? MORE : LAST;
    frame.set(part, 1);
    yield frame;
  }
}

export class MessageAssembler {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  /**
   * The message of at most `limit` bytes that the frame completes; null while more has to come. Throws
   * `TIDEMARK_WIRE_MALFORMED`.
   */
  take(frame: Uint8Array, limit = MAX_MESSAGE_BYTES): Uint8Array | null {
    const kind = frame[0];
    if (WHOLE.has(kind)) {
      if (this.#parts.length > 0)
        throw replicationErrors.malformed({ reason: "a message in the midst of another one" });
      return frame;
    }
    if (kind !== MORE && kind !== LAST)
      throw replicationErrors.malformed({ reason: "a frame is neither a message nor a part of one" });
    this.#bytes += frame.length - 1;
    if (kind === MORE && frame.length < LEAST_FRAGMENT_BYTES)
      throw replicationErrors.malformed({ reason: "a part of a message is too short" });
    if (this.#bytes > limit) throw replicationErrors.malformed({ reason: "a message is too long" });
    this.#parts.push(frame.subarray(1));
    if (kind === MORE) return null;
    const message = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return message;
  }
}
