import { createServiceToken } from "@tidemark/plugin-api";

/** Tells an application where the transport listens. */
export interface WebsocketAddress {
  /** The address with the port that it got, e.g. `ws://127.0.0.1:43117`; null while nothing listens. */
  url(): string | null;
}

/**
 * The service that tells the address, which is how one learns the port when the settings say 0.
 *
 * @example
 * const url = context.services.get(websocketAddress).url();
 */
export const websocketAddress = createServiceToken<WebsocketAddress>("websocket.address");
