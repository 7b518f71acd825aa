import { ManualClock, SeededRandom } from "@tidemark/core/testing";
import {
  isPlugin,
  noopLogger,
  noopMeter,
  type PluginContext,
  type PluginSettings,
  type ServiceToken,
  type Subscription,
  subscription,
  type Transport,
  transports,
} from "@tidemark/plugin-api";
import { describe, expect, expectTypeOf, it } from "vitest";
import byDefault, { type WebsocketSettings, websocket, websocketAddress } from "./index.js";

/** As much of a plugin host as this plugin touches. */
function createContext(settings: WebsocketSettings) {
  const registered = new Set<Transport>();
  const services = new Map<symbol, unknown>([
    [
      transports.key,
      {
        register(transport: Transport) {
          registered.add(transport);
          return subscription(() => registered.delete(transport));
        },
      },
    ],
  ]);
  const subscriptions: Subscription[] = [];
  const unused = <T>() => new Proxy({}, { get: () => expect.unreachable("this plugin has no business there") }) as T;
  const context: PluginContext<Parameters<typeof websocket.activate>[0]["config"]> = {
    id: websocket.manifest.id,
    config: websocket.manifest.configuration!.parse(settings),
    hooks: unused(),
    events: unused(),
    entities: unused(),
    services: {
      provide<T>(token: ServiceToken<T>, service: T) {
        services.set(token.key, service);
        return subscription(() => services.delete(token.key));
      },
      get: <T>(token: ServiceToken<T>) => services.get(token.key) as T,
      find: <T>(token: ServiceToken<T>) => services.get(token.key) as T | undefined,
    },
    logger: noopLogger,
    meter: noopMeter,
    clock: new ManualClock(),
    random: new SeededRandom(1),
    signal: new AbortController().signal,
    subscriptions,
  };
  return { context, registered, subscriptions };
}

describe("the plugin", () => {
  it("is one, by name and by default, and declares the service that it provides", () => {
    expect(isPlugin(websocket)).toBe(true);
    expect(byDefault).toBe(websocket);
    expect(websocket.manifest).toMatchObject({ id: "websocket", provides: [websocketAddress.id] });
  });

  it("registers a transport, opens nothing before that is started, and tells the address afterwards", async () => {
    const { context, registered } = createContext({ listen: {} });
    await websocket.activate(context);
    const [transport] = registered;
    const address = context.services.get(websocketAddress);
    expect(transport?.name).toBe("websocket");
    expect(address.url()).toBeNull();
    await transport?.start({ maxFrameBytes: 1_000, accept() {} });
    expect(address.url()).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    await transport?.stop();
    expect(address.url()).toBeNull();
  });

  it("takes its transport back when its subscriptions are disposed of", async () => {
    const { context, registered, subscriptions } = createContext({});
    await websocket.activate(context);
    for (const item of subscriptions) item.dispose();
    expect(registered.size).toBe(0);
  });

  it("makes its settings known to defineConfig", () => {
    expectTypeOf<PluginSettings["websocket"]>().toEqualTypeOf<WebsocketSettings>();
    expectTypeOf<{ listen: { port: number } }>().toExtend<PluginSettings["websocket"]>();
  });
});
