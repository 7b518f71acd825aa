import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { ManualClock, SeededRandom, TransportProbe, testTransportContract } from "@tidemark/core/testing";
import { type LogFields, type Logger, noopLogger } from "@tidemark/plugin-api";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type WebsocketSettings, websocketSettings } from "./settings.js";
import { WebsocketTransport } from "./websocket-transport.js";

interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** Keeps what is logged, and lets a test await it. */
class LogProbe {
  readonly lines: LogLine[] = [];
  readonly #waiting = new Set<() => void>();
  readonly logger: Logger;

  constructor() {
    const write = (level: string) => (message: string, fields?: LogFields) => {
      this.lines.push({ level, message, fields });
      for (const check of this.#waiting) check();
    };
    this.logger = {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: () => this.logger,
    };
  }

  /** The first `count` lines whose message contains `text`, as soon as there are that many. */
  async until(text: string, count: number): Promise<LogLine[]> {
    const found = () => this.lines.filter(({ message }) => message.includes(text));
    await new Promise<void>((resolve) => {
      const check = () => {
        if (found().length >= count) resolve();
      };
      this.#waiting.add(check);
      check();
    });
    return found();
  }
}

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

/** A transport with a clock, a host and a log of its own, stopped after the test. */
function createTransport(settings: WebsocketSettings, { maxFrameBytes = 1_000, clock = new ManualClock() } = {}) {
  const log = new LogProbe();
  const transport = new WebsocketTransport({
    settings: websocketSettings.parse(settings),
    clock,
    random: new SeededRandom(1),
    logger: log.logger,
  });
  const host = new TransportProbe({ maxFrameBytes });
  cleanUp.push(() => transport.stop());
  return { transport, host, clock, log, start: () => transport.start(host) };
}

/** A started listener. */
async function listening(settings: WebsocketSettings = {}, options: { maxFrameBytes?: number } = {}) {
  const listener = createTransport({ listen: { port: 0 }, ...settings }, options);
  await listener.start();
  const url = listener.transport.url!;
  return { ...listener, url, port: Number(new URL(url).port) };
}

/** A TCP client that speaks for itself. */
function rawClient(port: number) {
  const socket = connect({ host: "127.0.0.1", port });
  let received = "";
  socket.setEncoding("latin1");
  socket.on("data", (text) => {
    received += text;
  });
  socket.on("error", () => {});
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(received)));
  const connected = new Promise<void>((resolve) => socket.once("connect", resolve));
  cleanUp.push(() => socket.destroy());
  return {
    socket,
    connected,
    closed,
    upgrade: (path = "/", headers = "") => socket.write(upgradeRequest(path, headers)),
  };
}

function upgradeRequest(path: string, headers: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`;
}

/** A WebSocket client of another make. */
async function foreignClient(url: string) {
  const ws = new WebSocket(url);
  ws.on("error", () => {});
  cleanUp.push(() => ws.terminate());
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() })),
  );
  await new Promise((resolve) => ws.once("open", resolve));
  return { ws, closed };
}

/** A WebSocket server of another make, with a promise for each of its next connections. */
async function foreignServer({ perMessageDeflate = false } = {}) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });
  await new Promise((resolve) => server.once("listening", resolve));
  cleanUp.push(() => {
    for (const ws of server.clients) ws.terminate();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return {
    server,
    url: `ws://127.0.0.1:${port}`,
    next: () => new Promise<WebSocket>((resolve) => server.once("connection", resolve)),
  };
}

/** Proves that the listener still serves others. */
async function expectStillServing({ host, url }: { host: TransportProbe; url: string }) {
  const { ws } = await foreignClient(url);
  const connection = await host.nextConnection();
  ws.send(new Uint8Array([1, 2, 3]));
  await connection.until("a frame", ({ frames }) => frames.length > 0);
  expect([...connection.frames[0]!]).toEqual([1, 2, 3]);
}

testTransportContract({
  name: "websocket",
  runner: { describe, it },
  create() {
    const clock = new ManualClock();
    const listener = createTransport({ listen: { port: 0 } }, { clock }).transport;
    return {
      clock,
      listener,
      createDialler: () => createTransport({ peers: [listener.url!] }, { clock }).transport,
    };
  },
});

