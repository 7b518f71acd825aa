// The acceptance suite of the transport contract (the idea is automerge-repo's): whoever writes a transport runs it
// against their own. It knows two transports and a clock, and nothing of what carries the frames.

import assert from "node:assert/strict";
import { isTidemarkError, type Transport } from "@tidemark/plugin-api";
import type { ManualClock } from "./manual-clock.js";
import { type ConnectionProbe, TransportProbe } from "./transport-probe.js";

/** A listener and what dials it, both on the same clock. */
export interface TransportContractSetup {
  /** Accepts connections once it is started. */
  readonly listener: Transport;
  /** Makes a transport that dials the listener once it is started; called only while the listener is. */
  createDialler(): Transport;
  /** Carries all delays of both. */
  readonly clock: ManualClock;
}

/** What the suite is to test, and in which test framework. */
export interface TransportContractOptions {
  /** The transport's name, for the report. */
  readonly name: string;
  /** Called once for each test. */
  create(): TransportContractSetup | Promise<TransportContractSetup>;
  /** The test framework's own functions; those of vitest, node:test and mocha fit. */
  readonly runner: {
    describe(name: string, body: () => void): unknown;
    it(name: string, body: () => Promise<void>): unknown;
  };
}

const MAX_FRAME_BYTES = 1_048_576;
const DAY_MS = 86_400_000;
/** The end that dialled is the near one. */
const DIRECTIONS = [
  ["near", "far"],
  ["far", "near"],
] as const;

/**
 * Declares the tests that every transport must pass.
 *
 * @example
 * import { describe, it } from "vitest";
 *
 * testTransportContract({
 *   name: "in-memory",
 *   runner: { describe, it },
 *   create() {
 *     const clock = new ManualClock();
 *     const network = new InMemoryNetwork({ clock, random });
 *     let diallers = 0;
 *     return {
 *       clock,
 *       listener: network.transport("listener"),
 *       createDialler: () => network.transport(`dialler-${++diallers}`, { dial: ["listener"] }),
 *     };
 *   },
 * });
 */
