// The transports that plugins bring, until the engine is given them.

import { type Subscription, subscription, type Transport } from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";

export class TransportCollection {
  readonly #transports = new Map<Transport, string>();
  #closed = false;

  /** Throws `TIDEMARK_TRANSPORT_DOUBLED` for a name that is taken, `TIDEMARK_TRANSPORT_TOO_LATE` after {@link close}. */
  register({ transport, by }: { readonly transport: Transport; readonly by: string }): Subscription {
    const { name } = transport;
    if (this.#closed) throw kernelErrors.transportsClosed({ name, by });
    for (const [other, first] of this.#transports) {
      if (other.name === name) throw kernelErrors.doubledTransport({ name, by, first });
    }
    this.#transports.set(transport, by);
    return subscription(() => this.#transports.delete(transport));
  }

  /** Ends registration and returns what was registered, in order. */
  close(): readonly Transport[] {
    this.#closed = true;
    return this.list();
  }

  list(): readonly Transport[] {
    return [...this.#transports.keys()];
  }
}
