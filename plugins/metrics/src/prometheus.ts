// The figures as text for Prometheus, on a loopback address and nowhere else. Off unless the settings name a port; until
// then neither the library is loaded nor anything opened.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Subscription, subscription } from "@tidemark/plugin-api";
import type { Registry } from "prom-client";
import { catalogue, type MetricDefinition, type MetricName, metricNames } from "./catalogue.js";
import { metricsErrors } from "./errors.js";
import type { Attributes, Sink } from "./figures.js";

/** The page, while it is served. */
export interface PrometheusPage extends Subscription {
  readonly url: string;
  readonly sink: Sink;
}

type Labels = Record<string, string>;
interface Instrument {
  measure(value: number, labels: Labels): void;
  clear(): void;
}

const BUCKETS: Readonly<Record<string, readonly number[]>> = {
  s: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800],
  By: [1_000, 10_000, 100_000, 1_000_000, 10_000_000],
};

/** Rejects with `TIDEMARK_METRICS_LISTEN_FAILED`. */
export async function servePrometheus({
  host,
  port,
  flush,
}: {
  readonly host: "127.0.0.1" | "::1";
  readonly port: number;
  /** Called before the figures are shown. */
  readonly flush: () => void;
}): Promise<PrometheusPage> {
  const client = await import("prom-client");
  const registry = new client.Registry();
  const instruments = new Map(metricNames.map((name) => [name, instrumentOf(client, registry, name)]));
  const server = createServer((request, response) => {
    void answer({ request, response, registry, flush });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(metricsErrors.listenFailed({ host, port, cause })));
    server.listen(port, host, resolve);
  });
  // Whoever only counts must not keep the process alive.
  server.unref();
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host === "::1" ? "[::1]" : host}:${bound}/metrics`,
    sink: {
      measure: (name, value, attributes) => instruments.get(name)?.measure(value, labelsOf(attributes)),
      clear: (name) => instruments.get(name)?.clear(),
    },
    ...subscription(() => {
      server.close();
      server.closeAllConnections();
    }),
  };
}

function instrumentOf(client: typeof import("prom-client"), registry: Registry, name: MetricName): Instrument {
  const { kind, unit, description, attributes }: MetricDefinition = catalogue[name];
  const options = {
    name: prometheusName(name),
    help: description,
    labelNames: attributes.map(underscored),
    registers: [registry],
  };
  if (kind === "counter") {
    const counter = new client.Counter(options);
    return { measure: (value, labels) => counter.inc(labels, value), clear: () => counter.reset() };
  }
  if (kind === "histogram") {
    const histogram = new client.Histogram({ ...options, buckets: [...(BUCKETS[unit] ?? [])] });
    return { measure: (value, labels) => histogram.observe(labels, value), clear: () => histogram.reset() };
  }
  const gauge = new client.Gauge(options);
  return { measure: (value, labels) => gauge.set(labels, value), clear: () => gauge.reset() };
}

/** As OpenTelemetry's specification turns names into those of Prometheus: units are spelt out, counters end in `_total`. */
export function prometheusName(name: MetricName): string {
  const { kind, unit }: MetricDefinition = catalogue[name];
  const words: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes", "{record}/s": "_per_second" };
  const ratio = unit === "1" && name.endsWith("saturation") ? "_ratio" : "";
  return `${underscored(name)}${words[unit] ?? ratio}${kind === "counter" ? "_total" : ""}`;
}

function underscored(text: string): string {
  return text.replaceAll(".", "_");
}

function labelsOf(attributes: Attributes): Labels {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [underscored(name), String(value)]));
}

async function answer({
  request,
  response,
  registry,
  flush,
}: {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly registry: Registry;
  readonly flush: () => void;
}): Promise<void> {
  const refuse = (status: number) => response.writeHead(status).end();
  // A web page may have its own name point to this machine, and would then be let in by the browser.
  if (!/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(request.headers.host ?? "")) return void refuse(403);
  if (request.url !== "/metrics") return void refuse(404);
  if (request.method !== "GET" && request.method !== "HEAD") return void refuse(405);
  try {
    flush();
    const text = await registry.metrics();
    response.writeHead(200, { "content-type": registry.contentType }).end(request.method === "HEAD" ? undefined : text);
  } catch {
    refuse(500);
  }
}
