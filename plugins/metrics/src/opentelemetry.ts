// Puts OpenTelemetry's API behind the kernel's meter. The API is the application's; it is loaded only when it is wanted.

import type { Attributes, ObservableResult } from "@opentelemetry/api";
import type { Meter } from "@tidemark/plugin-api";
import { metricsErrors } from "./errors.js";

/** As much of the API as is used. */
export type OpenTelemetryApi = Pick<typeof import("@opentelemetry/api"), "metrics">;

const loadApi = (): Promise<OpenTelemetryApi> => import("@opentelemetry/api");

/** The meter `tidemark` of the global provider. Rejects with `TIDEMARK_METRICS_OPENTELEMETRY_MISSING`. */
export async function openTelemetryMeter({
  load = loadApi,
}: {
  readonly load?: () => Promise<OpenTelemetryApi>;
} = {}): Promise<Meter> {
  let api: OpenTelemetryApi;
  try {
    api = await load();
  } catch (cause) {
    throw metricsErrors.openTelemetryMissing({ cause });
  }
  const meter = api.metrics.getMeter("tidemark");
  return {
    createCounter: (name, options) => meter.createCounter(name, options),
    createUpDownCounter: (name, options) => meter.createUpDownCounter(name, options),
    createHistogram: (name, options) => meter.createHistogram(name, options),
    createObservableGauge(name, options, observe) {
      const gauge = meter.createObservableGauge(name, options);
      const callback = (result: ObservableResult<Attributes>) =>
        observe((value, attributes) => result.observe(value, attributes));
      gauge.addCallback(callback);
      return { dispose: () => gauge.removeCallback(callback) };
    },
  };
}