describe("listening", () => {
  it("tells the port that it got, and nothing once it has stopped", async () => {
    const { transport, url } = await listening();
    expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    await transport.stop();
    expect(transport.url).toBeNull();
  });

  it("writes an IPv6 address in brackets, with the path", async () => {
    const { url } = await listening({ listen: { host: "::1", path: "/sync" } });
    expect(url).toMatch(/^ws:\/\/\[::1\]:\d+\/sync$/);
    await (await foreignClient(url)).ws.close();
  });

  it("names port and host when the port is in use, and can be started once it is free", async () => {
    const first = await listening();
    const second = createTransport({ listen: { port: first.port } });
    await expect(second.start()).rejects.toMatchObject({
      code: "TIDEMARK_WEBSOCKET_PORT_IN_USE",
      details: { host: "127.0.0.1", port: first.port },
      message: expect.stringContaining(`port ${first.port} of 127.0.0.1`),
    });
    expect(second.transport.url).toBeNull();
    await first.transport.stop();
    await second.start();
    expect(second.transport.url).toBe(first.url);
  });

  it("refuses an address that this machine does not have", async () => {
    // 192.0.2.0/24 is set aside for documentation, so no machine has it.
    const { start } = createTransport({ listen: { host: "192.0.2.1" } });
    await expect(start()).rejects.toMatchObject({ code: "TIDEMARK_WEBSOCKET_ADDRESS_NOT_AVAILABLE" });
  });

  it("warns when it can be reached from other machines, and not when it can't", async () => {
    const inside = await listening();
    const outside = await listening({ listen: { host: "0.0.0.0" } });
    const warnings = ({ lines }: LogProbe) =>
      lines.filter(({ level }) => level === "warn").map(({ message }) => message);
    expect(warnings(inside.log)).toEqual([]);
    expect(warnings(outside.log)).toEqual([expect.stringMatching(/not encrypted.*wss:/)]);
  });

  it("listens at the same free port again after a pause, and at another one if that has been taken", async () => {
    const { transport, host, port } = await listening();
    await transport.stop();
    await transport.start(host);
    expect(Number(new URL(transport.url!).port)).toBe(port);

    await transport.stop();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen({ host: "127.0.0.1", port }, resolve));
    cleanUp.push(() => other.close());
    await transport.start(host);
    expect(Number(new URL(transport.url!).port)).not.toBe(port);
  });

  it("keeps to the order of calls when it is started and stopped at once", async () => {
    const { transport, host } = createTransport({ listen: { port: 0 } });
    await Promise.all([transport.start(host), transport.stop()]);
    expect(transport.url).toBeNull();
    await Promise.all([transport.start(host), transport.stop(), transport.start(host)]);
    expect(transport.url).not.toBeNull();
  });

  it("stops at once though a client that has not said a word is connected", async () => {
    const listener = await listening();
    const { connected, closed } = rawClient(listener.port);
    await connected;
    await expectStillServing(listener);
    await listener.transport.stop();
    await closed;
  });
});

