import { API_VERSION, definePlugin, type Events, logMaintenance, syncFigures } from "@tidemark/plugin-api";
import { watchEventLoop } from "./event-loop-delay.js";
import { startFeed } from "./feed.js";
import { Figures } from "./figures.js";
import { MeterSink } from "./meter-sink.js";
import { openTelemetryMeter } from "./opentelemetry.js";
import { adviseOn } from "./pool-advice.js";
import { ProgressLog } from "./progress-log.js";
import { type PrometheusPage, servePrometheus } from "./prometheus.js";
import { metricsReader } from "./reader.js";
import { Sampler } from "./sampler.js";
import { metricsSettings } from "./settings.js";
import { snapshotOf } from "./snapshot.js";
import { WaitWarning } from "./wait-warning.js";

export type { MetricKind } from "./catalogue.js";
export type { Attributes, Series } from "./figures.js";
export type { Health, HealthReason, HealthStatus } from "./health.js";
export type { HistorySample } from "./history.js";
export { type MetricsReader, metricsReader } from "./reader.js";
export type { MetricsSettings } from "./settings.js";
export type { MetricSnapshot, MetricsSnapshot } from "./snapshot.js";

/**
 * Turns what the kernel tells into figures, and judges its health by them. Gives the figures to the kernel's meter, and on
 * demand to OpenTelemetry and Prometheus. Advises the kernel while connections are short. Provides {@link metricsReader}.
 *
 * @example
 * import metrics, { metricsReader } from "@tidemark/plugin-metrics";
 *
 * const settings = defineConfig({ plugins: { metrics: { settings: { prometheus: { port: 9464 } } } } });
 * // Later: tidemark.services.get(metricsReader).health().status
 */
export const metrics = definePlugin({
  manifest: {
    id: "metrics",
    version: "0.1.0",
    apiVersion: API_VERSION,
    provides: [metricsReader.id],
    configuration: metricsSettings,
  },
  async activate({ config, hooks, events, services, logger, meter, clock, signal, subscriptions }) {
    const figures = new Figures({
      onSinkFailure: (error) =>
        logger.warn("A meter has failed and is not given any more figures", {
          error,
          advice: "See what its implementation reports; restart once it is mended",
        }),
    });
    const waitWarning = new WaitWarning({ clock, logger, settings: config.waitWarning });
    const progressLog = new ProgressLog({ clock, logger, everyRecords: config.progressRecords });
    const flush = startFeed({ figures, events, hooks, clock, waitWarning, progressLog });

    // The context gives back what belongs to the kernel's meter.
    figures.addSink(new MeterSink({ meter, figures }));
    if (config.openTelemetry) {
      const sink = new MeterSink({ meter: await openTelemetryMeter(), figures });
      figures.addSink(sink);
      subscriptions.push(...sink.gauges);
    }
    let page: PrometheusPage | undefined;
    if (config.prometheus !== undefined) {
      page = await servePrometheus({ ...config.prometheus, flush });
      figures.addSink(page.sink);
      subscriptions.push(page);
    }

    const { poolAdvice } = config;
    if (poolAdvice !== false) hooks.onPoolPressure.tap((pressure) => adviseOn(pressure, poolAdvice));

    const eventLoop = watchEventLoop(clock);
    subscriptions.push(eventLoop);
    const sampler = new Sampler({
      figures,
      settings: config,
      syncFigures: services.get(syncFigures),
      logMaintenance: services.get(logMaintenance),
      events,
      clock,
      logger,
      signal,
      waitWarning,
      eventLoop,
      flush,
    });
    sampler.start();
    watchForWork({
      events,
      busy: () => {
        eventLoop.busy();
        sampler.busy();
      },
    });
    services.provide(metricsReader, {
      snapshot() {
        flush();
        return snapshotOf({ figures, health: sampler.health(), atMs: clock.now() });
      },
      history: () => sampler.history,
      health: () => sampler.health(),
      prometheusUrl: () => page?.url ?? null,
    });
  },
});

/** What holds the loop up, and makes the log longer or shorter. A heartbeat brings nothing of it. */
function watchForWork({ events, busy }: { readonly events: Events; readonly busy: () => void }): void {
  events.on("changesFolded", busy);
  events.on("batchApplied", busy);
  events.on("backfillStarted", busy);
  events.on("logPruned", busy);
  events.on("pageServed", ({ records }) => {
    if (records > 0) busy();
  });
}

export default metrics;
