import { deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DEFLATED, deflated, inflated } from "./message-forms.js";

const message = (length: number) => Buffer.from(`{"t":"${"x".repeat(length)}"}`);

describe("long messages", () => {
  it("are deflated and come out as they went in; short ones stay as they are", () => {
    const short = message(100);
    expect(deflated(short)).toBe(short);
    const long = message(20_000);
    const sent = deflated(long);
    expect(sent[0]).toBe(DEFLATED);
    expect(sent.length).toBeLessThan(long.length / 10);
    expect(Buffer.from(inflated(sent, 1 << 20)).equals(long)).toBe(true);
    expect(inflated(short, 1 << 20)).toBe(short);
  });

  it.each<[string, Uint8Array]>([
    ["are not deflated", Uint8Array.of(DEFLATED, 255, 255)],
    ["are nothing but the leading byte", Uint8Array.of(DEFLATED)],
    ["would be longer than allowed", Buffer.concat([Buffer.from([DEFLATED]), deflateRawSync(Buffer.alloc(2_000_000))])],
  ])("are refused when they %s", (_, sent) => {
    expect(() => inflated(sent, 1 << 20)).toThrow(expect.objectContaining({ code: "TIDEMARK_WIRE_MALFORMED" }));
  });
});
