import type { Bench } from "../bench.js";
import { type DatasetOptions, FIRST_DEVICE } from "../library/dataset.js";
import type { Child } from "../processes/child.js";
import type { DeviceCommands, StartInput } from "../processes/device-commands.js";
import { emptyPlace, seededDatabase } from "./databases.js";

/** Two devices of a library, each in a process of its own: the first has it, the second is to join. */
const SECOND_DEVICE = "00000000-0000-4000-8000-00000000000b";

export class Pair {
  readonly server: Child<DeviceCommands>;
  readonly receiver: Child<DeviceCommands>;
  readonly #url: string;

  private constructor(server: Child<DeviceCommands>, receiver: Child<DeviceCommands>, url: string) {
    this.server = server;
    this.receiver = receiver;
    this.#url = url;
  }

  /** The server runs, and listens; the receiver's application has its database open, and it is empty. */
  static async open(bench: Bench, dataset: DatasetOptions, options: Pick<StartInput, "keepLog"> = {}): Promise<Pair> {
    const server = bench.device("server");
    const receiver = bench.device("receiver");
    await server.ask("open", { file: await seededDatabase(bench, dataset) });
    await receiver.ask("open", { file: await emptyPlace(bench) });
    const { url } = await server.ask("start", {
      deviceId: FIRST_DEVICE,
      role: "found",
      listen: true,
      peers: [],
      ...options,
    });
    return new Pair(server, receiver, url!);
  }

  /** Starts the receiver; resolves with the time that it took to be ready. */
  async join(options: Pick<StartInput, "without"> = {}): Promise<number> {
    await this.server.ask("figures", null);
    await this.receiver.ask("start", {
      deviceId: SECOND_DEVICE,
      role: "join",
      listen: false,
      peers: [this.#url],
      ...options,
    });
    return (await this.receiver.ask("ready", null)).afterMs;
  }

  /** Acknowledges and prunes, until the log of both is empty. */
  async settle(): Promise<readonly { readonly fileBytes: number }[]> {
    // One after the other: the receiver has nothing to forget before it has heard of what the server did last.
    return [await this.server.ask("settle", null), await this.receiver.ask("settle", null)];
  }

  /** Fails where the tables of the two are not equal. */
  async compare(): Promise<void> {
    const [server, receiver] = await Promise.all([this.server.ask("digest", null), this.receiver.ask("digest", null)]);
    if (JSON.stringify(server) !== JSON.stringify(receiver)) {
      throw new Error(`the devices differ: ${JSON.stringify({ server, receiver })}`);
    }
  }

  async end(): Promise<void> {
    for (const device of [this.receiver, this.server]) {
      await device.ask("stop", null);
      await device.end();
    }
  }
}

/** A device that runs and is connected to nobody. */
export async function aloneDevice(bench: Bench): Promise<Child<DeviceCommands>> {
  const device = bench.device("alone");
  await device.ask("open", { file: await emptyPlace(bench) });
  await device.ask("start", { deviceId: SECOND_DEVICE, role: "join", listen: false, peers: [] });
  return device;
}
