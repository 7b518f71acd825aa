import { API_VERSION, definePlugin, type Transport, type TransportConnection, transports } from "@tidemark/plugin-api";
import fc from "fast-check";
import { expect, it, onTestFinished } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { Message } from "../replication/messages.js";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { contents, digests, Folder, fill, Note, Tag, testDevice } from "./bad-input.support.js";
import { ScriptedPeer } from "./scripted-peer.support.js";

const SEED = 20_261_122;
const RUNS = 150;

/** Brings a transport that also keeps what is sent through it. */
function recording(transport: Transport, frames: string[]) {
  const wrapped: Transport = {
    name: transport.name,
    stop: () => transport.stop(),
    start: (host) =>
      transport.start({
        maxFrameBytes: host.maxFrameBytes,
        accept(connection) {
          host.accept(
            new Proxy<TransportConnection>(connection, {
              get(target, key) {
                if (key !== "send") {
                  const member: unknown = Reflect.get(target, key, target);
                  return typeof member === "function" ? member.bind(target) : member;
                }
                return (frame: Uint8Array) => {
                  frames.push(Buffer.from(frame).toString("utf8"));
                  target.send(frame);
                };
              },
            }),
          );
        },
      }),
  };
  return definePlugin({
    manifest: { id: "recording", version: "1.0.0", apiVersion: API_VERSION },
    activate({ services, subscriptions }) {
      subscriptions.push(services.get(transports).register(wrapped));
    },
  });
}

/**
 * What is said of others is taken on trust among members, so that is not what is tried here: everything else may be bent.
 */
function ofItself(frame: string, origin: string): string[] {
  const message = JSON.parse(frame) as Message;
  if (message.t !== "page") return ["bye", "challenge", "proof", "hello"].includes(message.t) ? [] : [frame];
  const end = message.end && {
    vector: { [origin]: message.end.vector[origin] },
    members: [],
    removals: [],
    vectors: {},
  };
  return [JSON.stringify({ ...message, end })];
}

const odd = fc.constantFrom<unknown>(
  null,
  true,
  "",
  "\u0000",
  "\ud800",
  "__proto__",
  0,
  -1,
  0.5,
  2 ** 53,
  1e308,
  [],
  {},
  [[]],
  { i: "1" },
  { b: "AA==" },
  { t: "gA==" },
  "x".repeat(3_000),
);

/** Puts something odd in a place of a message, takes the place away, or doubles it. */
function bend(message: unknown, place: number, how: "replace" | "remove" | "double", what: unknown): unknown {
  const places: { readonly holder: Record<string, unknown> | unknown[]; readonly key: string }[] = [];
  const visit = (holder: unknown) => {
    if (typeof holder !== "object" || holder === null) return;
    for (const key of Object.keys(holder)) {
      places.push({ holder: holder as Record<string, unknown>, key });
      visit((holder as Record<string, unknown>)[key]);
    }
  };
  visit(message);
  const chosen = places[place % Math.max(1, places.length)];
  if (chosen === undefined) return what;
  const { holder, key } = chosen;
  if (Array.isArray(holder)) {
    const index = Number(key);
    if (how === "replace") holder[index] = what;
    else if (how === "remove") holder.splice(index, 1);
    else holder.splice(index, 0, holder[index]);
  } else if (how === "remove") delete holder[key];
  else holder[how === "replace" ? key : `${key}2`] = how === "replace" ? what : holder[key];
  return message;
}

const mutation = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      place: fc.nat(10_000),
      how: fc.constantFrom("replace" as const, "remove" as const, "double" as const),
      what: odd,
    }),
  },
  { weight: 1, arbitrary: fc.record({ at: fc.nat(100_000), byte: fc.nat(255), cut: fc.boolean() }) },
);

it("keeps honest devices in step, whatever becomes of the frames of a third", async () => {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(SEED) });
  const a = await testDevice("a", { clock, network });
  await a.tidemark.start();
  await fill(a);
  const b = await testDevice("b", { clock, network, dial: ["a"] });
  let done = b.next("roundCompleted");
  await b.tidemark.start();
  await done;

  // An honest member whose frames are kept.
  const frames: string[] = [];
  const plugins = [recording(network.transport("evil", { dial: ["a"] }), frames)];
  const evil = await testDevice("evil", { clock, plugins, role: "join" });
  done = evil.next("roundCompleted");
  await evil.tidemark.start();
  await done;
  const seen = a.next("roundCompleted", ({ records }) => records > 0);
  const folder = await evil.dataSource.getRepository(Folder).save({ uuid: "e-f", name: "evil", parent: null });
  const tag = await evil.dataSource.getRepository(Tag).save({ uuid: "e-t", name: "evil", weight: 3 });
  await evil.dataSource.getRepository(Note).save({ uuid: "e-n", text: "evil", folder, tags: [tag] });
  await seen;
  await evil.dataSource.getRepository(Tag).update({ uuid: "e-t" }, { weight: 4 });
  await evil.dataSource.getRepository(Folder).delete({ uuid: "e-f" });
  await clock.advance(1_000);
  const origin = (await evil.tidemark.status()).origin!;
  await evil.tidemark.stop();
  await clock.advance(1_000);
  const corpus = frames.flatMap((frame) => ofItself(frame, origin));
  expect(corpus.length).toBeGreaterThan(5);

  let token = 1_000;
  const ends = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(corpus.length - 1), mutation), { minLength: 1, maxLength: 4 }),
      async (script) => {
        await clock.advance(10_000);
        const peer = new ScriptedPeer({ network, address: "evil", dial: "a", now: () => clock.now() });
        onTestFinished(() => peer.stop());
        const session = await peer.connect();
        token += 1;
        await session.introduce({ origin, token, vector: { [origin]: fromPhysicalMs(clock.now()) } });
        await session.next("pull");
        for (const [index, change] of script) {
          if (session.end !== null) break;
          if ("how" in change) {
            session.send(bend(JSON.parse(corpus[index]!), change.place, change.how, change.what));
          } else {
            const bytes = Buffer.from(corpus[index]!);
            bytes[change.at % bytes.length] = change.byte;
            session.send(change.cut ? bytes.subarray(0, change.at % bytes.length) : bytes);
          }
        }
        for (let turn = 0; turn < 10; turn++) await clock.settle();
        const code = session.bye?.code ?? "none";
        ends.set(code, (ends.get(code) ?? 0) + 1);
        // An error that nobody has thought of would come as this.
        expect(code).not.toBe("TIDEMARK_REPLICATION_FAILED");
        await peer.stop();
      },
    ),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
  expect([...ends.keys()]).toContain("TIDEMARK_WIRE_MALFORMED");

  expect(b.recordedOf("peerDisconnected")).toEqual([]);
  const last = b.next("roundCompleted", ({ records }) => records > 0);
  await a.dataSource.getRepository(Tag).save({ uuid: "last-of-a", name: "x", weight: null });
  await last;
  const back = a.next("roundCompleted", ({ records }) => records > 0);
  await b.dataSource.getRepository(Tag).save({ uuid: "last-of-b", name: "x", weight: null });
  await back;
  await clock.advance(120_000);
  expect(await digests(b)).toEqual(await digests(a));
  const tables = async (kernel: typeof a) => (await contents(kernel)).tidemark_outbox;
  expect(await tables(a)).toEqual([]);
});
