// Passes measurements on to a meter: the one that the application gave to the kernel, or OpenTelemetry's.

import type { Counter, Histogram, Meter, Subscription } from "@tidemark/plugin-api";
import { catalogue, type MetricDefinition, type MetricName, metricNames } from "./catalogue.js";
import type { Attributes, Figures, Sink } from "./figures.js";

type Instrument = (value: number, attributes: Attributes, delta: number) => void;

/** Makes one instrument per metric. Gauges are read from `figures` when somebody collects, until they are disposed of. */
export class MeterSink implements Sink {
  /** The gauges, to be given back. */
  readonly gauges: Subscription[] = [];
  readonly #instruments = new Map<MetricName, Instrument>();

  constructor({ meter, figures }: { readonly meter: Meter; readonly figures: Figures }) {
    for (const name of metricNames) {
      const { kind, unit, description }: MetricDefinition = catalogue[name];
      const options = { unit, description };
      if (kind === "gauge") {
        const gauge = meter.createObservableGauge(name, options, (report) => {
          for (const series of figures.seriesOf(name)) if ("value" in series) report(series.value, series.attributes);
        });
        this.gauges.push(gauge);
      } else if (kind === "level") {
        const level = meter.createUpDownCounter(name, options);
        this.#instruments.set(name, (_value, attributes, delta) => level.add(delta, attributes));
      } else {
        this.#instruments.set(name, instrumentOf(meter, name, kind, options));
      }
    }
  }

  measure(name: MetricName, value: number, attributes: Attributes, delta: number): void {
    this.#instruments.get(name)?.(value, attributes, delta);
  }

  /** Gauges are read where they were cleared. */
  clear(): void {}
}

function instrumentOf(
  meter: Meter,
  name: MetricName,
  kind: "counter" | "histogram",
  options: { readonly unit: string; readonly description: string },
): Instrument {
  if (kind === "counter") {
    const counter: Counter = meter.createCounter(name, options);
    return (value, attributes) => counter.add(value, attributes);
  }
  const histogram: Histogram = meter.createHistogram(name, options);
  return (value, attributes) => histogram.record(value, attributes);
}
