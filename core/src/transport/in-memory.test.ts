import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { testTransportContract } from "../testing/transport-contract.js";
import { TransportProbe } from "../testing/transport-probe.js";
import { InMemoryNetwork, type InMemoryNetworkOptions } from "./in-memory.js";

testTransportContract({
  name: "in-memory",
  runner: { describe, it },
  create() {
    const clock = new ManualClock();
    const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
    let diallers = 0;
    return {
      clock,
      listener: network.transport("listener"),
      createDialler: () => network.transport(`dialler-${++diallers}`, { dial: ["listener"] }),
    };
  },
});

const aToB = { from: "a", to: "b" };
const bToA = { from: "b", to: "a" };

/** `a` dials `b`; both are started and connected. */
async function connectedPair(options: Partial<InMemoryNetworkOptions> = {}) {
  const clock = new ManualClock();
  const network = new InMemoryNetwork({ clock, random: new SeededRandom(1), ...options });
  const hosts = { a: new TransportProbe({ maxFrameBytes: 1_000 }), b: new TransportProbe({ maxFrameBytes: 1_000 }) };
  await network.transport("b").start(hosts.b);
  const dialler = network.transport("a", { dial: ["b"] });
  await dialler.start(hosts.a);
  const [a, b] = await Promise.all([hosts.a.nextConnection(), hosts.b.nextConnection()]);
  return { clock, network, hosts, dialler, a, b };
}

const bytes = (...values: number[]) => Uint8Array.from(values);

