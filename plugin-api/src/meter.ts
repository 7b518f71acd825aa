/** Dimensions of a measurement. Keep their values few: every distinct set is a series. */
export type MetricAttributes = Readonly<Record<string, string | number | boolean>>;

/** What an instrument measures. */
export interface InstrumentOptions {
  /** The unit in UCUM, as OpenTelemetry wants it: `s`, `By`, `{row}`. */
  readonly unit: string;
  readonly description: string;
}

/** Only ever rises. */
export interface Counter {
  add(value: number, attributes?: MetricAttributes): void;
}

/** Goes up and down. */
export interface UpDownCounter {
  add(value: number, attributes?: MetricAttributes): void;
}

/** Records single values, to be looked at as a distribution. */
export interface Histogram {
  record(value: number, attributes?: MetricAttributes): void;
}

/** Is read when somebody collects. */
export interface ObservableGauge {
  dispose(): void;
}

/** A small part of OpenTelemetry's meter, by the same names, so that either can stand behind it. */
export interface Meter {
  createCounter(name: string, options: InstrumentOptions): Counter;
  createUpDownCounter(name: string, options: InstrumentOptions): UpDownCounter;
  createHistogram(name: string, options: InstrumentOptions): Histogram;
  /** `observe` is called once per collection and must not block. */
  createObservableGauge(
    name: string,
    options: InstrumentOptions,
    observe: (report: (value: number, attributes?: MetricAttributes) => void) => void,
  ): ObservableGauge;
}

const noopInstrument = { add() {}, record() {}, dispose() {} };

/** Measures nothing. The default. */
export const noopMeter: Meter = {
  createCounter: () => noopInstrument,
  createUpDownCounter: () => noopInstrument,
  createHistogram: () => noopInstrument,
  createObservableGauge: () => noopInstrument,
};
