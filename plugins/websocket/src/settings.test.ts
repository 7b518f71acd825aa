import { describe, expect, it } from "vitest";
import { type WebsocketSettings, websocketSettings } from "./settings.js";

/** The paths and messages of what is wrong with `settings`. */
function problems(settings: unknown): string[] {
  const { error } = websocketSettings.safeParse(settings);
  return error?.issues.map(({ path, message }) => `${path.join(".")}: ${message}`) ?? [];
}

describe("the settings", () => {
  it("have the defaults that the README names", () => {
    expect(websocketSettings.parse({ listen: {} } satisfies WebsocketSettings)).toEqual({
      listen: { host: "127.0.0.1", port: 0, path: "/" },
      peers: [],
      reconnect: { minMs: 500, maxMs: 30_000, factor: 2, jitter: 0.2 },
      handshakeTimeoutMs: 10_000,
      pingIntervalMs: 30_000,
      maxBufferedBytes: 67_108_864,
      maxConnections: 64,
    });
  });

  it("mean, when there are none, neither to listen nor to dial", () => {
    expect(websocketSettings.parse({})).toMatchObject({ peers: [] });
    expect(websocketSettings.parse({}).listen).toBeUndefined();
  });

  it("name the peer that is no address, and what to write instead", () => {
    expect(problems({ peers: ["ws://ok:1", "http://example.org"] })).toEqual([
      expect.stringMatching(/^peers\.1: "http:\/\/example\.org" is no address of a peer.*ws:\/\/host:port\/path/),
    ]);
    expect(problems({ peers: ["nonsense"] })).toEqual([expect.stringContaining("it is not a URL")]);
    expect(problems({ peers: ["ws://a/#b"] })).toEqual([expect.stringContaining("fragment")]);
    expect(problems({ peers: ["wss://example.org/sync?device=1", "ws://[::1]:4711"] })).toEqual([]);
  });

  it.each([
    [{ listen: { port: 65_536 } }, "listen.port"],
    [{ listen: { port: 1.5 } }, "listen.port"],
    [{ listen: { path: "sync" } }, "listen.path"],
    [{ listen: { path: "/sync?x=1" } }, "listen.path"],
    [{ reconnect: { minMs: 2_000, maxMs: 1_000 } }, "reconnect.minMs"],
    [{ reconnect: { maxMs: 2 ** 31 } }, "reconnect.maxMs"],
    [{ reconnect: { factor: 0.5 } }, "reconnect.factor"],
    [{ reconnect: { jitter: 2 } }, "reconnect.jitter"],
    [{ pingIntervalMs: 0 }, "pingIntervalMs"],
    [{ maxConnections: 0 }, "maxConnections"],
  ])("refuse %j", (settings, path) => {
    expect(problems(settings)).toEqual([expect.stringMatching(new RegExp(`^${path}: `))]);
  });

  it("refuse a key that there is not", () => {
    expect(problems({ lisen: {} })).toEqual([expect.stringContaining("lisen")]);
  });
});
