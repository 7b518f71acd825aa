// What both sides of a crash test have in common: the library, the kernel of a device, and what the two processes say to
// each other.

import {
  type AnyPlugin,
  API_VERSION,
  definePlugin,
  logMaintenance,
  type Transport,
  transports,
} from "@tidemark/plugin-api";
import { systemClock } from "../../kernel/system-clock.js";
import type { Chance } from "../simulator/chance.js";
import { declarationsOf, entitiesOf } from "../simulator/library-model.js";
import { createTestKernel, type TestKernel } from "../test-kernel.js";
import type { ChannelMessage } from "./process-transport.js";

/** What the process is to do. */
export interface CrashTask {
  readonly database: string;
  readonly seed: number;
  /** Whether the application writes, and how often in a row before it lets others have their turn. */
  readonly writes: boolean;
  readonly prunes: boolean;
  /** The last change that this device's application has made and reported. */
  readonly counter: number;
}

/** What the process tells. */
export type CrashReport =
  | { readonly kind: "loaded" }
  | { readonly kind: "running" }
  /** This change and all before it are committed. */
  | { readonly kind: "committed"; readonly counter: number }
  | { readonly kind: "failed"; readonly reason: string };

export type ToDevice =
  | { readonly kind: "go"; readonly task: CrashTask }
  | { readonly kind: "rest" }
  | { readonly kind: "channel"; readonly message: ChannelMessage };

export type FromDevice = CrashReport | { readonly kind: "channel"; readonly message: ChannelMessage };

/** What the library and the two devices of all crash tests are called. */
export const CRASH_LIBRARY = "crash-tests";
export const SURVIVOR = "a";
export const VICTIM = "b";

/** A kernel as crash tests use it, on either side. */
export async function crashKernel(options: {
  readonly device: string;
  readonly database: string;
  readonly transport: Transport;
  readonly random: Chance;
}): Promise<TestKernel> {
  const { device, database, transport, random } = options;
  const plugin: AnyPlugin = definePlugin({
    manifest: { id: "process-transport", version: "1.0.0", apiVersion: API_VERSION },
    activate({ services, subscriptions }) {
      subscriptions.push(services.get(transports).register(transport));
    },
  });
  return await createTestKernel({
    device,
    database,
    entities: [...entitiesOf(1)],
    declarations: declarationsOf(1),
    role: device === SURVIVOR ? "found" : "join",
    library: { id: CRASH_LIBRARY },
    plugins: [plugin],
    clock: systemClock,
    random,
    synchronize: false,
    settings: { replication: { pageRecords: 40, retryDelayMs: 50, heartbeatMs: 200, requestTimeoutMs: 5_000 } },
  });
}

/** What a pruning plugin does. */
export async function prune({ tidemark }: TestKernel): Promise<void> {
  const maintenance = tidemark.services.get(logMaintenance);
  await maintenance.acknowledge();
  await maintenance.prune();
}
