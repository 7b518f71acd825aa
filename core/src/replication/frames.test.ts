import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRAGMENT_BYTES, framesOf, MAX_MESSAGE_BYTES, MessageAssembler } from "./frames.js";

const message = (length: number) => {
  const bytes = new Uint8Array(length).map((_, index) => index % 251);
  bytes[0] = 0x7b;
  return bytes;
};

/** Of any length, and just as long as so many fragments, or a byte more or less. */
const length = fc.oneof(
  fc.integer({ min: 1, max: 4 * FRAGMENT_BYTES }),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: -1, max: 1 }))
    .map(([fragments, more]) => fragments * FRAGMENT_BYTES + more),
);

describe("frames", () => {
  it("carry messages of every length whole and in order", () => {
    fc.assert(
      fc.property(fc.array(length, { minLength: 1, maxLength: 4 }), (lengths) => {
        const assembler = new MessageAssembler();
        const arrived = lengths
          .flatMap((length) => [...framesOf(message(length))])
          .flatMap((frame) => {
            expect(frame.length).toBeLessThanOrEqual(65_536);
            return assembler.take(frame) ?? [];
          });
        expect(arrived.map((bytes) => Buffer.from(bytes).equals(message(bytes.length)))).toEqual(
          lengths.map(() => true),
        );
        expect(arrived.map((bytes) => bytes.length)).toEqual(lengths);
      }),
      { numRuns: 30, seed: 7 },
    );
  });

  it("are put together wherever they were cut, by whomever", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            length: fc.integer({ min: 1, max: 40_000 }),
            cuts: fc.array(fc.integer({ min: 1_023, max: 9_000 }), { maxLength: 6 }),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        (messages) => {
          const assembler = new MessageAssembler();
          for (const { length, cuts } of messages) {
            const whole = message(length);
            let at = 0;
            for (const cut of cuts) {
              if (at + cut >= length) break;
              expect(assembler.take(Buffer.concat([Uint8Array.of(1), whole.subarray(at, at + cut)]))).toBeNull();
              at += cut;
            }
            const last = assembler.take(at === 0 ? whole : Buffer.concat([Uint8Array.of(2), whole.subarray(at)]));
            expect(Buffer.from(last!).equals(whole)).toBe(true);
          }
        },
      ),
      { numRuns: 200, seed: 8 },
    );
  });

  it("refuse a message that nobody would put together again", () => {
    expect(() => [...framesOf(new Uint8Array(MAX_MESSAGE_BYTES + 1))]).toThrow(
      expect.objectContaining({ code: "TIDEMARK_RECORD_TOO_LARGE" }),
    );
  });

  it.each([
    ["of no known kind", [Uint8Array.of(9, 1)]],
    ["that is empty", [new Uint8Array(0)]],
    ["that begins a message in the midst of another", [Uint8Array.of(1, 5), Uint8Array.of(0x7b)]],
  ])("refuse a frame %s", (_, frames) => {
    const assembler = new MessageAssembler();
    expect(() => frames.map((frame) => assembler.take(frame))).toThrow(
      expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }),
    );
  });

  it("count the bytes of each message anew", () => {
    const assembler = new MessageAssembler();
    const [first, last] = [1, 2].map((kind) => new Uint8Array(2_000).fill(kind)) as [Uint8Array, Uint8Array];
    for (let count = 0; count < 3; count++) {
      expect(assembler.take(first, 4_000)).toBeNull();
      expect(assembler.take(last, 4_000)).toHaveLength(3_998);
    }
  });

  it("refuse to collect more than the longest message", () => {
    const assembler = new MessageAssembler();
    const part = new Uint8Array(8 * 1024 * 1024).fill(1);
    expect(() => {
      for (let index = 0; index < 10; index++) assembler.take(part);
    }).toThrow(expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }));
  });
});
