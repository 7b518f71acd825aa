// Holds the present value of every metric, and passes each measurement on to whoever else counts (OpenTelemetry, a
// Prometheus page). Keeps the number of series bounded, because names of models and members come from other devices.

import { type AttributesOf, catalogue, type MetricDefinition, type MetricName, type MetricOf } from "./catalogue.js";

/** The dimensions of a series, by name. */
export type Attributes = Readonly<Record<string, string | boolean>>;

/** Somebody else who counts. Called for every measurement, so it must be quick. */
export interface Sink {
  /** `delta` is what the value of a level has changed by; for the others the value itself. */
  measure(name: MetricName, value: number, attributes: Attributes, delta: number): void;
  /** All series of a gauge are dropped. */
  clear(name: MetricName): void;
}

/** One set of attributes of a metric, with its value; for a histogram what is known of its values. */
export type Series =
  | { readonly attributes: Attributes; readonly value: number }
  | {
      readonly attributes: Attributes;
      readonly count: number;
      readonly sum: number;
      readonly min: number;
      readonly max: number;
    };

interface Entry {
  readonly attributes: Attributes;
  /** The value, or the sum of a histogram. */
  value: number;
  count: number;
  min: number;
  max: number;
}

/** More series than this of one metric are counted together. */
const MAX_SERIES = 1_000;
const OTHERS = "(others)";

export class Figures {
  readonly #metrics = new Map<MetricName, Map<string, Entry>>();
  readonly #sinks = new Set<Sink>();
  readonly #onSinkFailure: (error: unknown) => void;

  /** A sink that throws is not called any more; `onSinkFailure` is told why. */
  constructor({ onSinkFailure }: { readonly onSinkFailure: (error: unknown) => void }) {
    this.#onSinkFailure = onSinkFailure;
  }

  addSink(sink: Sink): void {
    this.#sinks.add(sink);
  }

  add<Name extends MetricOf<"counter">>(name: Name, value: number, attributes: AttributesOf<Name>): void {
    this.#measure(name, attributes, value, (entry) => {
      entry.value += value;
    });
  }

  record<Name extends MetricOf<"histogram">>(name: Name, value: number, attributes: AttributesOf<Name>): void {
    this.#measure(name, attributes, value, (entry) => {
      entry.value += value;
      entry.count++;
      entry.min = Math.min(entry.min, value);
      entry.max = Math.max(entry.max, value);
    });
  }

  set<Name extends MetricOf<"gauge" | "level">>(name: Name, value: number, attributes: AttributesOf<Name>): void {
    this.#measure(name, attributes, value, (entry) => {
      entry.value = value;
    });
  }

  /** Drops all series of a gauge: what they were of may be gone. */
  clear(name: MetricOf<"gauge">): void {
    this.#metrics.delete(name);
    this.#tell((sink) => sink.clear(name));
  }

  /** The series of a metric; empty while nothing has fed it. */
  seriesOf(name: MetricName): readonly Series[] {
    const { kind }: MetricDefinition = catalogue[name];
    return [...(this.#metrics.get(name)?.values() ?? [])].map(({ attributes, value, count, min, max }) =>
      kind === "histogram" ? { attributes, count, sum: value, min, max } : { attributes, value },
    );
  }

  /** The values of the series that fit, added up; of a histogram, how many values it has seen. */
  sum(name: MetricName, fits: (attributes: Attributes) => boolean = () => true): number {
    let sum = 0;
    for (const series of this.seriesOf(name)) {
      if (fits(series.attributes)) sum += "value" in series ? series.value : series.count;
    }
    return sum;
  }

  #measure(name: MetricName, attributes: Attributes, value: number, change: (entry: Entry) => void): void {
    const entry = this.#entryOf(name, attributes);
    const before = entry.value;
    change(entry);
    this.#tell((sink) => sink.measure(name, value, entry.attributes, entry.value - before));
  }

  #tell(say: (sink: Sink) => void): void {
    for (const sink of this.#sinks) {
      try {
        say(sink);
      } catch (error) {
        this.#sinks.delete(sink);
        this.#onSinkFailure(error);
      }
    }
  }

  #entryOf(name: MetricName, attributes: Attributes): Entry {
    let series = this.#metrics.get(name);
    if (series === undefined) {
      series = new Map();
      this.#metrics.set(name, series);
    }
    const values = Object.values(attributes);
    // Most have one dimension or none; all the values of a metric's series are of the same number.
    const [only] = values;
    const key = values.length < 2 && typeof only !== "boolean" ? (only ?? "") : JSON.stringify(values);
    const known = series.get(key);
    if (known !== undefined) return known;
    const together = Object.fromEntries(Object.keys(attributes).map((attribute) => [attribute, OTHERS]));
    if (series.size >= MAX_SERIES && values.some((value) => value !== OTHERS)) {
      return this.#entryOf(name, together);
    }
    const entry = {
      attributes: Object.freeze({ ...attributes }),
      value: 0,
      count: 0,
      min: Number.POSITIVE_INFINITY,
      max: Number.NEGATIVE_INFINITY,
    };
    series.set(key, entry);
    return entry;
  }
}