describe("a listener among hostile clients", () => {
  it("answers 404 to another path and goes on", async () => {
    const listener = await listening({ listen: { path: "/sync" } });
    const { upgrade, closed } = rawClient(listener.port);
    upgrade("/other");
    expect(await closed).toMatch(/^HTTP\/1\.1 404 /);
    await expectStillServing(listener);
  });

  it("answers 426 to a plain HTTP request", async () => {
    const { port } = await listening();
    const { socket, closed } = rawClient(port);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await closed).toMatch(/^HTTP\/1\.1 426 /);
  });

  it("answers 403 to a web page, which sends an origin", async () => {
    const { port, host } = await listening();
    const { upgrade, closed } = rawClient(port);
    upgrade("/", "Origin: https://example.org\r\n");
    expect(await closed).toMatch(/^HTTP\/1\.1 403 /);
    expect(host.connections).toHaveLength(0);
  });

  it.each([
    ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
    [
      "an upgrade without a key",
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ],
    ["an upgrade to something else", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"],
    ["a header without end", `GET / HTTP/1.1\r\nX: ${"x".repeat(100_000)}`],
  ])("answers 400 to %s and goes on", async (_, request) => {
    const listener = await listening();
    const { socket, closed } = rawClient(listener.port);
    socket.write(request, "latin1");
    expect(await closed).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(listener.host.connections).toHaveLength(0);
    await expectStillServing(listener);
  });

  it("closes a socket that says nothing when the handshake time is over, and not before", async () => {
    const listener = await listening({ handshakeTimeoutMs: 5_000 });
    const { connected, closed, socket } = rawClient(listener.port);
    await connected;
    await expectStillServing(listener);
    await listener.clock.advance(4_999);
    expect(socket.destroyed).toBe(false);
    await listener.clock.advance(1);
    await closed;
  });

  it("closes a socket that never finishes its request when the handshake time is over", async () => {
    const listener = await listening({ handshakeTimeoutMs: 5_000 });
    const { socket, closed } = rawClient(listener.port);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgr");
    await expectStillServing(listener);
    await listener.clock.advance(5_000);
    expect(await closed).toBe("");
  });

  it("does not apply the handshake time to an open connection", async () => {
    const listener = await listening({ handshakeTimeoutMs: 5_000 });
    const { ws } = await foreignClient(listener.url);
    const connection = await listener.host.nextConnection();
    await listener.clock.advance(20_000);
    ws.send(new Uint8Array([4]));
    await connection.until("a frame", ({ frames }) => frames.length > 0);
  });

  it("answers 503 when maxConnections are open, and accepts again when one has gone", async () => {
    const listener = await listening({ maxConnections: 2 });
    const first = await foreignClient(listener.url);
    await foreignClient(listener.url);
    const { upgrade, closed } = rawClient(listener.port);
    upgrade();
    expect(await closed).toMatch(/^HTTP\/1\.1 503 /);
    const connection = await listener.host.nextConnection();
    await listener.host.nextConnection();
    first.ws.terminate();
    await connection.until("its end", ({ ends }) => ends.length > 0);
    await expectStillServing(listener);
  });

  it("hangs up on sockets beyond maxConnections that are still shaking hands", async () => {
    const listener = await listening({ maxConnections: 2 });
    const clients = [rawClient(listener.port), rawClient(listener.port), rawClient(listener.port)];
    await Promise.all(clients.map(({ connected }) => connected));
    await Promise.race(clients.map(({ closed }) => closed));
    expect(clients.filter(({ socket }) => !socket.destroyed)).toHaveLength(2);
  });

  it("closes a connection that sends text", async () => {
    const listener = await listening();
    const { ws, closed } = await foreignClient(listener.url);
    const connection = await listener.host.nextConnection();
    ws.send("hello");
    expect(await closed).toMatchObject({ code: 1003 });
    expect(connection.ends).toEqual([{ code: "lost", reason: expect.stringContaining("text frame") }]);
    expect(connection.frames).toEqual([]);
    await expectStillServing(listener);
  });

  it("closes on the mere announcement of a frame that is too large", async () => {
    const listener = await listening({}, { maxFrameBytes: 1_000 });
    const { upgrade, socket, closed } = rawClient(listener.port);
    upgrade();
    const connection = await listener.host.nextConnection();
    // Only a header: binary, masked, 1 GiB long. Not a byte of it follows.
    socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4]));
    await connection.until("its end", ({ ends }) => ends.length > 0);
    expect(connection.ends).toEqual([{ code: "frame-too-large", reason: expect.any(String) }]);
    // A client that does not answer the close is cut off.
    await listener.clock.advance(5_000);
    await closed;
    await expectStillServing(listener);
  });

  it("closes on a frame that grows too large in fragments", async () => {
    const listener = await listening({}, { maxFrameBytes: 1_000 });
    const { ws, closed } = await foreignClient(listener.url);
    const connection = await listener.host.nextConnection();
    for (let sent = 0; sent < 11; sent++) ws.send(new Uint8Array(100), { binary: true, fin: false });
    expect(await closed).toMatchObject({ code: 1009 });
    expect(connection.ends.map(({ code }) => code)).toEqual(["frame-too-large"]);
  });

  it.each([
    ["a reserved bit", [0xc2, 0x81, 1, 2, 3, 4, 0]],
    ["an unmasked frame", [0x82, 0x01, 0]],
    ["an unknown opcode", [0x83, 0x80, 1, 2, 3, 4]],
  ])("loses a connection that breaks the protocol with %s, and goes on", async (_, bytes) => {
    const listener = await listening();
    const { upgrade, socket } = rawClient(listener.port);
    upgrade();
    const connection = await listener.host.nextConnection();
    socket.write(Buffer.from(bytes));
    await connection.until("its end", ({ ends }) => ends.length > 0);
    expect(connection.ends.map(({ code }) => code)).toEqual(["lost"]);
    socket.destroy();
    await expectStillServing(listener);
  });

  it("does not compress, though the client offers to", async () => {
    const { url } = await listening();
    const { ws } = await foreignClient(url);
    expect(ws.extensions).toBe("");
  });
});

