import { isTidemarkError } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { sharedSecretAuthenticator } from "./shared-secret.js";

const secret = "correct-horse-battery-staple";
const transcript = new TextEncoder().encode("library-1|challenge-a|challenge-b|dialler");

describe("the shared-secret authenticator", () => {
  it("accepts the proof of another device that knows the secret", async () => {
    const proof = await sharedSecretAuthenticator({ secret }).prove(transcript);
    expect(sharedSecretAuthenticator({ secret }).verify({ transcript, proof })).toBe(true);
  });

  it("proves by plain HMAC-SHA-256 over the transcript, as openssl computes it", async () => {
    const proof = await sharedSecretAuthenticator({ secret: "0123456789abcdef" }).prove(new TextEncoder().encode("Hi"));
    expect(Buffer.from(proof).toString("hex")).toBe("07affbdae261ca8881a08263b8326ef8fc687ce0fee7af73ac316270f3cfa7b8");
  });

  it.each([
    ["another secret", { secret: `${secret}!` }],
    ["a secret that differs in case", { secret: secret.toUpperCase() }],
  ])("refuses a proof made with %s", async (_, other) => {
    const proof = await sharedSecretAuthenticator(other).prove(transcript);
    expect(sharedSecretAuthenticator({ secret }).verify({ transcript, proof })).toBe(false);
  });

  it("refuses a proof over another transcript, one with a flipped bit, and one of the wrong length", async () => {
    const authenticator = sharedSecretAuthenticator({ secret });
    const proof = await authenticator.prove(transcript);
    const flipped = Uint8Array.from(proof, (byte, index) => (index === 31 ? byte ^ 1 : byte));
    expect(authenticator.verify({ transcript: transcript.subarray(1), proof })).toBe(false);
    expect(authenticator.verify({ transcript, proof: flipped })).toBe(false);
    expect(authenticator.verify({ transcript, proof: proof.subarray(0, 31) })).toBe(false);
    expect(authenticator.verify({ transcript, proof: new Uint8Array() })).toBe(false);
  });

  it("takes the same text for the same secret, however its accents are composed", async () => {
    const proof = await sharedSecretAuthenticator({ secret: "zw\u00f6lf B\u00e4ren tanzen" }).prove(transcript);
    const other = sharedSecretAuthenticator({ secret: "zwo\u0308lf Ba\u0308ren tanzen" });
    expect(other.verify({ transcript, proof })).toBe(true);
  });

  it("refuses a secret of fewer than 16 characters, without repeating it", () => {
    const short = "fifteen-letters";
    let error: unknown;
    try {
      sharedSecretAuthenticator({ secret: short });
    } catch (thrown) {
      error = thrown;
    }
    expect(isTidemarkError(error, "TIDEMARK_TRANSPORT_SECRET_TOO_SHORT")).toBe(true);
    expect(String(error)).not.toContain(short);
    expect(() => sharedSecretAuthenticator({ secret: `${short}!` })).not.toThrow();
  });
});
