import { createServer } from "node:net";
import { createTestKernel, type TestKernel, type TestKernelOptions } from "@tidemark/core/testing";
import { type Clock, subscription } from "@tidemark/plugin-api";
import { EntitySchema } from "typeorm";
import { expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { type WebsocketSettings, websocket, websocketAddress } from "./index.js";

/** Sockets live in real time. */
const clock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs) {
    const timer = setTimeout(callback, delayMs).unref();
    return subscription(() => clearTimeout(timer));
  },
  setImmediate(callback) {
    const immediate = setImmediate(callback);
    return subscription(() => clearImmediate(immediate));
  },
};

interface Tag {
  readonly uuid: string;
  readonly name: string;
}

const tags = new EntitySchema<Tag>({
  name: "Tag",
  columns: { uuid: { type: "varchar", primary: true }, name: { type: "varchar" } },
});

/** A kernel with the plugin, not started yet. */
async function device(
  name: string,
  settings: WebsocketSettings,
  more: Partial<TestKernelOptions> = {},
): Promise<TestKernel> {
  const kernel = await createTestKernel({
    device: name,
    entities: [tags],
    declarations: [{ entity: tags, ownership: { kind: "shared" } }],
    clock,
    role: settings.peers === undefined ? "found" : "join",
    plugins: [websocket],
    ...more,
    settings: {
      plugins: { websocket: { settings } },
      replication: { retryDelayMs: 50, maxFrameBytes: 65_536 },
      ...more.settings,
    },
  });
  onTestFinished(() => kernel.dispose());
  return kernel;
}

/** A port that nobody listens at, which stays the same over a pause. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const urlOf = ({ tidemark }: TestKernel) => tidemark.services.get(websocketAddress).url()!;
const write = ({ dataSource }: TestKernel, uuid: string, name = uuid) =>
  dataSource.getRepository(tags).save({ uuid, name });
const digest = ({ tidemark }: TestKernel) => tidemark.digest("Tag");
const news = (kernel: TestKernel) => kernel.next("roundCompleted", ({ records }) => records > 0);
const reconnect = { minMs: 20, maxMs: 100 };

/** Two devices in step; `b` has dialled `a`. */
async function inStep() {
  const a = await device("a", { listen: { port: await freePort() } });
  await a.tidemark.start();
  await write(a, "t1");
  const url = urlOf(a);
  const b = await device("b", { peers: [url], reconnect });
  const done = b.next("roundCompleted");
  await b.tidemark.start();
  await done;
  expect(await digest(b)).toEqual(await digest(a));
  return { a, b, url };
}

async function goesOn({ a, b }: { readonly a: TestKernel; readonly b: TestKernel }, uuid: string): Promise<void> {
  const seen = news(b);
  await write(a, uuid);
  await seen;
  const back = news(a);
  await write(b, `${uuid}-back`);
  await back;
  expect(await digest(b)).toEqual(await digest(a));
}

it("keeps two kernels in step over real sockets, with messages larger than a frame", async () => {
  const pair = await inStep();
  await goesOn(pair, "t2");
  const seen = news(pair.b);
  await write(pair.a, "t3", "x".repeat(300_000));
  await seen;
  expect(await digest(pair.b)).toEqual(await digest(pair.a));
});

it("refuses to start when the port is in use, leaves nothing open, and starts when it is free", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void other.close());
  const { port } = other.address() as { port: number };
  const a = await device("a", { listen: { port } });
  await expect(a.tidemark.start()).rejects.toMatchObject({ code: "TIDEMARK_WEBSOCKET_PORT_IN_USE", details: { port } });
  expect(a.tidemark.state).toBe("failed");
  expect(a.dataSource.isInitialized).toBe(false);
  await new Promise((resolve) => other.close(resolve));
  const again = await device("a", { listen: { port } }, { database: a.database });
  await again.tidemark.start();
  expect(urlOf(again)).toBe(`ws://127.0.0.1:${port}`);
});

it.each<readonly [string, (ws: WebSocket) => void]>([
  ["a text frame", (ws) => ws.send("hello")],
  ["a frame above the limit", (ws) => ws.send(Buffer.alloc(100_000))],
  ["bytes that mean nothing", (ws) => ws.send(Buffer.from([9, 2, 3, 4]))],
  ["nothing, and hangs up", (ws) => ws.terminate()],
])("loses a client that sends %s, and nobody else", async (_, attack) => {
  const pair = await inStep();
  const ws = new WebSocket(pair.url, { perMessageDeflate: false });
  const closed = new Promise((resolve) => ws.once("close", resolve));
  ws.on("error", () => {});
  await new Promise((resolve) => ws.once("open", resolve));
  attack(ws);
  await closed;
  expect(pair.b.recordedOf("peerDisconnected")).toEqual([]);
  await goesOn(pair, "t2");
});

it("finds its way back when the server has been restarted", async () => {
  const { a, b, url } = await inStep();
  const gone = b.next("peerDisconnected");
  await a.tidemark.stop();
  await gone;
  await write(b, "meanwhile");
  const again = await createAgain(a, url);
  const seen = news(again);
  await again.tidemark.start();
  await seen;
  await goesOn({ a: again, b }, "t2");
});

/** The same device on the same port, as after a restart of its process. */
async function createAgain({ database }: TestKernel, url: string): Promise<TestKernel> {
  return await device("a", { listen: { port: Number(new URL(url).port) } }, { database });
}

it("hangs up while it is paused, and takes up again afterwards", async () => {
  const { a, b } = await inStep();
  let gone = b.next("peerDisconnected");
  await a.tidemark.pause();
  await gone;
  await write(a, "t2");
  await write(b, "t3");
  let seen = Promise.all([news(a), news(b)]);
  await a.tidemark.resume();
  await seen;
  expect(await digest(b)).toEqual(await digest(a));

  gone = a.next("peerDisconnected");
  await b.tidemark.pause();
  await gone;
  await write(a, "t4");
  await write(b, "t5");
  seen = Promise.all([news(a), news(b)]);
  await b.tidemark.resume();
  await seen;
  expect(await digest(b)).toEqual(await digest(a));
});

it("leaves no socket behind that would keep the process alive", async () => {
  const sockets = () =>
    process
      .getActiveResourcesInfo()
      .filter((kind) => /TCP|Server/.test(kind))
      .sort();
  const { a, b } = await inStep();
  expect(sockets()).not.toEqual([]);
  await b.tidemark.stop();
  await a.tidemark.stop();
  // A handle that is closed is gone a few turns of the event loop later.
  for (let turn = 0; turn < 10 && sockets().length > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(sockets()).toEqual([]);
});
