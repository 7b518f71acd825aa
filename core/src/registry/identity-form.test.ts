import fc from "fast-check";
import { expect, it } from "vitest";
import { compareIdentities, isIdentity } from "./identity-form.js";

it("takes uuids and any other visible text", () => {
  for (const text of [
    "0192f0c1-1111-7000-8000-000000000000",
    "a",
    "ünï\u{1F600}",
    '"quoted"',
    "x".repeat(512),
    "\uFFFD",
  ]) {
    expect(isIdentity(text)).toBe(true);
  }
});

it("takes nothing that is empty, too long, blank, invisible or broken", () => {
  for (const text of [
    "",
    "x".repeat(513),
    "a b",
    "a\n",
    "\u0000",
    "a\u0085",
    "\u00a0",
    "\uFEFF",
    "\u2028",
    "\uD800",
    "a\uDE00",
  ]) {
    expect(isIdentity(text)).toBe(false);
  }
});

it("takes only text that sorts, joined by a blank, like the list of its parts", () => {
  const identities = fc.string({ unit: "binary", maxLength: 4 }).filter(isIdentity);
  const pairs = fc.tuple(identities, identities);
  const bytes = (text: string) => Buffer.from(text);
  fc.assert(
    fc.property(pairs, pairs, (a, b) => {
      const asList = Buffer.compare(bytes(a[0]), bytes(b[0])) || Buffer.compare(bytes(a[1]), bytes(b[1]));
      expect(Buffer.compare(bytes(a.join(" ")), bytes(b.join(" ")))).toBe(asList);
    }),
    { seed: 20261122, numRuns: 1000 },
  );
});

it("compares identities by the bytes of their UTF-8", () => {
  const text = fc.string({ unit: "grapheme" });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareIdentities(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { seed: 3, numRuns: 500 },
  );
  expect(compareIdentities("\u{1F600}", "\uFFFD")).toBeGreaterThan(0);
});