export function testTransportContract({ name, create, runner: { describe, it } }: TransportContractOptions): void {
  /** Runs `body` with a started listener and dialler and the two ends of their connection. */
  const connected =
    (body: (fixture: Fixture) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const fixture = await Fixture.start(await create());
      try {
        await body(fixture);
      } finally {
        await fixture.stop();
      }
    };

  describe(`the transport contract: ${name}`, () => {
    it(
      "tells the two ends who has dialled, and gives each the other's address",
      connected(async ({ near, far }) => {
        assert.equal(near.connection.dialled, true);
        assert.equal(far.connection.dialled, false);
        assert.notEqual(near.connection.address, "");
        assert.notEqual(far.connection.address, "");
      }),
    );

    for (const [from, to] of DIRECTIONS) {
      it(
        `delivers frames whole and in order from the ${from} end to the ${to} one`,
        connected(async (fixture) => {
          const sent = Array.from({ length: 200 }, (_, index) => patternFrame(index, (index * 379) % 9_000));
          for (const frame of sent) fixture[from].connection.send(frame);
          await fixture[to].until("all frames", ({ frames }) => frames.length === sent.length);
          assertFrames(fixture[to].frames, sent);
        }),
      );
    }

    it(
      "carries both directions at once",
      connected(async ({ near, far }) => {
        const outward = Array.from({ length: 50 }, (_, index) => patternFrame(index, 5_000));
        const inward = Array.from({ length: 50 }, (_, index) => patternFrame(index + 100, 3_000));
        for (let index = 0; index < 50; index++) {
          near.connection.send(outward[index]!);
          far.connection.send(inward[index]!);
        }
        await far.until("all frames", ({ frames }) => frames.length === 50);
        await near.until("all frames", ({ frames }) => frames.length === 50);
        assertFrames(far.frames, outward);
        assertFrames(near.frames, inward);
      }),
    );

    it(
      "delivers an empty frame, and one of exactly maxFrameBytes",
      connected(async ({ near, far }) => {
        const sent = [new Uint8Array(), patternFrame(7, MAX_FRAME_BYTES), new Uint8Array(), patternFrame(8, 1)];
        for (const frame of sent) near.connection.send(frame);
        await far.until("all frames", ({ frames }) => frames.length === sent.length);
        assertFrames(far.frames, sent);
      }),
    );

    for (const [from, to] of DIRECTIONS) {
      it(
        `closes the connection when the ${to} end gets a larger frame, and delivers nothing of it`,
        connected(async (fixture) => {
          const [sender, receiver] = [fixture[from], fixture[to]];
          sender.connection.send(patternFrame(1, 10));
          sender.connection.send(patternFrame(2, MAX_FRAME_BYTES + 1));
          await receiver.until("its end", ({ ends }) => ends.length > 0);
          await sender.until("its end", ({ ends }) => ends.length > 0);
          assert.equal(receiver.ends[0]?.code, "frame-too-large");
          assertFrames(receiver.frames, [patternFrame(1, 10)]);
          assert.throws(() => receiver.connection.send(new Uint8Array(1)), isClosedError);
        }),
      );
    }

    it(
      "shows what waits in the send buffer, and says when it has emptied",
      connected(async ({ near, far }) => {
        const frame = patternFrame(3, MAX_FRAME_BYTES);
        let sent = 0;
        // All in one turn, so that no receiver can keep up.
        while (near.connection.bufferedBytes === 0) {
          assert.ok(sent < 256, "256 MiB were sent in one turn and bufferedBytes is still 0");
          near.connection.send(frame);
          sent++;
        }
        assert.equal(near.drains, 0);
        await near.until("the send buffer to empty", ({ drains }) => drains > 0);
        assert.equal(near.connection.bufferedBytes, 0);
        await far.until("all frames", ({ frames }) => frames.length === sent);
        assert.ok(far.frames.every((received) => received.byteLength === frame.byteLength));
      }),
    );

    for (const [closer, other] of DIRECTIONS) {
      it(
        `ends both sides exactly once when the ${closer} one closes, with the reason`,
        connected(async (fixture) => {
          fixture[closer].connection.close({ reason: "done for today", redial: "never" });
          fixture[closer].connection.close({ reason: "twice", redial: "never" });
          await fixture[closer].until("its end", ({ ends }) => ends.length > 0);
          await fixture[other].until("its end", ({ ends }) => ends.length > 0);
          fixture[other].connection.close({ reason: "after the end", redial: "never" });
          await fixture.stop();
          assert.deepEqual(fixture[closer].ends, [{ code: "closed-here", reason: "done for today" }]);
          assert.deepEqual(fixture[other].ends, [{ code: "closed-there", reason: "done for today" }]);
        }),
      );

      it(
        `delivers what was sent before the ${closer} side closed`,
        connected(async (fixture) => {
          const sent = Array.from({ length: 20 }, (_, index) => patternFrame(index, 50_000));
          for (const frame of sent) fixture[closer].connection.send(frame);
          fixture[closer].connection.close({ reason: "all said", redial: "never" });
          await fixture[other].until("its end", ({ ends }) => ends.length > 0);
          assertFrames(fixture[other].frames, sent);
        }),
      );
    }

    it(
      "ends both sides exactly once when both close at the same time",
      connected(async (fixture) => {
        fixture.near.connection.close({ reason: "near", redial: "never" });
        fixture.far.connection.close({ reason: "far", redial: "never" });
        await fixture.near.until("its end", ({ ends }) => ends.length > 0);
        await fixture.far.until("its end", ({ ends }) => ends.length > 0);
        await fixture.stop();
        assert.deepEqual(fixture.near.ends, [{ code: "closed-here", reason: "near" }]);
        assert.deepEqual(fixture.far.ends, [{ code: "closed-here", reason: "far" }]);
      }),
    );

    it(
      "carries a long reason in any script far enough to be read",
      connected(async ({ near, far }) => {
        near.connection.close({ reason: "Уходим. ".repeat(100), redial: "never" });
        await far.until("its end", ({ ends }) => ends.length > 0);
        assert.equal(far.ends[0]?.code, "closed-there");
        assert.match(far.ends[0]?.reason ?? "", /^Уходим\./);
        assert.ok(!far.ends[0]?.reason.includes("\ufffd"), "the reason was cut in the middle of a character");
      }),
    );

    it(
      "delivers nothing to a side that has closed",
      connected(async ({ near, far }) => {
        far.respond(() => far.connection.close({ reason: "enough", redial: "never" }));
        for (let index = 0; index < 20; index++) near.connection.send(patternFrame(index, 100));
        await near.until("its end", ({ ends }) => ends.length > 0);
        await far.until("its end", ({ ends }) => ends.length > 0);
        assert.equal(far.frames.length, 1);
      }),
    );

    it(
      "throws TIDEMARK_TRANSPORT_CLOSED when something is sent after the end, on either side",
      connected(async ({ near, far }) => {
        near.connection.close({ reason: "over", redial: "never" });
        assert.throws(() => near.connection.send(new Uint8Array(1)), isClosedError);
        await far.until("its end", ({ ends }) => ends.length > 0);
        assert.throws(() => far.connection.send(new Uint8Array(1)), isClosedError);
      }),
    );

    it(
      "closes a connection that its host doesn't open",
      connected(async (fixture) => {
        fixture.listening.openConnections = false;
        const dialling = await fixture.startDialler();
        const end = await dialling.nextConnection();
        await end.until("its end", ({ ends }) => ends.length > 0);
        assert.equal(end.ends.length, 1);
      }),
    );

    it(
      "keeps the connections of one listener apart",
      connected(async (fixture) => {
        const dialling = await fixture.startDialler();
        const near2 = await dialling.nextConnection();
        const far2 = await fixture.listening.nextConnection();
        fixture.near.connection.send(patternFrame(1, 10));
        near2.connection.send(patternFrame(2, 10));
        await fixture.far.until("a frame", ({ frames }) => frames.length > 0);
        await far2.until("a frame", ({ frames }) => frames.length > 0);
        assertFrames(fixture.far.frames, [patternFrame(1, 10)]);
        assertFrames(far2.frames, [patternFrame(2, 10)]);
        near2.connection.close({ reason: "one of two", redial: "never" });
        await far2.until("its end", ({ ends }) => ends.length > 0);
        fixture.far.connection.send(patternFrame(3, 10));
        await fixture.near.until("a frame", ({ frames }) => frames.length > 0);
      }),
    );

    for (const closer of ["near", "far"] as const) {
      it(
        `dials again after the time that the ${closer} side gave, and not before`,
        connected(async (fixture) => {
          fixture[closer].connection.close({ reason: "later", redial: { afterMs: 60_000 } });
          await fixture.near.until("its end", ({ ends }) => ends.length > 0);
          await fixture.clock.advance(59_999);
          await fixture.barrier();
          assert.equal(fixture.dialling.connections.length, 1);
          await fixture.clock.advance(1);
          const near = await fixture.dialling.nextConnection();
          const far = await fixture.listening.nextConnection();
          near.connection.send(patternFrame(4, 40));
          await far.until("a frame", ({ frames }) => frames.length > 0);
          assertFrames(far.frames, [patternFrame(4, 40)]);
        }),
      );

      it(
        `never dials again when the ${closer} side says so`,
        connected(async (fixture) => {
          fixture[closer].connection.close({ reason: "not wanted", redial: "never" });
          await fixture.near.until("its end", ({ ends }) => ends.length > 0);
          await fixture.expectNoDialForADay();
        }),
      );
    }

    it(
      "keeps its connections when it is started twice",
      connected(async (fixture) => {
        await fixture.listener.start(fixture.listening);
        await fixture.dialler.start(fixture.dialling);
        await fixture.barrier();
        assert.equal(fixture.dialling.connections.length, 1);
        fixture.near.connection.send(patternFrame(5, 50));
        await fixture.far.until("a frame", ({ frames }) => frames.length > 0);
      }),
    );

    it("stops without having been started, and twice", async () => {
      const { listener } = await create();
      await listener.stop();
      await listener.start(new TransportProbe({ maxFrameBytes: MAX_FRAME_BYTES }));
      await listener.stop();
      await listener.stop();
    });

    for (const stopped of ["dialler", "listener"] as const) {
      it(
        `ends open connections once on each side when the ${stopped} stops, all before it has stopped`,
        connected(async (fixture) => {
          const [here, there] = stopped === "dialler" ? [fixture.near, fixture.far] : [fixture.far, fixture.near];
          await fixture[stopped].stop();
          assert.deepEqual(
            here.ends.map(({ code }) => code),
            ["closed-here"],
          );
          await there.until("its end", ({ ends }) => ends.length > 0);
          await fixture.stop();
          assert.equal(here.ends.length, 1);
          assert.equal(there.ends.length, 1);
        }),
      );
    }

    it(
      "dials no more once it has stopped while it waited to dial",
      connected(async (fixture) => {
        fixture.near.connection.close({ reason: "later", redial: { afterMs: 1_000 } });
        await fixture.near.until("its end", ({ ends }) => ends.length > 0);
        await fixture.dialler.stop();
        await fixture.expectNoDialForADay();
      }),
    );

    it(
      "dials no more once it has stopped with an open connection",
      connected(async (fixture) => {
        await fixture.dialler.stop();
        await fixture.expectNoDialForADay();
      }),
    );

    it(
      "can be started again",
      connected(async (fixture) => {
        await fixture.dialler.stop();
        await fixture.far.until("its end", ({ ends }) => ends.length > 0);
        await fixture.dialler.start(fixture.dialling);
        const near = await fixture.dialling.nextConnection();
        const far = await fixture.listening.nextConnection();
        far.connection.send(patternFrame(6, 60));
        await near.until("a frame", ({ frames }) => frames.length > 0);
      }),
    );
  });
}

