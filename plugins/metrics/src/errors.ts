import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of this plugin, with its stable code. */
export const metricsErrors = {
  listenFailed: ({ host, port, cause }: { readonly host: string; readonly port: number; readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_METRICS_LISTEN_FAILED",
      what: `The page for Prometheus can't be served on port ${port} of ${host}`,
      why:
        (cause as NodeJS.ErrnoException | undefined)?.code === "EADDRINUSE"
          ? "another process, or another kernel of this one, listens there already"
          : cause instanceof Error
            ? cause.message
            : "the system refused without a reason",
      advice: "Set `prometheus.port` to another port (0 takes any free one), or leave `prometheus` out",
      details: { host, port },
      cause,
    }),

  openTelemetryMissing: ({ cause }: { readonly cause: unknown }) =>
    new TidemarkError({
      code: "TIDEMARK_METRICS_OPENTELEMETRY_MISSING",
      what: "The figures can't be given to OpenTelemetry",
      why: "the package @opentelemetry/api can't be loaded",
      advice: "Install @opentelemetry/api 1.9 or newer beside Tidemark, or set `openTelemetry` to false",
      cause,
    }),
};
