import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { fromPhysicalMs } from "../clock/hybrid-logical-clock.js";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import type { TestKernel } from "../testing/test-kernel.js";
import { InMemoryNetwork } from "../transport/in-memory.js";
import { contents, device, digests, Folder, fill, Tag } from "./bad-input.support.js";
import { type Hello, ScriptedPeer, type ScriptedSession } from "./scripted-peer.support.js";

/** What a peer may send at any stage of a session, and how it is called. */
const FRAMES: readonly (readonly [string, unknown])[] = [
  ["nothing at all", Buffer.alloc(0)],
  ["a truncated message", Buffer.from('{"t":"challenge","version":1,"libr')],
  ["what is not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
  ["what is not JSON", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["null", null],
  ["a list", [1, 2, 3]],
  ["a message without a type", { version: 1 }],
  ["an unknown type", { t: "drop-tables" }],
  ["a type that is no text", { t: { $ne: null } }],
  ["a missing key", { t: "challenge", version: 1, library: "test-library" }],
  ["an extra key", { t: "proof", proof: "AAAA", admin: true }],
  ["a wrong type", { t: "applied", n: "1" }],
  ["a fraction where a count belongs", { t: "applied", n: 1.5 }],
  ["a negative count", { t: "applied", n: -1 }],
  ["a count beyond all counts", Buffer.from('{"t":"applied","n":1e400}')],
  ["the key __proto__", Buffer.from('{"t":"applied","n":1,"__proto__":{"polluted":true}}')],
  ["a fragment of an unknown kind", Buffer.from([3, 1, 2])],
  ["a fragment too short to be one", Buffer.from([1, 0x7b])],
  ["nesting without an end", Buffer.from(`${'{"t":'.repeat(20_000)}1${"}".repeat(20_000)}`)],
  ["a frame above the limit", Buffer.alloc(2 * 1024 * 1024, 0x7b)],
  ["a message that belongs elsewhere", { t: "joined", origin: "o", hlc: 1, members: [], settled: {} }],
];

const clock = new ManualClock();
const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
const HLC_PER_MS = 4096;
let a: TestKernel;
let b: TestKernel;
/** The origin under which the hostile peer was admitted. */
let origin: string;
let ownOrigin: string;
let honestOrigin: string;
let token = 1;

beforeAll(async () => {
  const settings = { replication: { maxFrameBytes: 1024 * 1024 } };
  a = await device("a", { clock, network, settings });
  await a.tidemark.start();
  await fill(a);
  b = await device("b", { clock, network, settings, dial: ["a"] });
  const inStep = b.next("roundCompleted");
  await b.tidemark.start();
  await inStep;
  const peer = new ScriptedPeer({ network, address: "evil", dial: "a", now: () => clock.now() });
  const session = await peer.connect();
  await session.introduce({ token });
  const joined = await session.join();
  origin = joined.origin;
  ownOrigin = joined.members.find(({ deviceId }) => deviceId === "a")!.origin;
  honestOrigin = joined.members.find(({ deviceId }) => deviceId === "b")!.origin;
  await session.next("pull");
  await peer.stop();
  await clock.settle();
});

afterAll(async () => {
  await b?.dispose();
  await a?.dispose();
});

// Until a peer that has failed may be heard again, and everybody is at rest.
beforeEach(async () => {
  await clock.advance(120_000);
});

const now = () => fromPhysicalMs(clock.now());

async function connect(): Promise<ScriptedSession> {
  const peer = new ScriptedPeer({ network, address: "evil", dial: "a", now: () => clock.now() });
  onTestFinished(() => peer.stop());
  return await peer.connect();
}

/** A member's session, as far as after the hello. */
async function introduced(hello: Partial<Hello> = {}): Promise<ScriptedSession> {
  const session = await connect();
  token += 1;
  await session.introduce({ origin, token, ...hello });
  return session;
}

/** A member's session from which the other side pulls. */
async function pulled(): Promise<ScriptedSession> {
  const session = await introduced();
  await session.next("pull");
  return session;
}

/**
 * Runs the attack and checks that its maker loses the session with this error, and nobody loses anything else.
 */
async function costsTheSession(
  session: ScriptedSession,
  attack: () => void | Promise<void>,
  code: string | RegExp,
): Promise<void> {
  await clock.settle();
  const before = { a: await contents(a), b: await contents(b) };
  const failures = () =>
    a.recorded.flatMap(({ name, event }) =>
      name === "catchUpFailed" || name === "peerRefused" ? [`${event.code}: ${event.reason}`] : [],
    );
  const known = failures().length;
  const lost = [a, b].map((kernel) => kernel.recordedOf("peerDisconnected").length);
  await attack();
  // Everything happens in turns of the loop here, so what has not happened soon never will.
  for (let turn = 0; turn < 50; turn++) await clock.settle();
  expect({ end: session.end?.code, failed: failures().slice(known).at(-1) }).toEqual({
    end: expect.stringMatching(/closed-there|frame-too-large/),
    failed: expect.stringMatching(code),
  });
  expect({ a: await contents(a), b: await contents(b) }).toEqual(before);
  expect(b.recordedOf("peerDisconnected").length).toBe(lost[1]);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
}

const MALFORMED = "TIDEMARK_WIRE_MALFORMED";
const LARGE_OR_MALFORMED = /TIDEMARK_WIRE_MALFORMED|TIDEMARK_SESSION_LOST/;

describe.each(FRAMES)("%s", (_, frame) => {
  it("ends the session when it comes first", async () => {
    const session = await connect();
    await costsTheSession(session, () => session.send(frame), LARGE_OR_MALFORMED);
  });

  it("ends the session when it comes instead of the proof", async () => {
    const session = await connect();
    await session.challenge();
    await costsTheSession(session, () => session.send(frame), LARGE_OR_MALFORMED);
  });

  it("ends the session when it comes instead of the hello", async () => {
    const session = await connect();
    await session.challenge();
    await session.prove();
    await session.next("hello");
    await costsTheSession(session, () => session.send(frame), LARGE_OR_MALFORMED);
  });

  it("ends the session when it comes after the hello", async () => {
    const session = await introduced({ ready: false });
    await costsTheSession(session, () => session.send(frame), LARGE_OR_MALFORMED);
  });
});

describe("a hello", () => {
  it.each<readonly [string, () => Record<string, unknown>]>([
    ["with an origin that is another device's", () => ({ origin: honestOrigin })],
    ["with the origin of this very device", () => ({ origin: ownOrigin })],
    ["with a vector from the future", () => ({ vector: { [origin]: now() + 2 * 3_600_000 * HLC_PER_MS } })],
    ["with a floor from the future", () => ({ floor: now() + 2 * 3_600_000 * HLC_PER_MS })],
    ["with a negative entry in its vector", () => ({ vector: { [origin]: -1 } })],
    ["with a device id that has control characters", () => ({ deviceId: "e\u0000vil" })],
    ["with a member from the future", () => ({ members: [{ ...member("x"), joinHlc: Number.MAX_SAFE_INTEGER }] })],
    ["with a removal from the future", () => ({ removals: [removal({ hlc: Number.MAX_SAFE_INTEGER })] })],
    ["with a removal for no known reason", () => ({ removals: [removal({ kind: "because" })] })],
    ["with more removals than a library can have", () => ({ removals: Array(10_001).fill(removal()) })],
    ["with a removed member whose id is a mark", () => ({ removals: [removal({ origin: "!x" })] })],
    ["with an entry for no removal that is known", () => ({ vector: { "!x": -1 } })],
    ["with a name of a megabyte", () => ({ name: "x".repeat(200_000) })],
  ])("%s ends the session", async (_, said) => {
    const session = await connect();
    await session.challenge();
    await session.prove();
    token += 1;
    const more = said();
    await costsTheSession(
      session,
      () => void session.hello({ origin, token, ...more }).catch(() => {}),
      /TIDEMARK_WIRE_MALFORMED|TIDEMARK_CLOCK_FROM_THE_FUTURE|TIDEMARK_PEER_SAME_DEVICE|TIDEMARK_PEER_OTHER_DEVICE/,
    );
  });
});

function member(id: string) {
  return { origin: id, deviceId: id, name: id, joinHlc: 1, sponsor: null };
}

function removal(more: Record<string, unknown> = {}) {
  return { origin: "x", deviceId: "x", name: "x", kind: "removed", hlc: 1, by: "y", ...more };
}

interface PageParts {
  readonly origins?: unknown;
  readonly groups?: unknown;
  readonly records?: unknown;
  readonly end?: unknown;
  readonly n?: unknown;
  readonly position?: unknown;
}

function page({ origins = [[origin, "evil", "evil"]], groups = [], records, ...rest }: PageParts): unknown {
  return { t: "page", n: 1, position: 0, end: null, records: records ?? { origins, groups }, ...rest };
}

/** A page of one stamped tag. */
function tagPage(record: readonly unknown[], columns: readonly unknown[] = ["name", "weight"], more: PageParts = {}) {
  return page({ groups: [{ m: "Tag", c: columns, r: [record] }], ...more });
}

const tag = (hlc: unknown = now(), values: unknown = ["x", 1]) => ["x1", [hlc, 0], [], [], 0, values];
const end = (more: Record<string, unknown>) => ({ vector: {}, members: [], removals: [], vectors: {}, ...more });
const future = () => now() + 2 * 3_600_000 * HLC_PER_MS;

describe("a page", () => {
  it.each<readonly [string, () => unknown, string | RegExp]>([
    ["whose records are a list", () => page({ records: [] }), MALFORMED],
    ["with a key too many in its records", () => page({ records: { origins: [], groups: [], more: 1 } }), MALFORMED],
    ["with origins that are text", () => page({ origins: ["x"] }), MALFORMED],
    ["with an origin of two parts", () => page({ origins: [[origin, "evil"]] }), MALFORMED],
    ["with a control character in an origin", () => page({ origins: [["a\u0007b", "evil", "evil"]] }), MALFORMED],
    ["with groups that are null", () => page({ groups: [null] }), MALFORMED],
    ["with more groups than there can be models", () => page({ groups: Array(5_000).fill(null) }), MALFORMED],
    ["with a model without a name", () => page({ groups: [{ m: "", c: [], r: [] }] }), MALFORMED],
    ["with a model named by a number", () => page({ groups: [{ m: 5, c: [], r: [] }] }), MALFORMED],
    ["with a column named twice", () => tagPage(tag(), ["name", "name"]), MALFORMED],
    ["with a column that is no name", () => tagPage(tag(), ["name", null]), MALFORMED],
    ["with a record that is no list", () => tagPage("x1" as never), MALFORMED],
    ["with a record of three parts", () => tagPage(["x1", [], []]), MALFORMED],
    ["with an empty record", () => tagPage([]), MALFORMED],
    ["with an identity that is a number", () => tagPage([7, [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with an empty identity", () => tagPage(["", [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with a blank identity", () => tagPage([" ", [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with a NUL in an identity", () => tagPage(["x\u0000", [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with half a character in an identity", () => tagPage(["x\ud800", [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with an identity of a novel", () => tagPage(["x".repeat(5_000), [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with the identity of a junction", () => tagPage(["x y", [now(), 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with a stamp from the future", () => tagPage(tag(future())), "TIDEMARK_CLOCK_FROM_THE_FUTURE"],
    ["with a stamp of a fraction", () => tagPage(tag(1.5)), MALFORMED],
    ["with a negative stamp", () => tagPage(tag(-1)), MALFORMED],
    ["with a stamp beyond 2^53", () => tagPage(tag(2 ** 60)), MALFORMED],
    ["with a stamp of an origin out of range", () => tagPage(["x1", [now(), 1], [], [], 0, ["x", 1]]), MALFORMED],
    ["with a birth above every origin", () => tagPage(["x1", [now(), -1], [], [], 0, ["x", 1]]), MALFORMED],
    ["with half a birth", () => tagPage(["x1", [now()], [], [], 0, ["x", 1]]), MALFORMED],
    ["with births out of order", () => tagPage(["x1", [now(), 0, 5, 0], [], [], 0, ["x", 1]]), MALFORMED],
    ["with two deaths", () => tagPage(["x1", [], [now(), 0, now(), 0], [], [], []]), MALFORMED],
    ["with a stamp of a column out of range", () => tagPage(["x1", [], [], [2, now(), 0], [0], ["x"]]), MALFORMED],
    ["with a stamp of the whole row", () => tagPage(["x1", [], [], [-1, now(), 0], [0], ["x"]]), MALFORMED],
    ["with a value for a column out of range", () => tagPage(["x1", [], [], [0, now(), 0], [2], ["x"]]), MALFORMED],
    ["with too few values", () => tagPage(tag(now(), ["x"])), MALFORMED],
    ["with values that are no list", () => tagPage(tag(now(), { 0: "x", length: 2 })), MALFORMED],
    ["with a value that is a list", () => tagPage(tag(now(), [["x"], 1])), /WIRE_BAD_VALUE|MALFORMED/],
    ["with a value of an unknown tag", () => tagPage(tag(now(), [{ z: "x" }, 1])), /WIRE_BAD_VALUE/],
    ["with a value of two tags", () => tagPage(tag(now(), [{ i: "1", b: "" }, 1])), /WIRE_BAD_VALUE/],
    ["with an integer that is none", () => tagPage(tag(now(), ["x", { i: "1e5" }])), /WIRE_BAD_VALUE/],
    [
      "with an integer of more than 64 bits",
      () => tagPage(tag(now(), ["x", { i: "9223372036854775808" }])),
      /BAD_VALUE/,
    ],
    ["with a blob that is not base64", () => tagPage(tag(now(), [{ b: "*" }, 1])), /WIRE_BAD_VALUE/],
    ["with text that has half a character", () => tagPage(tag(now(), ["\ud800", 1])), /WIRE_BAD_VALUE/],
    ["with true for a value", () => tagPage(tag(now(), [true, 1])), /WIRE_BAD_VALUE/],
    [
      "with a bad record behind an unknown model",
      () =>
        page({
          origins: [
            [origin, "evil", "evil"],
            ["never-heard-of", "x", "x"],
          ],
          groups: [
            { m: "Unheard", c: ["of"], r: [] },
            { m: "Tag", c: ["name", "weight", "unheard"], r: [tag(future(), ["x", 1, null])] },
          ],
        }),
      "TIDEMARK_CLOCK_FROM_THE_FUTURE",
    ],
    [
      "with a reference that is a number",
      () => page({ groups: [{ m: "Note", c: ["text", "folder"], r: [["x1", [now(), 0], [], [], 0, ["x", 1]]] }] }),
      MALFORMED,
    ],
    [
      "with a junction that refers to others than its identity says",
      () =>
        page({
          groups: [{ m: "Note.tags", c: ["note", "tag"], r: [["n1 t1", [now(), 0], [], [], 0, ["t1", "n1"]]] }],
        }),
      MALFORMED,
    ],
    [
      "with a junction of one part",
      () =>
        page({ groups: [{ m: "Note.tags", c: ["note", "tag"], r: [["n1", [now(), 0], [], [], 0, ["n1", "t1"]]] }] }),
      MALFORMED,
    ],
    [
      "whose end has a vector of unknown origins",
      () => page({ end: end({ vector: { "who-is-this": 1 } }) }),
      MALFORMED,
    ],
    [
      "whose end has a vector from the future",
      () => page({ end: end({ vector: { [origin]: future() } }) }),
      "TIDEMARK_CLOCK_FROM_THE_FUTURE",
    ],
    [
      "whose end claims changes of this device that it never made",
      () => page({ end: end({ vector: { [ownOrigin]: now() + 1_000 * HLC_PER_MS } }) }),
      MALFORMED,
    ],
    [
      "whose end has another member's vector from the future",
      () => page({ end: end({ vectors: { [honestOrigin]: { [origin]: future() } } }) }),
      "TIDEMARK_CLOCK_FROM_THE_FUTURE",
    ],
    [
      "whose end knows of a removal that it does not tell",
      () => page({ end: end({ vector: { "!who-is-this": 1 } }) }),
      MALFORMED,
    ],
    ["with ages for other births than it has", () => tagPage([...tag(), [1, 1]]), MALFORMED],
    ["with a birth that is older than itself", () => tagPage([...tag(5), [6]]), MALFORMED],
    [
      "whose end has a member that joins in the future",
      () => page({ end: end({ members: [{ ...member("late"), joinHlc: future() }] }) }),
      "TIDEMARK_CLOCK_FROM_THE_FUTURE",
    ],
    [
      "whose end has a member with a control character",
      () => page({ end: end({ members: [member("a\u0007b")] }) }),
      MALFORMED,
    ],
    [
      "with good records before a bad end",
      () => tagPage(tag(), undefined, { end: end({ vector: { "who-is-this": 1 } }) }),
      MALFORMED,
    ],
  ])("%s ends the session", async (_, attack, code) => {
    const session = await pulled();
    await costsTheSession(session, () => session.send(attack()), code);
  });

  it("that nobody asked for ends the session", async () => {
    const session = await introduced({ ready: false });
    await costsTheSession(session, () => session.send(tagPage(tag())), MALFORMED);
  });

  it("of many that exceed the window ends the session", async () => {
    const session = await pulled();
    const large = Buffer.from(JSON.stringify(tagPage(tag(future(), ["x".repeat(250_000), 1]))));
    await costsTheSession(
      session,
      () => {
        for (let sent = 0; sent < 100; sent++) session.send(large);
      },
      /MALFORMED|FROM_THE_FUTURE/,
    );
  });
});

describe("an answer or a request", () => {
  const nobody: readonly (readonly [string, () => unknown])[] = [
    [
      "a page of a backfill",
      () => ({ t: "backfill-rows", request: 1, records: { origins: [], groups: [] }, upTo: null, floor: 0 }),
    ],
    ["bounds of ranges", () => ({ t: "backfill-bounds", request: 1, bounds: ["a"] })],
    ["a plan of a backfill", () => ({ t: "backfill-plan", vector: {}, floor: 0, totals: {}, members: [] })],
    [
      "fetched records",
      () => ({ t: "fetched", request: 1, records: { origins: [], groups: [] }, absent: [], floor: 0 }),
    ],
    ["a membership", () => ({ t: "joined", origin: "x", hlc: 1, members: [], settled: {} })],
    ["a refusal of a request", () => ({ t: "refused", request: 77, code: "X", reason: "x" })],
    ["the news that a snapshot is required", () => ({ t: "snapshot-required", floor: 1 })],
    ["word that a page was applied", () => ({ t: "applied", n: 5 })],
    ["a second challenge", () => ({ t: "challenge", version: 1, library: "l", method: "m", nonce: "" })],
    ["a second join", () => ({ t: "join", deviceId: "evil", name: "evil", origin: "z", replaces: null })],
    ["a join of another device", () => ({ t: "join", deviceId: "other", name: "other", origin: "z", replaces: null })],
    ["a page limit of nothing", () => ({ t: "backfill-page", request: 1, model: "Tag", after: null, limit: 0 })],
    ["a page limit beyond all", () => ({ t: "backfill-page", request: 1, model: "Tag", after: null, limit: 1e9 })],
    [
      "a page of hardly any bytes",
      () => ({ t: "backfill-page", request: 1, model: "Tag", after: null, limit: 1, maxBytes: 1 }),
    ],
    ...(
      [
        ["at every record and none", { every: 0 }],
        ["at steps beyond all", { every: 1e9 }],
        ["without a limit", { limit: 1e9 }],
        ["that begins nowhere", { after: undefined }],
      ] as const
    ).map(([name, bent]) => {
      const survey = { t: "backfill-survey", request: 1, model: "Tag", after: null, upTo: null, every: 10, limit: 10 };
      return [`a request for bounds ${name}`, () => ({ ...survey, ...bent })] as const;
    }),
    ["a fetch of too many records", () => ({ t: "fetch", request: 1, model: "Tag", records: Array(10_001).fill("x") })],
    [
      "a pull with a vector from the future",
      () => ({ t: "pull", logId: "x", position: 0, vector: { [origin]: future() } }),
    ],
  ];
  it.each(nobody)("%s that fits nothing ends the session", async (_, attack) => {
    const session = await introduced({ ready: false });
    await costsTheSession(session, () => session.send(attack()), /MALFORMED|FROM_THE_FUTURE|TIDEMARK_WIRE/);
  });

  it("a page of a backfill after what is no identity ends the session", async () => {
    const session = await introduced({ ready: false });
    const attack = { t: "backfill-page", request: 1, model: "Note.tags", after: "\u0000", limit: 10 };
    await costsTheSession(session, () => session.send(attack), /TIDEMARK_/);
  });

  it("a request for bounds after what is no identity ends the session", async () => {
    const session = await introduced({ ready: false });
    const bounds = { request: 1, model: "Note.tags", after: null, upTo: "\u0000", every: 1, limit: 10 };
    await costsTheSession(session, () => session.send({ t: "backfill-survey", ...bounds }), /TIDEMARK_/);
  });

  it("a flood of requests ends the session", async () => {
    const session = await introduced({ ready: false });
    // While the application keeps its transaction open, no request can be served.
    await a.dataSource.query("BEGIN");
    const attack = async () => {
      for (let sent = 0; sent < 1_000; sent++) session.send({ t: "backfill" });
      await clock.settle();
      await a.dataSource.query("COMMIT");
    };
    await costsTheSession(session, attack, MALFORMED);
  });

  it("a message of more parts than an introduction can have ends the session", async () => {
    const session = await connect();
    const part = Buffer.alloc(512 * 1024, 0x20);
    part[0] = 1;
    const attack = () => {
      for (let sent = 0; sent < 12; sent++) session.send(part);
    };
    await costsTheSession(session, attack, MALFORMED);
  });

  it("a message in the midst of another one ends the session", async () => {
    const session = await introduced({ ready: false });
    const part = Buffer.alloc(2_000, 0x20);
    part[0] = 1;
    const attack = () => {
      session.send(part);
      session.send({ t: "ready" });
    };
    await costsTheSession(session, attack, MALFORMED);
  });

  it("a flood before the introduction ends the session", async () => {
    const session = await connect();
    await session.challenge();
    await costsTheSession(
      session,
      () => {
        for (let sent = 0; sent < 1_000; sent++) session.send({ t: "ready" });
      },
      MALFORMED,
    );
  });
});

describe("what is odd but right", () => {
  it("serves a model that nobody has as an empty one", async () => {
    const session = await introduced({ ready: false });
    session.send({ t: "backfill-page", request: 9, model: "__proto__", after: null, limit: 10 });
    expect(await session.next("backfill-rows")).toMatchObject({ request: 9, records: { groups: [] }, upTo: null });
  });

  it("serves the part of a model that was asked for, and where it can be divided", async () => {
    const session = await introduced({ ready: false });
    const range = { model: "Folder", after: "f1", upTo: "f2" };
    session.send({ t: "backfill-page", request: 3, ...range, limit: 10 });
    const { records, upTo } = await session.next("backfill-rows");
    expect(upTo).toBe("f2");
    expect(records.groups).toMatchObject([{ m: "Folder", r: [["f2", expect.anything()]] }]);
    session.send({ t: "backfill-survey", request: 4, ...range, after: null, every: 1, limit: 10 });
    expect(await session.next("backfill-bounds")).toMatchObject({ request: 4, bounds: ["f1", "f2"] });
    session.send({ t: "backfill-survey", request: 5, ...range, model: "__proto__", every: 1, limit: 10 });
    expect(await session.next("backfill-bounds")).toMatchObject({ request: 5, bounds: [] });
  });

  it("keeps a record that refers to nowhere aside, and takes its deletion", async () => {
    const session = await pulled();
    const group = (record: unknown) => ({ groups: [{ m: "Note", c: ["text", "folder"], r: [record] }] });
    session.send(page(group(["lost", [now(), 0], [], [], 0, ["x", "no-such-folder"]])));
    await session.next("applied");
    expect((await a.tidemark.status()).parked.hidden).toBe(1);
    session.send(page({ n: 2, ...group(["lost", [], [now() + 1, 0], [], [], []]) }));
    await session.next("applied");
    expect((await a.tidemark.status()).parked.hidden).toBe(0);
  });
});

it("leaves the honest devices in step, and able to go on", async () => {
  expect(a.tidemark.state).toBe("running");
  const seen = b.next("roundCompleted", ({ records }) => records > 0);
  await a.dataSource.getRepository(Folder).save({ uuid: "f9", name: "after all that", parent: null });
  await seen;
  const back = a.next("roundCompleted", ({ records }) => records > 0);
  await b.dataSource.getRepository(Tag).save({ uuid: "t9", name: "blue", weight: null });
  await back;
  expect(await digests(b)).toEqual(await digests(a));
});
