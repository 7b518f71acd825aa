import { createServer, request } from "node:http";
import { type AddressInfo, Server } from "node:net";
import { networkInterfaces } from "node:os";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { catalogue, metricNames } from "./catalogue.js";
import { Folder, TestLibrary } from "./library.test-support.js";
import { prometheusName } from "./prometheus.js";
import { metricsSettings } from "./settings.js";

let library: TestLibrary;
beforeEach(() => {
  library = new TestLibrary();
});
afterEach(() => library.dispose());

const LINE = /^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?|NaN|\+Inf)$/;

/** The samples of a page, by name; fails on a line that is no valid one. */
function parse(text: string): Map<string, { labels: string; value: number }[]> {
  const samples = new Map<string, { labels: string; value: number }[]>();
  const typed = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      typed.add(type[1]!);
      continue;
    }
    const match = LINE.exec(line);
    if (match === null) throw new Error(`no valid line: ${line}`);
    const [, name, labels = "", value] = match;
    if (![name!, name!.replace(/_(bucket|sum|count)$/, "")].some((base) => typed.has(base))) {
      throw new Error(`a sample without a type: ${line}`);
    }
    samples.set(name!, [...(samples.get(name!) ?? []), { labels, value: Number(value) }]);
  }
  return samples;
}

function get(url: string, options: { method?: string; host?: string } = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    request(
      url,
      { method: options.method ?? "GET", ...(options.host && { headers: { host: options.host } }) },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode!);
      },
    )
      .on("error", reject)
      .end();
  });
}

describe("the page for Prometheus", () => {
  it("is off unless the settings name it, and then opens no port", async () => {
    expect(metricsSettings.parse({}).prometheus).toBeUndefined();
    const listen = vi.spyOn(Server.prototype, "listen");
    const a = await library.device("a");
    expect(a.reader.prometheusUrl()).toBeNull();
    expect(listen).not.toHaveBeenCalled();
    const b = await library.device("b", { role: "found", metrics: { prometheus: { port: 0 } } });
    expect(b.reader.prometheusUrl()).not.toBeNull();
    expect(listen).toHaveBeenCalledOnce();
    listen.mockRestore();
  });

  it("can be parsed, and says what the snapshot says", async () => {
    const a = await library.device("a", { metrics: { prometheus: { port: 0 }, sampleMs: 1_000 } });
    await a.dataSource.getRepository(Folder).save({ uuid: "f", name: 'quo"te' });
    await library.until("the folder is in the log", () => a.recordedOf("changesFolded").length > 0);
    await library.clock.advance(1_000);
    const response = await fetch(a.reader.prometheusUrl()!);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const samples = parse(await response.text());
    const { metrics } = a.reader.snapshot();
    const fed = metrics.find(({ name }) => name === "tidemark.fold.entries")?.series[0];
    expect(samples.get("tidemark_fold_entries_total")).toEqual([
      { labels: "", value: fed && "value" in fed && fed.value },
    ]);
    expect(samples.get("db_client_connection_max")).toEqual([
      { labels: 'db_client_connection_pool_name="tidemark"', value: 30 },
    ]);
    expect(samples.get("db_client_connection_use_time_seconds_count")?.length).toBeGreaterThan(0);
    expect(samples.get("tidemark_log_size_bytes")?.[0]?.value).toBeGreaterThan(0);
  });

  it("listens on loopback only", async () => {
    const a = await library.device("a", { metrics: { prometheus: { port: 0 } } });
    const url = new URL(a.reader.prometheusUrl()!);
    expect(url.hostname).toBe("127.0.0.1");
    expect(await get(url.href)).toBe(200);
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal);
    for (const { address } of others) {
      await expect(get(`http://${address}:${url.port}/metrics`, { host: "127.0.0.1" })).rejects.toThrow();
    }
    expect(metricsSettings.safeParse({ prometheus: { port: 0, host: "0.0.0.0" } }).success).toBe(false);
  });

  it("refuses other paths and methods, and web pages that borrow the address", async () => {
    const a = await library.device("a", { metrics: { prometheus: { port: 0 } } });
    const url = a.reader.prometheusUrl()!;
    expect(await get(url.replace("/metrics", "/"))).toBe(404);
    expect(await get(url, { method: "POST" })).toBe(405);
    expect(await get(url, { host: "evil.example" })).toBe(403);
    expect(await get(url, { host: "localhost:1234" })).toBe(200);
  });

  it("is closed when the kernel stops", async () => {
    const a = await library.device("a", { metrics: { prometheus: { port: 0 } } });
    const url = a.reader.prometheusUrl()!;
    await a.tidemark.stop();
    await vi.waitFor(() => expect(get(url)).rejects.toThrow());
  });

  it("stops the start with a typed error when the port is in use", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    const failure = await library.device("a", { metrics: { prometheus: { port } } }).catch((error: unknown) => error);
    taken.close();
    expect(failure).toMatchObject({ cause: { code: "TIDEMARK_METRICS_LISTEN_FAILED", details: { port } } });
  });

  it("has a name of its own for every metric, with its unit", () => {
    const names = metricNames.map(prometheusName);
    expect(new Set(names).size).toBe(names.length);
    for (const name of metricNames) {
      expect(prometheusName(name)).toMatch(/^[a-z_]+$/);
      if (catalogue[name].unit === "s") expect(prometheusName(name)).toMatch(/_seconds(_total)?$/);
    }
  });
});
