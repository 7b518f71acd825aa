import { type AnyPlugin, API_VERSION, backfillScheduler, definePlugin } from "@tidemark/plugin-api";
import { expect, it, onTestFinished } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import type { Message, MessageOf } from "../replication/messages.js";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { Tag, testDevice } from "./bad-input.support.js";
import { ScriptedPeer, type ScriptedSession } from "./scripted-peer.support.js";

const clock = new ManualClock();
const now = () => fromPhysicalMs(clock.now());
const future = () => now() + 2 * 3_600_000 * 4096;

/** What a server answers to each request; a test bends one of the answers. */
interface Answers {
  joined(): unknown;
  plan(): unknown;
  rows(request: MessageOf<"backfill-page">): unknown;
  bounds(request: MessageOf<"backfill-survey">): unknown;
}

/** The origin that b has asked to join under. */
let asked = "b-origin";

const members = () => [
  { origin: "s-origin", deviceId: "s", name: "s", joinHlc: 1, sponsor: null },
  { origin: asked, deviceId: "b", name: "b", joinHlc: now(), sponsor: "s-origin" },
];

const tags = (...records: unknown[]) => ({
  origins: [["s-origin", "s", "s"]],
  groups: [{ m: "Tag", c: ["name", "weight"], r: records }],
});

/** The same, column by column. */
const block = (identities: unknown, ...columns: unknown[]) => ({
  origins: [],
  groups: [{ m: "Tag", c: ["name", "weight"], r: [], k: { n: 2, i: identities, v: columns } }],
});

const honest: Answers = {
  joined: () => ({ t: "joined", origin: asked, hlc: now(), members: members(), settled: {} }),
  plan: () => ({
    t: "backfill-plan",
    vector: { "s-origin": now() },
    floor: 0,
    // The second is a model like any other that this version does not have.
    totals: { Tag: 4, constructor: 0 },
    members: members(),
  }),
  rows: ({ request, model, after, upTo }) => {
    const page = { t: "backfill-rows", request, floor: 0 };
    if (model !== "Tag") return { ...page, records: { origins: [], groups: [] }, upTo };
    if (after === null) return { ...page, records: tags(["a", ["a", 1]], ["b", ["b", 1]]), upTo: "b" };
    return { ...page, records: tags(["c", ["c", 1]], ["d", ["d", 1]]), upTo };
  },
  bounds: ({ request, model, after, upTo }) => {
    const whole = model === "Tag" && after === null && upTo === null;
    return { t: "backfill-bounds", request, bounds: whole ? ["b"] : [] };
  },
};

/** Fetches the models in two parts each, as the server would have them divided; the second part first. */
const dividing: AnyPlugin = definePlugin({
  manifest: { id: "dividing", version: "1.0.0", apiVersion: API_VERSION, provides: [backfillScheduler.id] },
  activate({ services }) {
    services.provide(backfillScheduler, {
      async run(work) {
        const peer = work.peers()[0]!;
        for (const model of work.levels.flat()) {
          for (const range of work.open(model)) {
            const bounds = await work.bounds({ peer, range, every: 2, limit: 3 });
            const cuts = [range.after, ...bounds, range.upTo];
            for (let part = cuts.length - 1; part > 0; part--) {
              const page = await work.fetch({ peer, range: { model, after: cuts[part - 1]!, upTo: cuts[part]! } });
              await work.apply(page);
            }
          }
        }
      },
    });
  },
});

/** Answers everything that the other side asks, for as long as the session lasts. */
async function serve(session: ScriptedSession, token: number, answers: Answers, joined: boolean): Promise<void> {
  await session.introduce({ deviceId: "s", origin: "s-origin", token, members: members() as never });
  for (let read = 0; session.end === null; ) {
    const message: Message | undefined = session.received[read];
    if (message === undefined) {
      await clock.settle();
      continue;
    }
    read += 1;
    if (message.t === "join") asked = message.origin;
    if (message.t === "join" && !joined) session.send(answers.joined());
    else if (message.t === "backfill") session.send(answers.plan());
    else if (message.t === "backfill-page") session.send(answers.rows(message));
    else if (message.t === "backfill-survey") session.send(answers.bounds(message));
    else if (message.t === "pull") return;
  }
}

const page = (bent: (request: MessageOf<"backfill-page">) => Record<string, unknown>): Partial<Answers> => ({
  rows: (request) => ({ ...(honest.rows(request) as object), ...bent(request) }),
});
const second = (bent: Record<string, unknown>): Partial<Answers> =>
  page(({ model, after }) => (model === "Tag" && after !== null ? bent : {}));