/** A started listener and dialler, and the two ends of the connection between them. */
class Fixture {
  readonly listener: Transport;
  readonly dialler: Transport;
  readonly listening: TransportProbe;
  readonly dialling: TransportProbe;
  readonly clock: ManualClock;
  readonly near: ConnectionProbe;
  readonly far: ConnectionProbe;
  readonly #setup: TransportContractSetup;
  readonly #extra: Transport[] = [];

  private constructor(
    fields: Pick<Fixture, "dialler" | "listening" | "dialling" | "near" | "far">,
    setup: TransportContractSetup,
  ) {
    this.#setup = setup;
    this.clock = setup.clock;
    this.listener = setup.listener;
    this.dialler = fields.dialler;
    this.listening = fields.listening;
    this.dialling = fields.dialling;
    this.near = fields.near;
    this.far = fields.far;
  }

  static async start(setup: TransportContractSetup): Promise<Fixture> {
    const listening = new TransportProbe({ maxFrameBytes: MAX_FRAME_BYTES });
    const dialling = new TransportProbe({ maxFrameBytes: MAX_FRAME_BYTES });
    await setup.listener.start(listening);
    const dialler = setup.createDialler();
    await dialler.start(dialling);
    const [near, far] = await Promise.all([dialling.nextConnection(), listening.nextConnection()]);
    return new Fixture({ dialler, listening, dialling, near, far }, setup);
  }

