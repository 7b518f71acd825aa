// How the end of a connection is told to the other side: the code and the 123 bytes of text that a WebSocket close
// frame has room for. 4000–4999 are the codes that RFC 6455 leaves to applications.

import type { CloseOutcome, CloseReason } from "@tidemark/plugin-api";
import { MAX_DELAY_MS } from "./settings.js";

export interface CloseFrame {
  readonly code: number;
  /** At most 123 bytes of UTF-8. */
  readonly reason: string;
}

/** The dialler may try again after the milliseconds at the beginning of the text. */
const REDIAL_AFTER = 4000;
/** The dialler must not try again. */
const REDIAL_NEVER = 4001;

/** This end goes away without a word from its kernel; the dialler decides when to try again. */
export const GOING_AWAY = 1001;
export const TEXT_FRAME_REFUSED = 1003;
const NO_CODE = 1005;
const NO_CLOSE_FRAME = 1006;
const FRAME_TOO_LARGE = 1009;

const MAX_REASON_BYTES = 123;

export function encodeClose({ reason, redial }: CloseOutcome): CloseFrame {
  return redial === "never"
    ? { code: REDIAL_NEVER, reason: fitReason(reason) }
    : { code: REDIAL_AFTER, reason: fitReason(`${delayWithinLimits(redial.afterMs)} ${reason}`) };
}

/** What a close frame of the peer, or its absence, says. `redial` is absent when the peer has said nothing of it. */
export function decodeClose({ code, reason }: CloseFrame): {
  readonly end: CloseReason;
  readonly redial?: CloseOutcome["redial"];
} {
  switch (code) {
    case REDIAL_NEVER:
      return { end: { code: "closed-there", reason }, redial: "never" };
    case REDIAL_AFTER: {
      const [, afterMs, text] = /^(\d{1,15}) (.*)$/s.exec(reason) ?? [];
      if (afterMs === undefined || text === undefined) return { end: { code: "closed-there", reason } };
      return {
        end: { code: "closed-there", reason: text },
        redial: { afterMs: delayWithinLimits(Number(afterMs)) },
      };
    }
    case NO_CLOSE_FRAME:
      return { end: { code: "lost", reason: "the connection broke off" } };
    case FRAME_TOO_LARGE:
      return { end: { code: "frame-too-large", reason: reason || "the peer refused a frame as too large" } };
    case NO_CODE:
      return { end: { code: "closed-there", reason: "the peer closed without a reason" } };
    default:
      return { end: { code: "closed-there", reason: reason || `the peer closed with code ${code}` } };
  }
}

/** `afterMs` as a whole number that a timer can wait for. */
export function delayWithinLimits(afterMs: number): number {
  return Math.round(Math.min(Math.max(afterMs, 0), MAX_DELAY_MS));
}

/** As much of `text` as fits a close frame, cut between two characters. */
function fitReason(text: string): string {
  if (Buffer.byteLength(text) <= MAX_REASON_BYTES) return text;
  let fitted = "";
  let sizeBytes = Buffer.byteLength("…");
  for (const character of text) {
    sizeBytes += Buffer.byteLength(character);
    if (sizeBytes > MAX_REASON_BYTES) break;
    fitted += character;
  }
  return `${fitted}…`;
}
