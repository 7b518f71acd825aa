import { logMaintenance } from "@tidemark/plugin-api";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { Tag, testDevice } from "./bad-input.support.js";
import { ScriptedPeer, type ScriptedSession } from "./scripted-peer.support.js";

// Whoever asks for changes from a time of which the log has forgotten some is told so, and takes everything anew: a gap
// would go unnoticed for ever.

let clock: ManualClock;
let network: InMemoryNetwork;
beforeEach(() => {
  clock = new ManualClock();
  network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
});

/** a, which has founded a library, and a scripted member of it. */
async function withMember() {
  const a = await testDevice("a", { network, clock });
  await a.tidemark.start();
  const peer = new ScriptedPeer({ network, address: "s", dial: "a", now: () => clock.now() });
  onTestFinished(() => peer.stop());
  const session = await peer.connect();
  await session.introduce();
  const { origin, hlc, members } = await session.join();
  const own = members.find(({ deviceId }) => deviceId === "a")!.origin;
  const { logId } = await session.next("pull");
  return { a, session, origin, joined: hlc, members, own, logId };
}

/** What comes in answer to a request for everything above a vector. */
async function answerTo(session: ScriptedSession, vector: Record<string, number>): Promise<unknown> {
  const before = session.received.length;
  session.send({ t: "pull", logId: "another", position: 0, vector });
  for (let turn = 0; turn < 50; turn++) await clock.settle();
  return session.received.slice(before).map(({ t }) => t);
}

it("is the answer to who lacks what is forgotten, and to nobody else", async () => {
  const { a, session, origin, joined, members, own } = await withMember();
  await a.dataSource.getRepository(Tag).save({ uuid: "t", name: "pruned", weight: null });
  await a.tidemark.digest("Tag");
  expect(await answerTo(session, { [origin]: joined })).toEqual(["page"]);
  const [{ hlc }] = (await a.dataSource.query("SELECT hlc FROM tidemark_state")) as [{ hlc: number }];
  const end = { vector: { [own]: hlc, [origin]: hlc }, members, removals: [], vectors: {} };
  session.send({ t: "page", n: 1, records: { origins: [], groups: [] }, position: 0, end });
  await session.next("applied");
  expect((await a.tidemark.services.get(logMaintenance).prune()).stamps).toBe(1);

  expect(await answerTo(session, { [origin]: joined })).toEqual(["snapshot-required"]);
  expect(await answerTo(session, { [own]: hlc - 1, [origin]: joined })).toEqual(["snapshot-required"]);
  expect(await answerTo(session, { [own]: hlc, [origin]: joined })).toEqual(["page"]);
});

it("makes a device take in everything anew", async () => {
  const { a, session } = await withMember();
  // Nobody but a new member pulls before the other has the library; here the scripted one claims to.
  const asked = session.next("backfill");
  session.send({ t: "snapshot-required", floor: 1 });
  await asked;
  expect((await a.tidemark.status()).peers).toMatchObject([{ deviceId: "s", state: "backfilling" }]);
});
