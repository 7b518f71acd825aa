// Wires the kernel's own parts: the one place where the container is filled. Each kernel has a container of its own, so
// that several live in one process without meeting.

import type { AnyPlugin, Clock, Logger, Meter, Random } from "@tidemark/plugin-api";
import { EventBus, type KernelIdentity } from "./event-bus.js";
import { HookRunner } from "./hook-runner.js";
import { createContainer, kernelTokens, type PartClass, singleton } from "./injection.js";
import { PluginHost } from "./plugin-host.js";
import { ServiceContainer } from "./service-container.js";
import { TransportCollection } from "./transport-collection.js";

/** What the parts are built on. */
interface KernelFoundation {
  readonly identity: KernelIdentity;
  /** Checked by `checkPlugins`. */
  readonly plugins: readonly AnyPlugin[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly meter: Meter;
}

export interface KernelParts {
  readonly events: EventBus;
  readonly hooks: HookRunner;
  readonly services: ServiceContainer;
  readonly transports: TransportCollection;
  readonly host: PluginHost;
}

export function createKernelParts({ identity, plugins, clock, random, logger, meter }: KernelFoundation): KernelParts {
  const container = createContainer();
  const values = { container, identity, plugins, clock, random, logger, meter };
  for (const [name, value] of Object.entries(values)) {
    container.register(kernelTokens[name as keyof typeof values], { useValue: value });
  }
  const part = <Part>(token: symbol, type: PartClass<Part>): Part => singleton(container, token, type);
  return {
    events: part(kernelTokens.events, EventBus),
    hooks: part(kernelTokens.hooks, HookRunner),
    services: part(kernelTokens.services, ServiceContainer),
    transports: part(kernelTokens.transports, TransportCollection),
    host: part(kernelTokens.host, PluginHost),
  };
}