describe("the in-memory network", () => {
  it("loses the connections across a cut on both sides, and makes none before it is healed", async () => {
    const { clock, network, hosts, a, b } = await connectedPair({ redialMs: 500 });
    a.connection.send(bytes(1));
    network.cut("a", "b");
    await clock.advance(10_000);
    expect(a.ends).toEqual([{ code: "lost", reason: "the link was cut" }]);
    expect(b.ends).toEqual([{ code: "lost", reason: "the link was cut" }]);
    expect(b.frames).toEqual([]);
    expect(hosts.a.connections).toHaveLength(1);
    network.heal("a", "b");
    await clock.advance(500);
    expect(hosts.a.connections).toHaveLength(2);
    expect(hosts.b.connections).toHaveLength(2);
  });

  it("holds back one direction, and delivers what waited, the news of the end included, once it is healed", async () => {
    const { clock, network, a, b } = await connectedPair();
    network.cutOneWay(aToB);
    a.connection.send(bytes(1));
    b.connection.send(bytes(2));
    a.connection.close({ reason: "bye", redial: "never" });
    await clock.advance(60_000);
    expect(b.frames).toEqual([]);
    expect(b.ends).toEqual([]);
    network.heal("a", "b");
    await clock.settle();
    expect(b.frames).toEqual([bytes(1)]);
    expect(b.ends).toEqual([{ code: "closed-there", reason: "bye" }]);
  });

  it("lets the other direction of a one-way cut pass", async () => {
    const { clock, network, a, b } = await connectedPair();
    network.cutOneWay(aToB);
    b.connection.send(bytes(2));
    await clock.settle();
    expect(a.frames).toEqual([bytes(2)]);
  });

  it("makes no connection across a one-way cut", async () => {
    const { clock, network, hosts, a } = await connectedPair({ redialMs: 500 });
    network.cut("a", "b");
    network.heal("a", "b");
    network.cutOneWay(bToA);
    await clock.advance(5_000);
    expect(a.ends).toHaveLength(1);
    expect(hosts.b.connections).toHaveLength(1);
  });

  it("delivers a frame when its latency has passed, and not before", async () => {
    const { clock, network, a, b } = await connectedPair();
    network.setLatency(aToB, 100);
    a.connection.send(bytes(1));
    await clock.advance(99);
    expect(b.frames).toEqual([]);
    await clock.advance(1);
    expect(b.frames).toEqual([bytes(1)]);
  });

  it("keeps the order of frames whose latencies are drawn from a range, and draws the same ones from the same seed", async () => {
    const arrivals = async () => {
      const { clock, network, a, b } = await connectedPair();
      const times: string[] = [];
      b.respond((frame) => times.push(`${frame[0]} at ${clock.monotonicMs()}`));
      network.setLatency(aToB, { minMs: 1, maxMs: 50 });
      for (let index = 0; index < 20; index++) {
        a.connection.send(bytes(index));
        await clock.advance(3);
      }
      await clock.advance(50);
      return { times, order: b.frames.map((frame) => frame[0]) };
    };
    const first = await arrivals();
    expect(first.order).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(await arrivals()).toEqual(first);
  });

  it("loses the connection together with the frame after the given number", async () => {
    const { clock, network, hosts, a, b } = await connectedPair();
    network.loseAfter(aToB, { frames: 2 });
    for (const value of [1, 2, 3, 4]) a.connection.send(bytes(value));
    await clock.settle();
    expect(b.frames).toEqual([bytes(1), bytes(2)]);
    expect([...a.ends, ...b.ends].map(({ code }) => code)).toEqual(["lost", "lost"]);
    await clock.advance(1_000);
    hosts.a.connections[1]?.connection.send(bytes(5));
    await clock.settle();
    expect(hosts.b.connections[1]?.frames).toEqual([bytes(5)]);
  });

  it("takes back faults that were not met when the link is healed", async () => {
    const { clock, network, a, b } = await connectedPair();
    network.loseAfter(aToB, { frames: 0 });
    network.truncateNext(aToB, { keepBytes: 0 });
    network.heal("a", "b");
    a.connection.send(bytes(1, 2));
    await clock.settle();
    expect(b.frames).toEqual([bytes(1, 2)]);
  });

  it("passes as many bytes in a second as it is told", async () => {
    const { clock, network, a, b } = await connectedPair();
    network.setBandwidth(aToB, { bytesPerSecond: 100 });
    a.connection.send(new Uint8Array(10));
    a.connection.send(new Uint8Array(20));
    await clock.advance(99);
    expect(b.frames).toHaveLength(0);
    await clock.advance(1);
    expect(b.frames).toHaveLength(1);
    await clock.advance(199);
    expect(b.frames).toHaveLength(1);
    await clock.advance(1);
    expect(b.frames).toHaveLength(2);
  });

  it("loses a connection at one end, while the other believes in it and still gets what was on its way", async () => {
    const { clock, network, hosts, a, b } = await connectedPair({ redialMs: 500 });
    network.setLatency(aToB, 10);
    a.connection.send(bytes(1));
    network.loseEnd({ at: "a", other: "b" }, { noticeMs: 5_000 });
    b.connection.send(bytes(2));
    await clock.advance(4_999);
    expect(a.ends.map(({ code }) => code)).toEqual(["lost"]);
    expect(a.frames).toEqual([]);
    expect(b.frames).toEqual([bytes(1)]);
    expect(b.ends).toEqual([]);
    // Meanwhile a has dialled again.
    expect(hosts.b.connections).toHaveLength(2);
    await clock.advance(1);
    expect(b.ends.map(({ code }) => code)).toEqual(["lost"]);
    expect(hosts.b.connections).toHaveLength(2);
  });

  it("ends a process without a word, frees its address, and lets its peers notice later", async () => {
    const { clock, network, hosts, a, b } = await connectedPair({ redialMs: 500 });
    network.crash("a", { noticeMs: 3_000 });
    b.connection.send(bytes(1));
    await clock.advance(2_999);
    expect([...a.ends, ...a.frames, ...b.ends]).toEqual([]);
    const next = new TransportProbe({ maxFrameBytes: 1_000 });
    await network.transport("a").start(next);
    await clock.advance(1);
    expect(a.ends).toEqual([]);
    expect(b.ends.map(({ code }) => code)).toEqual(["lost"]);
    await clock.advance(60_000);
    expect(hosts.a.connections).toHaveLength(1);
  });

  it("starts nothing any more of a process that has ended while its transport was stopped", async () => {
    const clock = new ManualClock();
    const network = new InMemoryNetwork({ clock, random: new SeededRandom(1) });
    const ended = network.transport("a");
    await ended.start(new TransportProbe({ maxFrameBytes: 1_000 }));
    await ended.stop();
    network.crash("a", { noticeMs: 0 });
    void ended.start(new TransportProbe({ maxFrameBytes: 1_000 }));
    await network.transport("a").start(new TransportProbe({ maxFrameBytes: 1_000 }));
  });

  it("tells of every frame that arrives, before its receiver has it", async () => {
    const clock = new ManualClock();
    const told: string[] = [];
    const network = new InMemoryNetwork({
      clock,
      random: new SeededRandom(1),
      onDelivery: ({ from, to, frame }) => told.push(`${from} to ${to}: ${frame.byteLength}`),
    });
    const [near, far] = [0, 1].map(() => new TransportProbe({ maxFrameBytes: 1_000 })) as [
      TransportProbe,
      TransportProbe,
    ];
    await network.transport("b").start(far);
    await network.transport("a", { dial: ["b"] }).start(near);
    await clock.advance(0);
    far.connections[0]?.respond(() => told.push("received"));
    near.connections[0]?.connection.send(bytes(1, 2, 3));
    far.connections[0]?.connection.send(bytes(1));
    await clock.settle();
    expect(told).toEqual(["a to b: 3", "received", "b to a: 1"]);
  });

  it("truncates the next frame and no other", async () => {
    const { clock, network, a, b } = await connectedPair();
    network.truncateNext(aToB, { keepBytes: 2 });
    a.connection.send(bytes(1, 2, 3));
    a.connection.send(bytes(4, 5, 6));
    await clock.settle();
    expect(b.frames).toEqual([bytes(1, 2), bytes(4, 5, 6)]);
  });

  it("copies frames, so that neither end sees what the other writes into its own afterwards", async () => {
    const { clock, a, b } = await connectedPair();
    const frame = bytes(1, 2, 3);
    a.connection.send(frame);
    frame.fill(9);
    await clock.settle();
    expect(b.frames).toEqual([bytes(1, 2, 3)]);
  });

  it("counts as buffered what does not fit its window, and lets a larger frame travel alone", async () => {
    const { clock, network, a, b } = await connectedPair({ windowBytes: 10 });
    network.setLatency(aToB, 5);
    a.connection.send(new Uint8Array(25));
    expect(a.connection.bufferedBytes).toBe(0);
    a.connection.send(new Uint8Array(6));
    a.connection.send(new Uint8Array(6));
    expect(a.connection.bufferedBytes).toBe(12);
    await clock.advance(5);
    expect(a.connection.bufferedBytes).toBe(6);
    expect(a.drains).toBe(0);
    await clock.advance(5);
    expect(a.connection.bufferedBytes).toBe(0);
    expect(a.drains).toBe(1);
    await clock.advance(5);
    expect(b.frames.map((frame) => frame.byteLength)).toEqual([25, 6, 6]);
    expect(a.drains).toBe(1);
  });

  it("dials until somebody is there", async () => {
    const clock = new ManualClock();
    const network = new InMemoryNetwork({ clock, random: new SeededRandom(1), redialMs: 200 });
    const host = new TransportProbe({ maxFrameBytes: 1_000 });
    await network.transport("a", { dial: ["b"] }).start(host);
    await clock.advance(1_000);
    expect(host.connections).toHaveLength(0);
    await network.transport("b").start(new TransportProbe({ maxFrameBytes: 1_000 }));
    await clock.advance(200);
    expect(host.connections).toHaveLength(1);
  });

  it("refuses a second transport at the same address, and frees the address when the first stops", async () => {
    const { network, dialler } = await connectedPair();
    const second = network.transport("a");
    const host = new TransportProbe({ maxFrameBytes: 1_000 });
    await expect(second.start(host)).rejects.toMatchObject({ code: "TIDEMARK_TRANSPORT_ADDRESS_IN_USE" });
    await dialler.stop();
    await second.start(host);
  });
});