  async startDialler(): Promise<TransportProbe> {
    const dialler = this.#setup.createDialler();
    this.#extra.push(dialler);
    const probe = new TransportProbe({ maxFrameBytes: MAX_FRAME_BYTES });
    await dialler.start(probe);
    return probe;
  }

  /** Makes another connection; one that was dialled before this call is there when it resolves. */
  async barrier(): Promise<void> {
    const probe = await this.startDialler();
    const end = await probe.nextConnection();
    await this.listening.nextConnection();
    end.connection.close({ reason: "only a test", redial: "never" });
    await end.until("its end", ({ ends }) => ends.length > 0);
  }

  /** Steps that double leave an attempt, whenever it begins, the time to get through before its own time-out. */
  async expectNoDialForADay(): Promise<void> {
    for (let stepMs = 250; stepMs < DAY_MS; stepMs *= 2) {
      await this.clock.advance(stepMs);
      await this.barrier();
      assert.equal(this.dialling.connections.length, 1, "number of connections that were dialled");
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.dialler, ...this.#extra].map((transport) => transport.stop()));
    await this.listener.stop();
  }
}

/** Bytes that differ by `seed` and by position, so that a frame cut or joined in the wrong place is noticed. */
function patternFrame(seed: number, sizeBytes: number): Uint8Array {
  const frame = new Uint8Array(sizeBytes);
  for (let index = 0; index < sizeBytes; index++) frame[index] = (seed * 31 + index * 7 + (index >> 8)) & 0xff;
  return frame;
}

function assertFrames(actual: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
  assert.equal(actual.length, expected.length, "number of frames");
  for (const [index, frame] of expected.entries()) {
    // Buffers are compared by content in one pass; deepEqual on a large Uint8Array takes seconds.
    assert.ok(Buffer.compare(actual[index]!, frame) === 0, `frame ${index} differs from what was sent`);
  }
}

function isClosedError(error: unknown): boolean {
  return isTidemarkError(error, "TIDEMARK_TRANSPORT_CLOSED");
}
