import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import { RecordingLogger } from "../testing/recording-logger.js";
import { EventBus } from "./event-bus.js";

const connected = { peer: "p", deviceId: "d", address: "memory://p", clockDriftMs: 0 };

function bus(device = "device") {
  const logger = new RecordingLogger();
  return { logger, events: new EventBus(logger, { library: "library", device }) };
}

describe("the event bus", () => {
  it("tells listeners in the order of their subscription until they unsubscribe, and once only those of `once`", () => {
    const { events } = bus();
    const heard: string[] = [];
    const first = events.on("peerConnected", ({ peer }) => heard.push(`first ${peer}`));
    events.once("peerConnected", ({ peer }) => heard.push(`once ${peer}`));
    events.emit("peerConnected", connected);
    first.dispose();
    first.dispose();
    events.emit("peerConnected", connected);
    expect(heard).toEqual(["first p", "once p"]);
    expect(events.hasListeners("peerConnected")).toBe(false);
  });

  it("lets no listener change what the next one is told", () => {
    const { events, logger } = bus();
    const heard: string[] = [];
    events.on("peerConnected", (event) => {
      (event as { peer: string }).peer = "another";
    });
    events.on("peerConnected", ({ peer }) => heard.push(peer));
    events.emit("peerConnected", { ...connected });
    expect(heard).toEqual(["p"]);
    expect(logger.lines).toMatchObject([{ level: "error", message: "an event listener has failed" }]);
  });

  it("keeps a listener that throws or rejects away from the others and from the sender, and logs it", async () => {
    const { events, logger } = bus();
    let heard = 0;
    events.on("peerConnected", () => {
      throw new Error("thrown");
    });
    events.on("peerConnected", async () => {
      throw new Error("rejected");
    });
    events.on("peerConnected", () => void heard++);
    events.emit("peerConnected", connected);
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toBe(1);
    expect(logger.at("error")).toMatchObject([
      { fields: { event: "peerConnected", error: { message: "thrown" } } },
      { fields: { event: "peerConnected", error: { message: "rejected" } } },
    ]);
  });

  it("does not call a `once` listener again for an event that it sets off itself", () => {
    const { events } = bus();
    let heard = 0;
    events.once("peerConnected", () => {
      heard++;
      events.emit("peerConnected", connected);
    });
    events.emit("peerConnected", connected);
    expect(heard).toBe(1);
  });

  it("mirrors the main events to diagnostics channels, with the kernel that speaks, and the frequent ones not", () => {
    const { events } = bus("phone");
    const messages: unknown[] = [];
    const listener = (message: unknown) => messages.push(message);
    for (const name of ["peerConnected", "leaseAcquired"]) subscribe(`tidemark:${name}`, listener);
    try {
      expect([events.hasListeners("peerConnected"), events.hasListeners("leaseAcquired")]).toEqual([true, false]);
      events.emit("peerConnected", connected);
      events.emit("leaseAcquired", { kind: "reader", holder: "x", waitMs: 0 });
    } finally {
      for (const name of ["peerConnected", "leaseAcquired"]) unsubscribe(`tidemark:${name}`, listener);
    }
    expect(messages).toEqual([{ kernel: { library: "library", device: "phone" }, event: connected }]);
  });
});
