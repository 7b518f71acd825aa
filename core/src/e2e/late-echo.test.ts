import { logMaintenance } from "@tidemark/plugin-api";
import { expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { Tag, testDevice } from "./bad-input.support.js";
import { ScriptedPeer } from "./scripted-peer.support.js";

it("does not take its own creation back from a peer once the delete has been forgotten", async () => {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const a = await testDevice("a", { network, clock });
  await a.tidemark.start();
  const peer = new ScriptedPeer({ network, address: "b", dial: "a", now: () => clock.now() });
  onTestFinished(() => peer.stop());
  const session = await peer.connect();
  await session.introduce();
  const { origin, members } = await session.join();
  await session.next("pull");

  const tags = a.dataSource.getRepository(Tag);
  await tags.save({ uuid: "t", name: "once", weight: null });
  await a.tidemark.digest("Tag");
  const [{ hlc: birth }] = (await a.dataSource.query("SELECT hlc FROM tidemark_stamp")) as { hlc: number }[] as [
    { hlc: number },
  ];
  await tags.delete({ uuid: "t" });
  await a.tidemark.digest("Tag");
  const [{ hlc }] = (await a.dataSource.query("SELECT hlc FROM tidemark_state")) as [{ hlc: number }];
  const own = members.find(({ deviceId }) => deviceId === "a")!.origin;
  // By some other way it has heard of the delete, and says so.
  const end = { vector: { [own]: hlc, [origin]: hlc }, members, removals: [], vectors: {} };
  session.send({ t: "page", n: 1, records: { origins: [], groups: [] }, position: 0, end });
  await session.next("applied");
  expect((await a.tidemark.services.get(logMaintenance).prune()).stamps).toBe(1);

  // The page that was read before that comes in after it.
  const group = { m: "Tag", c: ["name", "weight"], r: [["t", [birth, 0], [], [], 0, ["once", null]]] };
  session.send({ t: "page", n: 2, records: { origins: [[own, "a", "a"]], groups: [group] }, position: 1, end: null });
  await session.next("applied");
  expect(await tags.count()).toBe(0);
});
