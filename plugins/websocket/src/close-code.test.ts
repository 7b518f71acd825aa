import { describe, expect, it } from "vitest";
import { decodeClose, encodeClose } from "./close-code.js";

const sizeBytes = (text: string) => Buffer.byteLength(text);

describe("the close frame", () => {
  it.each([
    { reason: "wrong library", redial: "never" },
    { reason: "busy", redial: { afterMs: 0 } },
    { reason: "", redial: { afterMs: 30_000 } },
    { reason: "two\nlines 12", redial: { afterMs: 1 } },
  ] as const)("carries $reason with $redial to the other side", (outcome) => {
    expect(decodeClose(encodeClose(outcome))).toEqual({
      end: { code: "closed-there", reason: outcome.reason },
      redial: outcome.redial,
    });
  });

  it.each(["x".repeat(200), "ж".repeat(200), "語".repeat(200), "🌊".repeat(200)])(
    "cuts a reason that does not fit 123 bytes between two characters",
    (reason) => {
      for (const redial of ["never", { afterMs: 2_000_000_000 }] as const) {
        const frame = encodeClose({ reason, redial });
        expect(sizeBytes(frame.reason)).toBeLessThanOrEqual(123);
        expect(sizeBytes(frame.reason)).toBeGreaterThan(118);
        expect(frame.reason).not.toContain("\ufffd");
        expect(decodeClose(frame).redial).toEqual(redial);
      }
    },
  );

  it("leaves a reason of exactly 123 bytes whole", () => {
    expect(encodeClose({ reason: "x".repeat(123), redial: "never" }).reason).toBe("x".repeat(123));
  });

  it("limits a delay to what a timer can wait, whoever asks for it", () => {
    const forever = encodeClose({ reason: "later", redial: { afterMs: Number.MAX_SAFE_INTEGER } });
    expect(forever.reason).toBe("2147483647 later");
    expect(decodeClose({ code: 4000, reason: "999999999999999 later" }).redial).toEqual({ afterMs: 2_147_483_647 });
  });

  it.each(["", "soon", "-5 x", "1e9 x", "1234567890123456 x"])(
    "takes a malformed delay (%s) as no word on redialling",
    (reason) => {
      expect(decodeClose({ code: 4000, reason })).toEqual({ end: { code: "closed-there", reason } });
    },
  );

  it("tells apart a connection that broke off, one that was refused for its size, and any other close", () => {
    expect(decodeClose({ code: 1006, reason: "" }).end.code).toBe("lost");
    expect(decodeClose({ code: 1009, reason: "" }).end.code).toBe("frame-too-large");
    expect(decodeClose({ code: 1011, reason: "" }).end).toEqual({
      code: "closed-there",
      reason: "the peer closed with code 1011",
    });
  });
});
