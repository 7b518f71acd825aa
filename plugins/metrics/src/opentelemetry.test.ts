import { metrics as otel } from "@opentelemetry/api";
import { type Meter, noopMeter } from "@tidemark/plugin-api";
import { afterEach, describe, expect, it } from "vitest";
import { catalogue, metricNames } from "./catalogue.js";
import { Figures } from "./figures.js";
import { Folder, TestLibrary } from "./library.test-support.js";
import { MeterSink } from "./meter-sink.js";
import { openTelemetryMeter } from "./opentelemetry.js";

/** Adds up what it is given, as OpenTelemetry's own would. */
class FakeMeter {
  readonly instruments = new Map<string, { readonly kind: string; readonly unit: string | undefined; sum: number }>();
  readonly callbacks = new Map<string, Set<(result: { observe(value: number, attributes: object): void }) => void>>();

  #make(kind: string, name: string, unit?: string) {
    const instrument = { kind, unit, sum: 0 };
    this.instruments.set(name, instrument);
    const add = (value: number) => {
      instrument.sum += value;
    };
    return { add, record: add };
  }

  createCounter(name: string, options?: { unit?: string }) {
    return this.#make("counter", name, options?.unit);
  }
  createUpDownCounter(name: string, options?: { unit?: string }) {
    return this.#make("level", name, options?.unit);
  }
  createHistogram(name: string, options?: { unit?: string }) {
    return this.#make("histogram", name, options?.unit);
  }
  createObservableGauge(name: string, options?: { unit?: string }) {
    this.#make("gauge", name, options?.unit);
    const callbacks = new Set<(result: { observe(value: number, attributes: object): void }) => void>();
    this.callbacks.set(name, callbacks);
    return {
      addCallback: (callback: (result: { observe(value: number, attributes: object): void }) => void) =>
        callbacks.add(callback),
      removeCallback: (callback: (result: { observe(value: number, attributes: object): void }) => void) =>
        callbacks.delete(callback),
    };
  }

  /** What a gauge says now. */
  collect(name: string): unknown[] {
    const seen: unknown[] = [];
    for (const callback of this.callbacks.get(name) ?? []) {
      callback({ observe: (value, attributes) => seen.push({ value, attributes }) });
    }
    return seen;
  }
}

describe("OpenTelemetry", () => {
  let library: TestLibrary | undefined;
  afterEach(async () => {
    otel.disable();
    await library?.dispose();
    library = undefined;
  });

  it("is given every metric under its name and unit, and the same values as the snapshot", async () => {
    const meter = new FakeMeter();
    const asked: string[] = [];
    otel.setGlobalMeterProvider({
      getMeter(name: string) {
        asked.push(name);
        return meter;
      },
    } as never); // As much of a provider as is used.
    library = new TestLibrary();
    const a = await library.device("a", { metrics: { openTelemetry: true, sampleMs: 1_000 } });
    await a.dataSource.getRepository(Folder).save({ uuid: "f", name: "f" });
    await library.until("the folder is in the log", () => a.recordedOf("changesFolded").length > 0);
    await library.clock.advance(1_000);

    expect(asked).toEqual(["tidemark"]);
    expect([...meter.instruments].map(([name, { kind, unit }]) => ({ name, kind, unit }))).toEqual(
      metricNames.map((name) => ({ name, kind: catalogue[name].kind, unit: catalogue[name].unit })),
    );
    for (const { name, kind, series } of a.reader.snapshot().metrics) {
      if (kind === "gauge") {
        expect(meter.collect(name), name).toEqual(
          series.map((one) => ({ value: "value" in one && one.value, attributes: one.attributes })),
        );
      } else {
        const sum = series.reduce((total, one) => total + ("value" in one ? one.value : one.sum), 0);
        expect(meter.instruments.get(name)?.sum, name).toBeCloseTo(sum);
      }
    }
    await a.tidemark.stop();
    expect([...meter.callbacks.values()].filter((callbacks) => callbacks.size > 0)).toEqual([]);
  });

  it("is not asked for when it is off", async () => {
    const asked: string[] = [];
    otel.setGlobalMeterProvider({ getMeter: (name: string) => asked.push(name) } as never); // Never used.
    library = new TestLibrary();
    await library.device("a");
    expect(asked).toEqual([]);
  });

  it("is an error that says what to do when the package is not there", async () => {
    const load = () => Promise.reject(new Error("Cannot find package"));
    await expect(openTelemetryMeter({ load })).rejects.toMatchObject({
      code: "TIDEMARK_METRICS_OPENTELEMETRY_MISSING",
      advice: expect.stringContaining("@opentelemetry/api"),
    });
  });
});

describe("the kernel's meter", () => {
  it("is given levels as changes, and gauges when it collects", () => {
    const given: unknown[] = [];
    let collect = (): void => {};
    const meter: Meter = {
      ...noopMeter,
      createUpDownCounter: (name) => ({ add: (value) => given.push([name, value]) }),
      createObservableGauge(name, _options, observe) {
        if (name === "tidemark.models") collect = () => observe((value) => given.push([name, value]));
        return { dispose() {} };
      },
    };
    const figures = new Figures({ onSinkFailure: (error) => expect.unreachable(String(error)) });
    figures.addSink(new MeterSink({ meter, figures }));
    const pool = { "db.client.connection.pool.name": "tidemark" };
    figures.set("db.client.connection.max", 30, pool);
    figures.set("db.client.connection.max", 10, pool);
    figures.set("tidemark.models", 3, {});
    collect();
    expect(given).toEqual([
      ["db.client.connection.max", 30],
      ["db.client.connection.max", -20],
      ["tidemark.models", 3],
    ]);
  });
});
