import { describe, expect, it } from "vitest";
import { noteDifferences, type Tables, TablesAlone } from "./alone.js";
import { Ledger, type Value } from "./ledger.js";
import { modelsOf } from "./library-model.js";

function labels(values: Readonly<Record<string, Value>>): Tables {
  const others = modelsOf(2).map(({ name }) => [name, new Map()] as const);
  return new Map([...others, ["Label", new Map([["l", new Map(Object.entries(values))]])]]);
}

function noted(before: Tables, now: Tables) {
  const ledger = new Ledger();
  noteDifferences({ ledger, models: modelsOf(2), before, now, stamp: { hlc: 7, origin: "x" } });
  return [...ledger].map((write) => [write.kind, write.record, write.kind === "edit" ? write.column : null]);
}

describe("what has changed in the tables of a device that is alone", () => {
  it("is what the columns say now, and not that a version of the application brings more of them", () => {
    const before = labels({ name: "one", colour: null });
    expect(noted(before, labels({ name: "two", colour: null, mood: null }))).toEqual([["edit", "l", "name"]]);
    expect(noted(before, labels({ name: "one", colour: null, mood: "glad" }))).toEqual([["edit", "l", "mood"]]);
  });

  it("is counted again from where a loss of power has led", () => {
    const [first, second, third] = ["one", "two", "three"].map((name) => labels({ name }));
    const alone = new TablesAlone();
    alone.note({ origin: "x", hlc: 1, tables: first! });
    alone.keep();
    alone.note({ origin: "x", hlc: 2, tables: second! });
    alone.note({ origin: "x", hlc: 3, tables: third! });
    alone.note({ origin: "x", hlc: 4, tables: null });
    alone.goBack("x", 3);
    expect(alone.of("x")).toBe(third);
    alone.goBack("x", 1);
    expect(alone.of("x")).toBe(first);
    expect(alone.of("y")).toBeNull();
  });
});