describe("dead peers", () => {
  it("loses a connection that gives no sign of life between two pings", async () => {
    const listener = await listening({ pingIntervalMs: 1_000 });
    const { upgrade } = rawClient(listener.port);
    upgrade();
    const connection = await listener.host.nextConnection();
    await listener.clock.advance(1_999);
    expect(connection.ends).toEqual([]);
    await listener.clock.advance(1);
    expect(connection.ends).toEqual([{ code: "lost", reason: "no sign of life for 1000 ms" }]);
  });

  it("takes any bytes as a sign of life, though no frame is complete and no ping is answered", async () => {
    const listener = await listening({ pingIntervalMs: 1_000 });
    const { upgrade, socket } = rawClient(listener.port);
    upgrade();
    const connection = await listener.host.nextConnection();
    // The first fragment of a frame that never ends; control frames may stand between fragments.
    socket.write(Buffer.from([0x02, 0x81, 0, 0, 0, 0, 7]));
    for (let round = 0; round < 5; round++) {
      const answered = new Promise<void>((resolve) => {
        // Pings of the other side come in between; the answer carries the round.
        socket.on("data", (text: string) => {
          if (text.includes(`\x8a\x01${String.fromCharCode(round)}`)) resolve();
        });
      });
      socket.write(Buffer.from([0x89, 0x81, 0, 0, 0, 0, round]));
      await answered;
      await listener.clock.advance(1_000);
    }
    expect(connection.ends).toEqual([]);
    expect(connection.frames).toEqual([]);
  });

  it("keeps a connection whose peer answers pings and says nothing else", async () => {
    const listener = await listening({ pingIntervalMs: 1_000 });
    const { ws } = await foreignClient(listener.url);
    const connection = await listener.host.nextConnection();
    for (let round = 0; round < 5; round++) {
      const pinged = new Promise((resolve) => ws.once("ping", resolve));
      await listener.clock.advance(1_000);
      await pinged;
      // The pong is there when an answer to what was sent after the ping is: connections are ordered.
      const asked = new Promise((resolve) => ws.once("message", resolve));
      connection.connection.send(new Uint8Array([round]));
      await asked;
      ws.ping();
      await new Promise((resolve) => ws.once("pong", resolve));
    }
    expect(connection.ends).toEqual([]);
  });
});

const CANT_REACH = "can't reach the peer";
const OVER = "the connection is over; dialling again";

