import { describe, expect, it } from "vitest";
import { IdSet } from "./id-set.js";
import { uuidV5, uuidV7Source } from "./uuid.js";

describe("identities", () => {
  it("makes version 5 uuids as RFC 9562 says", () => {
    // The example of RFC 9562, appendix A.4.
    const dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    expect(uuidV5({ namespace: dns, name: "www.example.com" })).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2");
  });

  it("makes version 7 uuids that sort by time", () => {
    let now = 1_700_000_000_000;
    const next = uuidV7Source({ clock: { now: () => now }, random: { bytes: (length) => Buffer.alloc(length, 0xff) } });
    const first = next();
    now += 1;
    const second = next();
    expect(first).toBe("018bcfe5-6800-7fff-bfff-ffffffffffff");
    expect(second > first).toBe(true);
  });

  it("remembers ids far apart", () => {
    const set = new IdSet();
    for (const id of [1, 8, 9, 100_000, 5_000_000]) set.add(id);
    expect([1, 8, 9, 100_000, 5_000_000].every((id) => set.has(id))).toBe(true);
    expect([0, 2, 7, 10, 99_999, 100_001, 9_000_000].some((id) => set.has(id))).toBe(false);
  });
});
