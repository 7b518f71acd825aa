import { join } from "node:path";
import type { ModelDigest } from "@tidemark/core";
import { firstNotes, laptopAlone, phoneAlone } from "./changes.js";
import { type Contents, contentsOf } from "./contents.js";
import { type NotesApp, openNotesApp } from "./notes-app.js";
import { workOfPlugins } from "./plugin-work.js";
import type { NotesDevice } from "./tidemark.config.js";
import { until } from "./until.js";

/** The example from beginning to end: two devices of one library, connected over WebSocket on this machine. */

/** What came of it. */
export interface Outcome {
  /** By model, what Tidemark says of it on each device. */
  readonly models: readonly { readonly name: string; readonly laptop: ModelDigest; readonly phone: ModelDigest }[];
  /** What each device holds, read without Tidemark. */
  readonly laptop: Contents;
  readonly phone: Contents;
  /** What the plugins did, in words; nothing of those that are turned off. */
  readonly plugins: readonly string[];
}

export interface TwoDevicesOptions {
  /** Where the two databases are made. */
  readonly directory: string;
  readonly secret: string;
  readonly overlayFile?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Told what happens, a sentence at a time. */
  readonly tell: (sentence: string) => void;
  /** Ends the waiting, and with it the whole. */
  readonly signal: AbortSignal;
}

export async function runTwoDevices({ directory, tell, signal, env, ...shared }: TwoDevicesOptions): Promise<Outcome> {
  const running: NotesApp[] = [];
  const start = async (device: Omit<NotesDevice, "secret" | "overlayFile">): Promise<NotesApp> => {
    const app = await openNotesApp({
      device: { ...device, ...shared },
      databaseFile: join(directory, `${device.id}.sqlite`),
      ...(env !== undefined && { env }),
    });
    running.push(app);
    return app;
  };
  try {
    const laptop = await start({ id: "laptop", name: "Laptop", role: "found", listenPort: 0 });
    await firstNotes(laptop.dataSource);
    if (laptop.address === null)
      throw new Error("The plugin websocket is turned off, and nothing else connects devices");
    tell(`The laptop founds the library, writes three notes, and listens at ${laptop.address}.`);

    const phone = await start({ id: "phone", name: "Phone", role: "join", peers: [laptop.address] });
    const devices = [laptop, phone];
    const holdTheSame = async () => {
      const digests = await digestsOf(laptop, phone);
      return digests.every((model) => model.laptop.digest === model.phone.digest);
    };
    await until({ what: "the phone has everything", holds: holdTheSame, devices, signal });
    tell("The phone joins, and receives them.");

    await phone.tidemark.pause();
    await laptopAlone(laptop.dataSource, "laptop");
    await until({
      // What is stamped later is later, and that is when Tidemark notices it.
      what: "the laptop has noticed its changes",
      holds: async () => (await laptop.tidemark.status()).outbox === 0,
      devices,
      signal,
    });
    await phoneAlone(phone.dataSource, "phone");
    tell("The phone goes offline. Both go on, also with the same notes.");

    await phone.tidemark.resume();
    await until({ what: "both hold the same again", holds: holdTheSame, devices, signal });
    tell("The phone comes back, and they tell each other.");

    return {
      models: await digestsOf(laptop, phone),
      laptop: await contentsOf(laptop.dataSource),
      phone: await contentsOf(phone.dataSource),
      plugins: await workOfPlugins({ laptop, phone, signal }),
    };
  } finally {
    for (const app of running.reverse()) await app.close();
  }
}

async function digestsOf(laptop: NotesApp, phone: NotesApp): Promise<Outcome["models"]> {
  const models: Outcome["models"][number][] = [];
  for (const name of laptop.models) {
    models.push({ name, laptop: await laptop.tidemark.digest(name), phone: await phone.tidemark.digest(name) });
  }
  return models;
}
