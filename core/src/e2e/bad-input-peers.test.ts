import { expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { contents, digests, fill, Tag, testDevice } from "./bad-input.support.js";
import { ScriptedPeer, type ScriptedPeerOptions, type ScriptedSession } from "./scripted-peer.support.js";

interface Pair {
  readonly clock: ManualClock;
  readonly network: InMemoryNetwork;
  readonly a: TestKernel;
  readonly b: TestKernel;
}

/** Two devices in step, of which `b` has dialled `a`. */
async function inStep(): Promise<Pair> {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const a = await testDevice("a", { clock, network });
  await a.tidemark.start();
  await fill(a);
  const b = await testDevice("b", { clock, network, dial: ["a"] });
  const done = b.next("roundCompleted");
  await b.tidemark.start();
  await done;
  await clock.settle();
  return { clock, network, a, b };
}

async function settled(clock: ManualClock): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await clock.settle();
}

const codesOf = (kernel: TestKernel) => kernel.recordedOf("peerRefused").map(({ code }) => code);
const decisionsOf = (kernel: TestKernel) =>
  kernel.recordedOf("catchUpDecided").map(({ decision, decidedBy }) => `${decision.action} by ${decidedBy}`);

/** The two of the pair still talk to each other, and nothing is lost. */
async function goesOn({ a, b }: Pair): Promise<void> {
  expect(b.recordedOf("peerDisconnected")).toEqual([]);
  const seen = b.next("roundCompleted", ({ records }) => records > 0);
  await a.dataSource.getRepository(Tag).save({ uuid: "goes-on", name: "on", weight: null });
  await seen;
  expect(await digests(b)).toEqual(await digests(a));
}

it.each([
  ["of another library", { library: { id: "other-library" } }, "TIDEMARK_PEER_OTHER_LIBRARY"],
  ["with a wrong secret", { library: { secret: "quite another secret" } }, "TIDEMARK_PEER_WRONG_SECRET"],
] as const)("parts for good with a device %s, and both say why", async (_, options, code) => {
  const pair = await inStep();
  const { a, clock, network } = pair;
  const c = await testDevice("c", { clock, network, dial: ["a"], ...options });
  await c.tidemark.start();
  await settled(clock);
  expect(new Set(codesOf(a))).toEqual(new Set([code]));
  expect(new Set(codesOf(c))).toEqual(new Set([code]));
  expect(decisionsOf(c).every((decision) => decision === "give-up by kernel")).toBe(true);
  const refused = codesOf(a).length;
  await clock.advance(3_600_000);
  expect(codesOf(a).length).toBe(refused);
  expect((await c.tidemark.status()).origin).toBeNull();
  await goesOn(pair);
});

async function scripted(pair: Pair, options: Partial<ScriptedPeerOptions> = {}): Promise<ScriptedSession> {
  const { clock, network } = pair;
  const peer = new ScriptedPeer({ network, address: "x", dial: "a", now: () => clock.now(), ...options });
  onTestFinished(() => peer.stop());
  return await peer.connect();
}

const method = (name: string) => ({ method: name, prove: () => new Uint8Array(32), verify: () => true });

it.each<readonly [string, Partial<ScriptedPeerOptions>, (session: ScriptedSession) => Promise<unknown>, string]>([
  [
    "that speaks another version of the protocol",
    {},
    (session) => session.challenge({ version: 2 }),
    "TIDEMARK_PEER_PROTOCOL_VERSION",
  ],
  [
    "that proves itself in another way",
    { authenticator: method("device-keys") },
    (session) => session.challenge(),
    "TIDEMARK_PEER_AUTHENTICATION_METHOD",
  ],
  [
    "that has no proof",
    { authenticator: method("shared-secret-hmac-sha256") },
    async (session) => {
      await session.challenge();
      await session.prove();
    },
    "TIDEMARK_PEER_WRONG_SECRET",
  ],
  [
    "that plays the proof back",
    {},
    async (session) => {
      await session.challenge();
      session.send(await session.next("proof"));
    },
    "TIDEMARK_PEER_WRONG_SECRET",
  ],
  [
    "that repeats the challenge",
    {},
    async (session) => session.send(await session.next("challenge")),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "that calls itself by the id of this device",
    {},
    (session) => session.introduce({ deviceId: "a" }),
    "TIDEMARK_PEER_SAME_DEVICE",
  ],
])("refuses a peer %s, and tells it", async (_, options, say, code) => {
  const pair = await inStep();
  const { a, clock } = pair;
  const before = await contents(a);
  const session = await scripted(pair, options);
  await Promise.race([say(session).catch(() => {}), session.closed]);
  await settled(clock);
  expect(session.bye).toMatchObject({ code, retryMs: code === "TIDEMARK_WIRE_MALFORMED" ? 5_000 : null });
  expect(codesOf(a)).toEqual([code]);
  expect(session.received.some(({ t }) => t === "hello")).toBe(code === "TIDEMARK_PEER_SAME_DEVICE");
  expect(await contents(a)).toEqual(before);
  await goesOn(pair);
});

it("gives up a peer that never introduces itself", async () => {
  const pair = await inStep();
  const session = await scripted(pair);
  await pair.clock.advance(31_000);
  expect(session.bye).toMatchObject({ code: "TIDEMARK_PEER_TIMED_OUT", retryMs: 5_000 });
  await goesOn(pair);
});

it("waits for a peer whose clock is hours off, and takes up with it when it is right", async () => {
  const pair = await inStep();
  const { a, clock, network } = pair;
  const wrong = new ManualClock({ nowMs: clock.now() + 3 * 3_600_000 });
  const c = await testDevice("c", { clock: wrong, network, dial: ["a"] });
  await c.tidemark.start();
  for (let turn = 0; turn < 5; turn++) await Promise.all([settled(clock), settled(wrong)]);
  expect(new Set(codesOf(a))).toEqual(new Set(["TIDEMARK_CLOCK_DRIFT"]));
  expect(new Set(codesOf(c))).toEqual(new Set(["TIDEMARK_CLOCK_DRIFT"]));
  expect(Math.abs(a.recordedOf("clockDrift")[0]!.driftMs)).toBe(3 * 3_600_000);
  expect(decisionsOf(c)[0]).toBe("retry by kernel");
  wrong.setWallClock(clock.now());
  const done = c.next("roundCompleted");
  await Promise.all([clock.advance(6_000), wrong.advance(6_000)]);
  await settled(clock);
  await done;
  expect(await digests(c)).toEqual(await digests(a));
  await goesOn(pair);
});
