import type { Subscription } from "./disposable.js";

/**
 * Names a service and carries its type. Two tokens with the same id are the same token, also across copies of a
 * package, because the key is `Symbol.for(id)`.
 */
export interface ServiceToken<T> {
  readonly id: string;
  readonly key: symbol;
  /** Carries the type only; never present at run time. */
  readonly _service?: (service: T) => T;
}

/**
 * Makes a token for a service.
 *
 * @example
 * interface ReferenceResolver { localKeysFor(model: string, identities: readonly string[]): Map<string, number> }
 * export const referenceResolver = createServiceToken<ReferenceResolver>("fk-batching.resolver");
 */
export function createServiceToken<T>(id: string): ServiceToken<T> {
  return Object.freeze({ id, key: Symbol.for(`tidemark.service.${id}`) });
}

/** Services between plugins, and those that the kernel offers to them. */
export interface Services {
  /**
   * Offers `service` under `token` until the plugin stops. The token's id must stand in the manifest's `provides`.
   * Throws when somebody provides it already.
   */
  provide<T>(token: ServiceToken<T>, service: T): Subscription;
  /** The service; throws `TIDEMARK_SERVICE_MISSING`, naming the plugin that would provide it, when nobody does. */
  get<T>(token: ServiceToken<T>): T;
  /** The service, or `undefined` when nobody provides it. For optional dependencies. */
  find<T>(token: ServiceToken<T>): T | undefined;
}