describe("dialling", () => {
  it("tries again after growing delays while the peer is away, up to maxMs, and warns once", async () => {
    const away = await listening();
    await away.transport.stop();
    const { clock, log, start } = createTransport({
      peers: [away.url],
      reconnect: { minMs: 100, maxMs: 500, factor: 2, jitter: 0 },
    });
    await start();
    for (const [index, delayMs] of [100, 200, 400, 500, 500].entries()) {
      const failures = await log.until(CANT_REACH, index + 1);
      expect(failures[index]?.fields?.delayMs).toBe(delayMs);
      expect(failures[index]?.level).toBe(index === 0 ? "warn" : "debug");
      await clock.advance(delayMs - 1);
      expect(clock.pendingTimers).toBe(1);
      await clock.advance(1);
    }
    await log.until(CANT_REACH, 6);
  });

  it("varies the delay by chance, within the share that jitter allows", async () => {
    const away = await listening();
    await away.transport.stop();
    const { clock, log, start } = createTransport({
      peers: [away.url],
      reconnect: { minMs: 1_000, maxMs: 1_000, factor: 1, jitter: 0.5 },
    });
    await start();
    const delays: number[] = [];
    for (let attempt = 1; attempt <= 8; attempt++) {
      const delayMs = Number((await log.until(CANT_REACH, attempt)).at(-1)?.fields?.delayMs);
      delays.push(delayMs);
      await clock.advance(delayMs);
    }
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_500);
    expect(new Set(delays).size).toBeGreaterThan(4);
  });

  it("gives up a handshake that the peer does not answer, and tries again", async () => {
    const server = createServer();
    const sockets: Socket[] = [];
    const accepted = () => new Promise<void>((resolve) => server.once("connection", () => resolve()));
    server.on("connection", (socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanUp.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const { clock, log, start } = createTransport({
      peers: [`ws://127.0.0.1:${port}`],
      handshakeTimeoutMs: 3_000,
      reconnect: { minMs: 100, jitter: 0 },
    });
    const first = accepted();
    await start();
    await first;
    await clock.advance(3_000);
    const [failure] = await log.until(CANT_REACH, 1);
    expect(failure?.fields?.reason).toBe("no answer within 3000 ms");
    const second = accepted();
    await clock.advance(100);
    await second;
  });

  it("says what the peer answered when it refuses", async () => {
    const { url } = await listening({ listen: { path: "/sync" } });
    const { log, start } = createTransport({ peers: [`${url}/elsewhere`] });
    await start();
    const [failure] = await log.until(CANT_REACH, 1);
    expect(failure?.fields?.reason).toContain("404");
  });

  it("dials again after growing delays when connections are lost at once, and begins anew after one that lasted", async () => {
    const { url, next } = await foreignServer();
    const { clock, host, log, start } = createTransport({
      peers: [url],
      reconnect: { minMs: 100, maxMs: 1_000, factor: 3, jitter: 0 },
      pingIntervalMs: 1_000_000,
    });
    let accepted = next();
    await start();
    for (const [index, { lastsMs, delayMs }] of [
      { lastsMs: 0, delayMs: 100 },
      { lastsMs: 0, delayMs: 300 },
      { lastsMs: 999, delayMs: 900 },
      { lastsMs: 1_000, delayMs: 100 },
    ].entries()) {
      const connection = await host.nextConnection();
      const server = await accepted;
      await clock.advance(lastsMs);
      server.terminate();
      await connection.until("its end", ({ ends }) => ends.length > 0);
      expect(connection.ends.map(({ code }) => code)).toEqual(["lost"]);
      const overs = await log.until(OVER, index + 1);
      expect(overs[index]?.fields?.delayMs).toBe(delayMs);
      accepted = next();
      await clock.advance(delayMs);
    }
    await accepted;
  });

  it("begins anew with the first delay after a kernel has said when to dial", async () => {
    const { url, next } = await foreignServer();
    const { clock, host, log, start } = createTransport({
      peers: [url],
      reconnect: { minMs: 100, factor: 3, jitter: 0 },
    });
    let accepted = next();
    await start();
    for (const [index, delayMs] of [100, 50, 100].entries()) {
      const connection = await host.nextConnection();
      const server = await accepted;
      if (index === 1) connection.connection.close({ reason: "busy", redial: { afterMs: 50 } });
      else server.terminate();
      expect((await log.until(OVER, index + 1))[index]?.fields?.delayMs).toBe(delayMs);
      accepted = next();
      await clock.advance(delayMs);
    }
    await accepted;
  });

  it("takes a close without a word on redialling as a reason to try again", async () => {
    const { url, next } = await foreignServer();
    const { clock, host, start } = createTransport({ peers: [url], reconnect: { minMs: 100, jitter: 0 } });
    let accepted = next();
    await start();
    (await accepted).close(1001, "restarting");
    const connection = await host.nextConnection();
    await connection.until("its end", ({ ends }) => ends.length > 0);
    expect(connection.ends).toEqual([{ code: "closed-there", reason: "restarting" }]);
    accepted = next();
    await clock.advance(100);
    await accepted;
  });

  it("dials a peer that is named twice once", async () => {
    const { url, host } = await listening();
    const { start, host: dialling } = createTransport({ peers: [url, `${url}/`] });
    await start();
    await dialling.nextConnection();
    await host.nextConnection();
    await expectStillServing({ host, url });
    expect(dialling.connections).toHaveLength(1);
  });

  it("does not compress, though the server offers to", async () => {
    const { server, url, next } = await foreignServer({ perMessageDeflate: true });
    const accepted = next();
    await createTransport({ peers: [url] }).start();
    expect((await accepted).extensions).toBe("");
    server.close();
  });

  it("stops while it is dialling a peer that does not answer", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanUp.push(() => server.close());
    const gone = new Promise<void>((resolve) =>
      server.once("connection", (socket) => {
        socket.on("error", () => {});
        socket.resume();
        socket.once("close", () => resolve());
        void transport.stop();
      }),
    );
    const { port } = server.address() as AddressInfo;
    const { transport, start } = createTransport({ peers: [`ws://127.0.0.1:${port}`] });
    await start();
    await gone;
    await transport.stop();
  });

  it("refuses a peer's address that is none, before anything is opened, without repeating a password", () => {
    const settings = { ...websocketSettings.parse({}), peers: ["http://user:secret-password@example.org"] };
    const create = () =>
      new WebsocketTransport({ settings, clock: new ManualClock(), random: new SeededRandom(1), logger: noopLogger });
    expect(create).toThrow(expect.objectContaining({ code: "TIDEMARK_WEBSOCKET_BAD_URL" }));
    expect(create).not.toThrow(/secret-password/);
  });
});

