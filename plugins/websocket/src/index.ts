import { API_VERSION, definePlugin, transports } from "@tidemark/plugin-api";
import { websocketAddress } from "./address.js";
import { websocketSettings } from "./settings.js";
import { WebsocketTransport } from "./websocket-transport.js";

export { type WebsocketAddress, websocketAddress } from "./address.js";
export type { WebsocketSettings } from "./settings.js";

/**
 * Reaches peers over WebSockets: listens, dials, and dials again. Provides {@link websocketAddress}.
 *
 * @example
 * import websocket from "@tidemark/plugin-websocket";
 *
 * const settings = defineConfig({
 *   plugins: { websocket: { settings: { listen: { port: 4711 }, peers: ["ws://192.168.1.20:4711"] } } },
 * });
 */
export const websocket = definePlugin({
  manifest: {
    id: "websocket",
    version: "0.1.0",
    apiVersion: API_VERSION,
    provides: [websocketAddress.id],
    configuration: websocketSettings,
  },
  activate({ config, services, subscriptions, clock, random, logger }) {
    const transport = new WebsocketTransport({ settings: config, clock, random, logger });
    services.provide(websocketAddress, { url: () => transport.url });
    subscriptions.push(services.get(transports).register(transport));
  },
});

export default websocket;