/** Answers bounds that are none. */
const cut = (...bounds: unknown[]): Partial<Answers> => ({
  bounds: ({ request, model }) => ({ t: "backfill-bounds", request, bounds: model === "Tag" ? bounds : [] }),
});

type Refusal = readonly [string, Partial<Answers>, string | RegExp];

/** With the kernel's own scheduler. */
const plain: readonly Refusal[] = [
  [
    "a membership from the future",
    { joined: () => ({ ...(honest.joined() as object), hlc: future() }) },
    "TIDEMARK_CLOCK_FROM_THE_FUTURE",
  ],
  [
    "a membership that is not among the members",
    { joined: () => ({ ...(honest.joined() as object), members: [] }) },
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "the membership of another device",
    { joined: () => ({ ...(honest.joined() as object), origin: "s-origin" }) },
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "a plan with a vector from the future",
    { plan: () => ({ ...(honest.plan() as object), vector: { "s-origin": future() } }) },
    "TIDEMARK_CLOCK_FROM_THE_FUTURE",
  ],
  [
    "a plan with a floor from the future",
    { plan: () => ({ ...(honest.plan() as object), floor: future() }) },
    "TIDEMARK_CLOCK_FROM_THE_FUTURE",
  ],
  [
    "rows instead of a plan",
    { plan: () => ({ t: "fetched", request: 1, records: tags(), absent: [], floor: 0 }) },
    "TIDEMARK_WIRE_MALFORMED",
  ],
  ["rows for another request", page(({ request }) => ({ request: request + 100 })), "TIDEMARK_WIRE_MALFORMED"],
  ["rows with a floor from the future", page(() => ({ floor: future() })), "TIDEMARK_CLOCK_FROM_THE_FUTURE"],
  [
    "rows of another model",
    second({ records: { origins: [], groups: [{ m: "Folder", c: [], r: [] }] } }),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  ["rows from before their range", second({ records: tags(["a", ["a", 2]]) }), "TIDEMARK_WIRE_MALFORMED"],
  ["rows from behind their range", second({ records: tags(["x", ["x", 2]]), upTo: "c" }), "TIDEMARK_WIRE_MALFORMED"],
  ["rows that go backwards", second({ upTo: "a" }), "TIDEMARK_WIRE_MALFORMED"],
  ["rows that stand still", second({ upTo: "b" }), "TIDEMARK_WIRE_MALFORMED"],
  ["rows with too few values", second({ records: tags(["c", ["c"]]) }), "TIDEMARK_WIRE_MALFORMED"],
  ["rows with a value that is none", second({ records: tags(["c", [{ z: 1 }, 1]]) }), "TIDEMARK_WIRE_BAD_VALUE"],
  [
    "rows with a stamp from the future",
    second({ records: tags(["c", [future(), 0], [], [], 0, ["c", 1]]) }),
    "TIDEMARK_CLOCK_FROM_THE_FUTURE",
  ],
  [
    "a block that is not in order",
    second({ records: block(["d", "c"], ["d", "c"], [1, 1]) }),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "a block with a record twice",
    second({ records: block(["c", "c"], ["c", "c"], [1, 1]) }),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "a block from before its range",
    second({ records: block(["a", "c"], ["a", "c"], [1, 1]) }),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  ["a block with a column too few", second({ records: block(["c", "d"], ["c", "d"]) }), "TIDEMARK_WIRE_MALFORMED"],
  ["a block with a value too few", second({ records: block(["c", "d"], ["c"], [1, 1]) }), "TIDEMARK_WIRE_MALFORMED"],
  [
    "a block with bytes that are missing",
    second({ records: block({ u: 1 }, ["c", "d"], [1, 1]) }),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "a block with an identity that is none",
    second({ records: block(["c", "d d"], ["c", "d"], [1, 1]) }),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "a block with a value that is none",
    second({ records: block(["c", "d"], ["c", { z: 1 }], [1, 1]) }),
    "TIDEMARK_WIRE_BAD_VALUE",
  ],
];

/** With one that asks for bounds and parts. */
const inParts: readonly Refusal[] = [
  ["bounds that stand still", cut("b", "b"), "TIDEMARK_WIRE_MALFORMED"],
  ["bounds that go backwards", cut("c", "b"), "TIDEMARK_WIRE_MALFORMED"],
  ["more bounds than it asked for", cut("a", "b", "c", "d"), "TIDEMARK_WIRE_MALFORMED"],
  ["bounds that are no identities", cut("a b"), "TIDEMARK_WIRE_MALFORMED"],
  ["bounds that are no text", cut(5), "TIDEMARK_WIRE_MALFORMED"],
  [
    "bounds of a junction that name one end",
    {
      bounds: ({ request, model }) => ({ t: "backfill-bounds", request, bounds: model === "Note.tags" ? ["n1"] : [] }),
    },
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "rows instead of bounds",
    { bounds: ({ request }) => ({ t: "backfill-rows", request, records: tags(), upTo: null, floor: 0 }) },
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "rows that go on behind the part that it asked for",
    page(({ after }) => (after === null ? { upTo: "c", records: tags(["c", ["c", 1]]) } : {})),
    "TIDEMARK_WIRE_MALFORMED",
  ],
  [
    "rows of a part that go on to the end of the model",
    page(({ after }) => (after === null ? { upTo: null } : {})),
    "TIDEMARK_WIRE_MALFORMED",
  ],
];

it.each([
  ...plain.map((refusal) => [...refusal, [] as AnyPlugin[]] as const),
  ...inParts.map((refusal) => [...refusal, [dividing]] as const),
])("refuses %s, and goes on from there with a server that is right", async (_, bent, code, plugins) => {
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
  const server = new ScriptedPeer({ network, address: "s", now: () => clock.now() });
  onTestFinished(() => server.stop());
  await server.start();
  const b = await testDevice("b", { clock, network, dial: ["s"], plugins });
  let session = server.nextSession();
  await b.tidemark.start();
  await serve(await session, 1, { ...honest, ...bent }, false);
  for (let turn = 0; turn < 50; turn++) await clock.settle();
  expect(b.recordedOf("catchUpFailed").map((event) => event.code)).toEqual([expect.stringMatching(code)]);
  expect(b.recordedOf("catchUpDecided")).toMatchObject([{ decision: { action: "retry" } }]);
  expect(b.recordedOf("backfillCompleted")).toEqual([]);
  const names = async () =>
    (await b.dataSource.getRepository(Tag).find({ order: { uuid: "ASC" } })).map((it) => it.name);
  // Whole pages or nothing.
  expect([[], ["a", "b"], ["c", "d"], ["a", "b", "c", "d"]]).toContainEqual(await names());

  session = server.nextSession();
  const done = b.next("backfillCompleted");
  await clock.advance(6_000);
  await serve(await session, 2, honest, false);
  await done;
  expect(await names()).toEqual(["a", "b", "c", "d"]);
  expect((await b.tidemark.status()).origin).toBe(asked);
});

it("starts over when a server has forgotten more meanwhile than it had said that it has", async () => {
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(3) });
  const server = new ScriptedPeer({ network, address: "s", now: () => clock.now() });
  onTestFinished(() => server.stop());
  await server.start();
  const b = await testDevice("b", { clock, network, dial: ["s"] });
  let session = server.nextSession();
  await b.tidemark.start();
  const said = now() - 5_000;
  const plan = () => ({ ...(honest.plan() as object), vector: { "s-origin": said } });
  const rows: Answers["rows"] = (request) => ({
    ...(honest.rows(request) as object),
    floor: request.model === "Tag" && request.after !== null ? said + 1 : 0,
  });
  await serve(await session, 1, { ...honest, plan, rows }, false);
  for (let turn = 0; turn < 50; turn++) await clock.settle();
  expect(b.recordedOf("catchUpFailed").map(({ code }) => code)).toEqual(["TIDEMARK_BACKFILL_OUTDATED"]);
  expect(await b.dataSource.query("SELECT noted, floor, cursors FROM tidemark_backfill")).toEqual([
    { noted: null, floor: 0, cursors: "{}" },
  ]);
  session = server.nextSession();
  const done = b.next("backfillCompleted");
  await clock.advance(6_000);
  await serve(await session, 2, honest, false);
  await done;
});

it("erases what refers to nowhere once a later page says that everybody has forgotten the target", async () => {
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(2) });
  const server = new ScriptedPeer({ network, address: "s", now: () => clock.now() });
  onTestFinished(() => server.stop());
  await server.start();
  const b = await testDevice("b", { clock, network, dial: ["s"] });
  const session = server.nextSession();
  const done = b.next("backfillCompleted");
  await b.tidemark.start();
  const born = now() - 5_000;
  const lost = {
    origins: [["s-origin", "s", "s"]],
    groups: [{ m: "Note", c: ["text", "folder"], r: [["n", [born, 0], [], [], 0, ["x", "no-such-folder"]]] }],
  };
  const rows: Answers["rows"] = (request) => {
    const whole = { ...(honest.rows(request) as object), upTo: null };
    if (request.model === "Note") return { ...whole, records: lost };
    return request.model === "Note.tags" ? { ...whole, floor: born } : whole;
  };
  await Promise.all([serve(await session, 1, { ...honest, rows }, false), done]);
  expect((await b.tidemark.status()).parked.hidden).toBe(0);
  expect(b.recordedOf("batchApplied").some(({ counts }) => counts.parked === 1)).toBe(true);
});