describe("a peer that does not read", () => {
  it("loses the connection when more than maxBufferedBytes wait, and sends no more", async () => {
    const { url, next } = await foreignServer();
    const { host, start } = createTransport({ peers: [url], maxBufferedBytes: 1_048_576 });
    const accepted = next();
    await start();
    (await accepted).pause();
    const connection = await host.nextConnection();
    const frame = new Uint8Array(524_288);
    let sent = 0;
    while (connection.connection.bufferedBytes + frame.byteLength <= 1_048_576) {
      connection.connection.send(frame);
      expect(++sent).toBeLessThan(1_000);
    }
    expect(connection.ends).toEqual([]);
    connection.connection.send(frame);
    await connection.until("its end", ({ ends }) => ends.length > 0);
    expect(connection.ends).toEqual([{ code: "lost", reason: "the send buffer exceeds 1048576 bytes" }]);
  });

  it("takes one frame larger than maxBufferedBytes when nothing waits", async () => {
    const { url, next } = await foreignServer();
    const { host, start } = createTransport({ peers: [url], maxBufferedBytes: 1_024 });
    const accepted = next();
    await start();
    const server = await accepted;
    const received = new Promise<Buffer>((resolve) => server.once("message", (data) => resolve(data as Buffer)));
    const connection = await host.nextConnection();
    connection.connection.send(new Uint8Array(3_000_000).fill(7));
    expect((await received).equals(Buffer.alloc(3_000_000, 7))).toBe(true);
    expect(connection.ends).toEqual([]);
  });

  it("is cut off when it does not answer a close", async () => {
    const listener = await listening();
    const { upgrade, closed } = rawClient(listener.port);
    upgrade();
    const connection = await listener.host.nextConnection();
    connection.connection.close({ reason: "bye", redial: "never" });
    await connection.until("its end", ({ ends }) => ends.length > 0);
    await listener.clock.advance(5_000);
    await closed;
  });
});
