import { describe, expect, it } from "vitest";
import { appendPage, isNews, splitFuture } from "./future-page.js";
import type { WireRecords } from "./wire-records.js";

const PAGE: WireRecords = {
  origins: [
    ["a", "device a", "A"],
    ["b", "device b", "B"],
    ["c", "device c", "C"],
  ],
  groups: [
    {
      m: "Note",
      c: ["text"],
      r: [
        ["settled", ["old"]],
        ["now", [50, 0], [], [], 0, ["x"]],
        ["late", [40, 0], [30, -1], [0, 500, 2], 0, ["y"]],
      ],
    },
  ],
};

describe("a page with records from the future", () => {
  it("is split, each record to come with the origins that it names and no others", () => {
    const { present, future } = splitFuture(PAGE, 100);
    expect(present.groups[0]!.r.map(([record]) => record)).toEqual(["settled", "now"]);
    expect(future).toEqual([
      {
        due: 500,
        page: {
          origins: [PAGE.origins[0], PAGE.origins[2]],
          groups: [{ m: "Note", c: ["text"], r: [["late", [40, 0], [30, -1], [0, 500, 1], 0, ["y"]]] }],
        },
        present: null,
      },
    ]);
  });

  it("tells what of a record was there before, without the columns that are from the future", () => {
    const page: WireRecords = {
      ...PAGE,
      groups: [
        { m: "Note", c: ["text", "size", "mood"], r: [["n", [0, 0], [], [1, 500, 1, 2, 60, 2], 0, ["t", 5, "m"]]] },
      ],
    };
    expect(splitFuture(page, 100).future[0]!.present).toEqual({
      page: {
        origins: [PAGE.origins[2]],
        groups: [{ m: "Note", c: ["text", "size", "mood"], r: [["n", [0, 0], [], [2, 60, 0], [0, 2], ["t", "m"]]] }],
      },
      late: ["size"],
    });
  });

  it("tells nothing of one that was made in the future, or changed there as a whole", () => {
    const pages = [[["n", [500, 0], [], [], 0, ["x"]]], [["n", [0, 0], [], [-1, 500, 0], 0, ["x"]]]] as const;
    for (const r of pages) {
      const { future } = splitFuture({ ...PAGE, groups: [{ m: "Note", c: ["text"], r }] }, 100);
      expect(future.map(({ present }) => present)).toEqual([null]);
    }
  });

  it("is itself when there are none", () => {
    expect(splitFuture(PAGE, 500)).toEqual({ present: PAGE, future: [] });
  });

  it("gets them back with other places of origins", () => {
    const { present, future } = splitFuture(PAGE, 100);
    const whole = appendPage(present, future[0]!.page);
    expect(whole.origins.map(([origin]) => origin)).toEqual(["a", "b", "c", "a", "c"]);
    expect(whole.groups[1]!.r).toEqual([["late", [40, 3], [30, -1], [0, 500, 4], 0, ["y"]]]);
  });

  it("is news only to whoever lacks one of its stamps", () => {
    const { page } = splitFuture(PAGE, 100).future[0]!;
    expect(isNews(page, () => 0)).toBe(true);
    expect(isNews(page, (origin) => ({ a: 40, c: 499 })[origin] ?? 0)).toBe(true);
    expect(isNews(page, (origin) => ({ a: 39, c: 500 })[origin] ?? 0)).toBe(true);
    expect(isNews(page, (origin) => ({ a: 40, c: 500 })[origin] ?? 0)).toBe(false);
    expect(isNews({ origins: [], groups: [{ m: "Note", c: [], r: [["settled", []]] }] }, () => 0)).toBe(false);
  });
});
