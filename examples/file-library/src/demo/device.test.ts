import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noopLogger } from "@tidemark/plugin-api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Device } from "./device.js";
import type { DeviceMessage } from "./messages.js";
import { systemClock } from "./system-clock.js";

describe("a device", () => {
  let work: string;
  let onMessage: (message: DeviceMessage) => void;
  let device: Device;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), "file-library-device-"));
    onMessage = () => undefined;
    device = new Device({
      clock: systemClock,
      random: { next: () => 0.5, bytes: (length) => Buffer.alloc(length, 1) },
      logger: noopLogger,
      send: (message) => onMessage(message),
    });
    await device.handle({
      kind: "open",
      setup: {
        name: "A",
        deviceId: "0b7a1f0e-9f6f-4c7b-8d7e-5a1f5f0c0001",
        databaseFile: join(work, "a.sqlite"),
        libraryId: "library",
        secret: "sixteen characters or more",
        role: "found",
        listenPort: null,
        peers: [],
        online: true,
        without: [],
      },
    });
  });

  afterEach(async () => {
    await device.close();
    await rm(work, { recursive: true, force: true });
  });

  it("breaks off what it is doing when it is closed", async () => {
    const root = join(work, "tree");
    await mkdir(root);
    await writeFile(join(root, "huge"), "");
    // Takes no room and hours to read.
    await truncate(join(root, "huge"), 2 ** 42);
    const begun = new Promise<void>((resolve) => {
      onMessage = ({ kind }) => {
        if (kind === "progress") resolve();
      };
    });
    const index = device.handle({ kind: "index", root, label: "tree", skip: [], maxFiles: null });
    const outcome = index.catch((error: unknown) => error);
    await begun;
    expect(await device.handle({ kind: "close" })).toBeNull();
    expect(await outcome).toMatchObject({ message: "the device is closing" });
  });
});
