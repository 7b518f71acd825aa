import { describe, expect, it } from "vitest";
import { Figures } from "./figures.js";
import { Ring } from "./history.js";

const onSinkFailure = (error: unknown) => {
  throw error;
};

describe("figures", () => {
  it("adds up counters, keeps the last of a gauge, and what is needed to know of a histogram", () => {
    const figures = new Figures({ onSinkFailure });
    figures.add("tidemark.fold.entries", 2, {});
    figures.add("tidemark.fold.entries", 3, {});
    figures.set("tidemark.models", 4, {});
    figures.set("tidemark.models", 7, {});
    figures.record("tidemark.fold.duration", 0.5, {});
    figures.record("tidemark.fold.duration", 1.5, {});
    expect(figures.seriesOf("tidemark.fold.entries")).toEqual([{ attributes: {}, value: 5 }]);
    expect(figures.seriesOf("tidemark.models")).toEqual([{ attributes: {}, value: 7 }]);
    expect(figures.seriesOf("tidemark.fold.duration")).toEqual([
      { attributes: {}, count: 2, sum: 2, min: 0.5, max: 1.5 },
    ]);
  });

  it("counts together what comes after the thousandth series", () => {
    const figures = new Figures({ onSinkFailure });
    for (let peer = 0; peer < 1_500; peer++) {
      figures.add("tidemark.peer.connections", 1, { "tidemark.peer": `peer ${peer}` });
    }
    const series = figures.seriesOf("tidemark.peer.connections");
    expect(series).toHaveLength(1_001);
    expect(series.at(-1)).toEqual({ attributes: { "tidemark.peer": "(others)" }, value: 500 });
    expect(figures.sum("tidemark.peer.connections")).toBe(1_500);
  });

  it("tells sinks the change of a level, and drops the series of a gauge that is cleared", () => {
    const figures = new Figures({ onSinkFailure });
    const told: unknown[] = [];
    figures.addSink({
      measure: (name, value, attributes, delta) => told.push({ name, value, attributes, delta }),
      clear: (name) => told.push({ cleared: name }),
    });
    const attributes = { "db.client.connection.pool.name": "x" };
    figures.set("db.client.connection.max", 30, attributes);
    figures.set("db.client.connection.max", 20, attributes);
    figures.set("tidemark.log.blocked_time", 1, { "tidemark.member": "m" });
    figures.clear("tidemark.log.blocked_time");
    expect(told).toEqual([
      { name: "db.client.connection.max", value: 30, attributes, delta: 30 },
      { name: "db.client.connection.max", value: 20, attributes, delta: -10 },
      { name: "tidemark.log.blocked_time", value: 1, attributes: { "tidemark.member": "m" }, delta: 1 },
      { cleared: "tidemark.log.blocked_time" },
    ]);
    expect(figures.seriesOf("tidemark.log.blocked_time")).toEqual([]);
  });
});

describe("a sink that throws", () => {
  it("is not called any more, and harms neither the figures nor the other sinks", () => {
    const failures: unknown[] = [];
    const figures = new Figures({ onSinkFailure: (error) => failures.push(error) });
    const error = new Error("no more memory for series");
    let told = 0;
    const throws = (): never => {
      throw error;
    };
    figures.addSink({ measure: throws, clear: throws });
    figures.addSink({ measure: () => told++, clear() {} });
    for (let round = 0; round < 3; round++) figures.add("tidemark.fold.entries", 1, {});
    expect({ failures, told, sum: figures.sum("tidemark.fold.entries") }).toEqual({
      failures: [error],
      told: 3,
      sum: 3,
    });
  });
});

describe("the ring", () => {
  it("keeps the latest items, oldest first, and no more than its capacity", () => {
    const ring = new Ring<number>({ capacity: 3 });
    expect(ring.toArray()).toEqual([]);
    for (const item of [1, 2]) ring.push(item);
    expect([ring.toArray(), ring.horizon]).toEqual([[1, 2], undefined]);
    for (const item of [3, 4, 5, 6, 7]) ring.push(item);
    expect([ring.toArray(), ring.horizon]).toEqual([[5, 6, 7], 5]);
  });
});
