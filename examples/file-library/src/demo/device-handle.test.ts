import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeviceHandle } from "./device-handle.js";
import type { DeviceMessage } from "./messages.js";
import { systemClock } from "./system-clock.js";

const ROUND = { root: "/", seed: "s", round: "r", fileChanges: 1, recordChanges: 1 };
const INDEX = { root: "/", label: "l", skip: [], maxFiles: null };

describe("a device's process, seen from the demo", () => {
  let work: string;
  let device: DeviceHandle;
  let messages: DeviceMessage[];
  let kills: number;
  let restarts: number;
  let onMessage: (message: DeviceMessage) => void;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), "file-library-handle-"));
    messages = [];
    kills = 0;
    restarts = 0;
    onMessage = () => undefined;
    device = new DeviceHandle({
      setup: {
        name: "A",
        deviceId: "d",
        databaseFile: join(work, "memory.json"),
        libraryId: "l",
        secret: "s",
        role: "found",
        listenPort: 0,
        peers: [],
        online: true,
        without: [],
      },
      script: fileURLToPath(new URL("./fake-device.test-support.mjs", import.meta.url)),
      clock: systemClock,
      onMessage: (message) => {
        messages.push(message);
        onMessage(message);
      },
      onKilled: () => kills++,
      onRestarted: () => restarts++,
    });
  });

  afterEach(async () => {
    await device.close({ graceMs: 10_000 });
    await rm(work, { recursive: true, force: true });
  });

  async function memory(): Promise<{
    opens: { listenPort: number; online: boolean; peers: string[] }[];
    calls: string[];
  }> {
    return JSON.parse(await readFile(join(work, "memory.json"), "utf8"));
  }

  it("starts with the first command and hands over results", async () => {
    expect(await device.request("status", {})).toMatchObject({ idle: true, readyPeers: 1 });
    expect(device.url).toBe("ws://127.0.0.1:4711");
  });

  it("starts a killed process again at the same address, and repeats the command that was under way", async () => {
    onMessage = (message) => {
      if (message.kind === "notice") expect(device.kill()).toBe(true);
    };
    await device.open();
    device.setPeers(["ws://127.0.0.1:1"]);
    expect(await device.request("scratch", { root: "/", seed: "s", files: 1 })).toBeNull();
    const { opens, calls } = await memory();
    expect(opens).toEqual([
      { listenPort: 0, online: true, peers: [] },
      { listenPort: 4711, online: true, peers: ["ws://127.0.0.1:1"] },
    ]);
    expect(calls).toEqual(["scratch", "scratch"]);
    expect([kills, restarts]).toEqual([1, 1]);
  });

  it("opens the successor offline when the device was offline", async () => {
    await device.request("offline", {});
    device.kill();
    await device.request("status", {});
    expect((await memory()).opens.map(({ online }) => online)).toEqual([true, false]);
  });

  it("says what a failed command failed with", async () => {
    await expect(device.request("round", ROUND)).rejects.toMatchObject({
      code: "FILE_LIBRARY_DEVICE_FAILED",
      why: "it can't be done",
      details: { cause: "TIDEMARK_SOMETHING" },
    });
  });

  it("does not start a process again that ended by itself, and quotes its last words", async () => {
    const ended = { code: "FILE_LIBRARY_DEVICE_ENDED", details: { how: "it ended with code 3" } };
    const error: unknown = await device.request("index", INDEX).catch((reason: unknown) => reason);
    expect(error).toMatchObject(ended);
    expect((error as Error).message).toContain("the disk is on fire");
    await expect(device.request("status", {})).rejects.toMatchObject(ended);
    expect((await memory()).opens).toHaveLength(1);
  });

  it("refuses results that make no sense", async () => {
    await expect(device.request("compare", {})).rejects.toMatchObject({
      code: "FILE_LIBRARY_INVALID_MESSAGE",
      why: "Tag.rows is not a number",
    });
  });

  it("ends the process when it is closed, and asks nothing of it afterwards", async () => {
    await device.open();
    await device.close({ graceMs: 10_000 });
    expect((await memory()).calls).toEqual(["close"]);
    await expect(device.request("status", {})).rejects.toMatchObject({ code: "FILE_LIBRARY_DEVICE_ENDED" });
    expect(device.kill()).toBe(false);
  });

  it("kills a process that does not end in time", async () => {
    await device.open();
    const deaf = new Promise<unknown>((resolve) => {
      onMessage = resolve;
    });
    const unanswered = device.request("online", {}).catch((error: unknown) => error);
    expect(await deaf).toMatchObject({ text: "deaf from now on" });
    await device.close({ graceMs: 50 });
    expect((await memory()).calls).toEqual(["online", "close"]);
    expect(await unanswered).toMatchObject({ code: "FILE_LIBRARY_DEVICE_ENDED" });
  });
});
