// Services by token, in a container of this kernel's own. It says who would provide what is missing; the order in which
// services end is its own, because the container's has no guard.

import type { Services, ServiceToken, Subscription } from "@tidemark/plugin-api";
import { subscription } from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";
import { type DependencyContainer, inject, injectable, kernelTokens } from "./injection.js";

/** Explains why nobody provides the service with this id, and what to do. */
type ExplainMissing = (serviceId: string) => { readonly why: string; readonly advice: string };

interface Provided {
  readonly service: unknown;
  readonly by: string;
  readonly id: string;
}

@injectable()
export class ServiceContainer implements Pick<Services, "get" | "find"> {
  readonly #container: DependencyContainer;
  readonly #provided = new Map<symbol, Provided>();
  /** Keys that the container knows; it can't forget one. */
  readonly #registered = new Set<symbol>();
  #explainMissing: ExplainMissing = () => ({ why: "no plugin is installed that provides it", advice: "Install one" });

  constructor(@inject(kernelTokens.container) container: DependencyContainer) {
    this.#container = container;
  }

  /** Sets who is asked about a service that is missing: the plugin host, which knows all manifests. */
  explainMissingBy(explain: ExplainMissing): void {
    this.#explainMissing = explain;
  }

  /**
   * Offers a service until the subscription is disposed of. `by` says whose it is: a plugin's id, or `kernel`. Throws
   * `TIDEMARK_SERVICE_DOUBLED` when somebody provides it already.
   */
  provide<T>({
    token,
    service,
    by,
  }: {
    readonly token: ServiceToken<T>;
    readonly service: T;
    readonly by: string;
  }): Subscription {
    const { key, id } = token;
    const first = this.#provided.get(key);
    if (first !== undefined) {
      throw kernelErrors.doubledService({ service: id, by: describe(by), first: describe(first.by) });
    }
    const provided: Provided = { service, by, id };
    this.#provided.set(key, provided);
    if (!this.#registered.has(key)) {
      this.#registered.add(key);
      this.#container.register(key, { useFactory: () => this.#provided.get(key)?.service });
    }
    return subscription(() => {
      if (this.#provided.get(key) === provided) this.#provided.delete(key);
    });
  }

  get<T>(token: ServiceToken<T>): T {
    if (!this.#provided.has(token.key)) {
      throw kernelErrors.missingService({ service: token.id, ...this.#explainMissing(token.id) });
    }
    return this.#container.resolve<T>(token.key);
  }

  find<T>(token: ServiceToken<T>): T | undefined {
    return this.#provided.has(token.key) ? this.#container.resolve<T>(token.key) : undefined;
  }

  /** The ids of the services that `by` provides now, in the order of their provision. */
  providedBy(by: string): readonly string[] {
    return [...this.#provided.values()].filter((provided) => provided.by === by).map(({ id }) => id);
  }
}

function describe(by: string): string {
  return by === "kernel" ? "the kernel" : `the plugin "${by}"`;
}
