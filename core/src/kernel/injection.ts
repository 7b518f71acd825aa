// The only door to tsyringe. It loads the polyfill that tsyringe insists on first; every constructor parameter is named
// with `@inject`, so that no emitted type metadata is needed and every compiler behaves alike.

import "reflect-metadata";

import { type DependencyContainer, inject, injectable, Lifecycle, container as root } from "tsyringe";

export type { DependencyContainer };
export { inject, injectable };

/** A container of one kernel's own. The global one is its empty parent and stays so. */
export function createContainer(): DependencyContainer {
  return root.createChildContainer();
}

/** A class whose constructor's parameters all carry `@inject`. */
export type PartClass<Part> = new (...dependencies: never[]) => Part;

/** Registers `type` under `token`, to be made once in this container from what is registered before it, and makes it. */
export function singleton<Part>(container: DependencyContainer, token: symbol, type: PartClass<Part>): Part {
  container.register<Part>(
    token,
    { useClass: type as new (...dependencies: unknown[]) => Part },
    {
      lifecycle: Lifecycle.ContainerScoped,
    },
  );
  return container.resolve<Part>(token);
}

/**
 * The kernel's own parts. Plain symbols, not `Symbol.for`: a plugin's service tokens can never meet them.
 */
export const kernelTokens = {
  container: Symbol("tidemark.container"),
  clock: Symbol("tidemark.clock"),
  random: Symbol("tidemark.random"),
  logger: Symbol("tidemark.logger"),
  meter: Symbol("tidemark.meter"),
  identity: Symbol("tidemark.identity"),
  plugins: Symbol("tidemark.plugins"),
  events: Symbol("tidemark.events"),
  hooks: Symbol("tidemark.hooks"),
  services: Symbol("tidemark.services"),
  transports: Symbol("tidemark.transports"),
  host: Symbol("tidemark.host"),
} as const;
