import { describe, expect, it } from "vitest";
import { isLater, Ledger, type Value, type WriteStamp } from "./ledger.js";
import { modelsOf } from "./library-model.js";

const MODELS = modelsOf(1);

function at(hlc: number, origin = "x"): WriteStamp {
  return { hlc, origin };
}

function values(given: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(given));
}

function folder(ledger: Ledger, record: string) {
  const expected = ledger.merged(MODELS).get("Folder")?.get(record);
  return expected?.visible ? Object.fromEntries(expected.values) : null;
}

describe("the ledger", () => {
  it("takes the latest edit of each column", () => {
    const ledger = new Ledger();
    const record = { model: "Folder", record: "f" };
    ledger.add({ kind: "birth", ...record, stamp: at(1), values: values({ name: "first", size: 0, parent: null }) });
    ledger.add({ kind: "edit", ...record, stamp: at(5), column: "name", values: values({ name: "later" }) });
    ledger.add({ kind: "edit", ...record, stamp: at(3), column: "name", values: values({ name: "earlier" }) });
    ledger.add({ kind: "edit", ...record, stamp: at(2), column: "size", values: values({ size: 7 }) });
    expect(folder(ledger, "f")).toEqual({ name: "later", size: 7, parent: null });
  });

  it("lets a delete beat an edit that it raced with, and a later birth begin anew", () => {
    const ledger = new Ledger();
    const record = { model: "Folder", record: "f" };
    ledger.add({ kind: "birth", ...record, stamp: at(1), values: values({ name: "first", size: 0, parent: null }) });
    ledger.add({ kind: "edit", ...record, stamp: at(9), column: "size", values: values({ size: 7 }) });
    ledger.add({ kind: "death", ...record, stamp: at(5) });
    expect(folder(ledger, "f")).toBeNull();
    ledger.add({ kind: "birth", ...record, stamp: at(6), values: values({ name: "second", size: 1, parent: null }) });
    expect(folder(ledger, "f")).toEqual({ name: "second", size: 7, parent: null });
    ledger.add({ kind: "birth", ...record, stamp: at(10), values: values({ name: "third", size: 2, parent: null }) });
    expect(folder(ledger, "f")).toEqual({ name: "third", size: 2, parent: null });
  });

  it("reads NULL where an optional reference means a life that is over, and hides what must refer to one", () => {
    const ledger = new Ledger();
    const person = (stamp: WriteStamp, team: string) =>
      ledger.add({ kind: "birth", model: "Person", record: "p", stamp, values: values({ name: "p", team }) });
    const team = (stamp: WriteStamp) =>
      ledger.add({ kind: "birth", model: "Team", record: "t", stamp, values: values({ name: "t", leader: "p" }) });
    team(at(1));
    person(at(2), "t");
    const seen = () => {
      const merged = ledger.merged(MODELS);
      return {
        person: merged.get("Person")!.get("p")!.visible,
        leader: merged.get("Team")!.get("t")!.values.get("leader"),
      };
    };
    // The leader came after the reference to it.
    expect(seen()).toEqual({ person: true, leader: null });
    ledger.add({ kind: "death", model: "Team", record: "t", stamp: at(3) });
    team(at(4));
    expect(seen()).toEqual({ person: false, leader: null });
    ledger.add({
      kind: "edit",
      model: "Person",
      record: "p",
      stamp: at(5),
      column: "team",
      values: values({ team: "t" }),
    });
    expect(seen()).toEqual({ person: true, leader: "p" });
  });

  it("forgets what a loss of power took back, of that device alone", () => {
    const ledger = new Ledger();
    for (const origin of ["x", "y"]) ledger.add({ kind: "death", model: "Folder", record: "f", stamp: at(5, origin) });
    expect(ledger.lose("x", 4)).toBe(1);
    expect([...ledger].map(({ stamp }) => stamp.origin)).toEqual(["y"]);
    expect(ledger.lose("y", 5)).toBe(0);
    const carriedBy = at(9, "x");
    ledger.add({ kind: "death", model: "Folder", record: "f", stamp: at(7, "y"), carriedBy });
    expect(ledger.lose("x", 8)).toBe(1);
    expect([...ledger]).toHaveLength(1);
  });

  it("orders stamps by time, then by origin, with a floor above all origins", () => {
    expect(isLater(at(2, "a"), at(1, "z"))).toBe(true);
    expect(isLater(at(1, "z"), at(1, "a"))).toBe(true);
    expect(isLater(at(1, ""), at(1, "z"))).toBe(true);
    expect(isLater(at(1, "z"), at(1, ""))).toBe(false);
    expect(isLater(at(1, "a"), at(1, "a"))).toBe(false);
  });
});
