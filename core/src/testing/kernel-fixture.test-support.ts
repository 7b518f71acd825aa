// The parts of a kernel on a clock that stands still, and plugins in one line: for the kernel's own tests.

import {
  type AnyPlugin,
  API_VERSION,
  type KernelEvents,
  noopMeter,
  type PluginContext,
  type PluginManifest,
} from "@tidemark/plugin-api";
import { createKernelParts, type KernelParts } from "../kernel/kernel-parts.js";
import type { ResolvedPlugin } from "../kernel/resolved-settings.js";
import { ManualClock } from "./manual-clock.js";
import { RecordingLogger } from "./recording-logger.js";
import { SeededRandom } from "./seeded-random.js";

/** A plugin of which only what matters is said. */
export function pluginOf(
  manifest: Partial<PluginManifest> & { readonly id: string },
  activate: (context: PluginContext) => void | Promise<void> = () => {},
): AnyPlugin {
  return {
    $$type: "tidemark.plugin",
    manifest: { version: "1.0.0", apiVersion: API_VERSION, ...manifest },
    activate,
  };
}

/** How a plugin is set that nobody mentions, but for what is said here. */
export function settingOf(id: string, said: Partial<ResolvedPlugin> = {}): ResolvedPlugin {
  return { id, enabled: true, enabledBy: "default", onActivationFailure: "abort", settings: undefined, ...said };
}

export interface KernelFixture extends KernelParts {
  readonly clock: ManualClock;
  readonly logger: RecordingLogger;
  /** Activates all plugins, with these settings for some of them. */
  activate(said?: Readonly<Record<string, Partial<ResolvedPlugin>>>): Promise<void>;
  /** Keeps the events of one name, from now on. */
  record<Name extends keyof KernelEvents>(name: Name): readonly KernelEvents[Name][];
}

export function kernelFixture(...plugins: readonly AnyPlugin[]): KernelFixture {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const parts = createKernelParts({
    identity: { library: "library", device: "device" },
    plugins,
    clock,
    random: new SeededRandom(1),
    logger,
    meter: noopMeter,
  });
  return {
    ...parts,
    clock,
    logger,
    activate(said = {}) {
      const ids = new Set([...Object.keys(said), ...plugins.map(({ manifest }) => manifest.id)]);
      return parts.host.activate(new Map([...ids].map((id) => [id, settingOf(id, said[id])])));
    },
    record(name) {
      const events: KernelEvents[typeof name][] = [];
      parts.events.on(name, (event) => events.push(event));
      return events;
    },
  };
}
