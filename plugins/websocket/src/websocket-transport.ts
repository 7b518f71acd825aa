// The transport as the kernel sees it: listens, dials, and hands over what comes of both.

import type { Socket } from "node:net";
import type { Clock, CloseOutcome, Logger, Random, Transport, TransportHost } from "@tidemark/plugin-api";
import type { WebSocket } from "ws";
import { Dialler } from "./dialler.js";
import { Listener, type ListenerDeps } from "./listener.js";
import { isLoopback, parsePeerUrl, socketUrl } from "./peer-url.js";
import type { ResolvedWebsocketSettings } from "./settings.js";
import { WebsocketConnection } from "./websocket-connection.js";

export interface WebsocketTransportDeps {
  readonly settings: ResolvedWebsocketSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What exists between a start and a stop. */
interface Running {
  readonly listener: Listener | undefined;
  readonly diallers: readonly Dialler[];
  readonly connections: Set<WebsocketConnection>;
  /** Those of open connections and of attempts to dial. */
  readonly sockets: Set<WebSocket>;
}

export class WebsocketTransport implements Transport {
  readonly name = "websocket";
  readonly #deps: WebsocketTransportDeps;
  readonly #peers: readonly URL[];
  #running: Running | undefined;
  /** The port that was got last for 0: peers that know it find this device there after a pause. */
  #freePort = 0;
  /** Starts and stops run one after the other, in the order of the calls. */
  #turn: Promise<void> = Promise.resolve();

  /** Throws `TIDEMARK_WEBSOCKET_BAD_URL` when a peer's address is none. */
  constructor(deps: WebsocketTransportDeps) {
    this.#deps = deps;
    // A peer that is named twice is one peer.
    const urls = deps.settings.peers.map((peer) => parsePeerUrl(peer));
    this.#peers = [...new Map(urls.map((url) => [url.href, url])).values()];
  }

  /** Where this transport listens, with the port that it got; null while it does not. */
  get url(): string | null {
    const bound = this.#running?.listener?.address;
    if (bound === undefined) return null;
    return socketUrl({ host: bound.address, port: bound.port, path: this.#deps.settings.listen?.path ?? "/" });
  }

  start(host: TransportHost): Promise<void> {
    return this.#inTurn(() => this.#start(host));
  }

  stop(): Promise<void> {
    return this.#inTurn(() => this.#stop());
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(step);
    // The caller gets the failure; the next step does not depend on it.
    this.#turn = done.catch(() => {});
    return done;
  }

  async #start(host: TransportHost): Promise<void> {
    if (this.#running !== undefined) return;
    const { settings, clock, random, logger } = this.#deps;
    const connections = new Set<WebsocketConnection>();
    const sockets = new Set<WebSocket>();

    const track = (ws: WebSocket) => {
      sockets.add(ws);
      ws.once("close", () => sockets.delete(ws));
    };
    const connect = (opened: {
      readonly ws: WebSocket;
      readonly socket: Socket;
      readonly address: string;
      readonly dialled: boolean;
      readonly onEnd?: (redial: CloseOutcome["redial"] | undefined) => void;
    }) => {
      const connection = new WebsocketConnection({
        ...opened,
        clock,
        pingIntervalMs: settings.pingIntervalMs,
        maxBufferedBytes: settings.maxBufferedBytes,
        onEnd: (redial) => {
          connections.delete(connection);
          opened.onEnd?.(redial);
        },
      });
      connections.add(connection);
      connection.offerTo(host);
    };

    let listener: Listener | undefined;
    if (settings.listen !== undefined) {
      const { listen } = settings;
      const listenAt = (port: number): ListenerDeps => ({
        ...listen,
        port,
        clock,
        logger,
        maxFrameBytes: host.maxFrameBytes,
        maxConnections: settings.maxConnections,
        handshakeTimeoutMs: settings.handshakeTimeoutMs,
        onOpen: (opened) => {
          track(opened.ws);
          connect({ ...opened, dialled: false });
        },
      });
      listener = await started(listenAt, listen.port, this.#freePort);
      if (listen.port === 0) this.#freePort = listener.address!.port;
    }
    const diallers = this.#peers.map(
      (url) =>
        new Dialler({
          url,
          clock,
          random,
          logger,
          maxFrameBytes: host.maxFrameBytes,
          reconnect: settings.reconnect,
          handshakeTimeoutMs: settings.handshakeTimeoutMs,
          onSocket: track,
          onOpen: (opened) => connect({ ...opened, dialled: true }),
        }),
    );
    this.#running = { listener, diallers, connections, sockets };
    this.#announce();
    for (const dialler of diallers) dialler.dial();
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    for (const dialler of running.diallers) dialler.stop();
    const listenerStopped = running.listener?.stop();
    for (const connection of running.connections) connection.shutDown();
    await Promise.all([...running.sockets].map((ws) => new Promise((resolve) => ws.once("close", resolve))));
    await listenerStopped;
  }

  #announce(): void {
    const { logger } = this.#deps;
    const bound = this.#running?.listener?.address;
    if (bound === undefined) return;
    logger.info("listening", { url: this.url });
    if (isLoopback(bound.address)) return;
    logger.warn("listening beyond this machine, and the traffic is not encrypted; put TLS (wss://) in front", {
      url: this.url,
    });
  }
}

/** Listens at the port of the settings; for 0 at the one it had before, unless somebody else has taken it meanwhile. */
async function started(listenAt: (port: number) => ListenerDeps, port: number, before: number): Promise<Listener> {
  if (port === 0 && before !== 0) {
    const again = new Listener(listenAt(before));
    const taken = await again.start().then(
      () => false,
      () => true,
    );
    if (!taken) return again;
  }
  const listener = new Listener(listenAt(port));
  await listener.start();
  return listener;
}
