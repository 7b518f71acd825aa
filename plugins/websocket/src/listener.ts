// Accepts connections, and survives whoever connects: until a socket has become a WebSocket it is given little time,
// little memory and no trust.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock, Logger, Subscription } from "@tidemark/plugin-api";
import { type WebSocket, WebSocketServer } from "ws";
import { listenError } from "./errors.js";
import { socketUrl } from "./peer-url.js";
import { SOCKET_OPTIONS } from "./socket-options.js";

export interface ListenerDeps {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxFrameBytes: number;
  readonly maxConnections: number;
  readonly handshakeTimeoutMs: number;
  readonly onOpen: (opened: { readonly ws: WebSocket; readonly socket: Socket; readonly address: string }) => void;
}

export class Listener {
  readonly #deps: ListenerDeps;
  readonly #http: Server;
  readonly #upgrader: WebSocketServer;
  /** Sockets that are not WebSockets yet, each with the timer that ends it. */
  readonly #handshaking = new Map<Socket, Subscription>();
  #connections = 0;
  #address: AddressInfo | undefined;

  constructor(deps: ListenerDeps) {
    this.#deps = deps;
    // Our own timer, on the injected clock, stands for the time-outs of node:http.
    this.#http = createServer({ headersTimeout: 0, requestTimeout: 0 });
    this.#upgrader = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      ...SOCKET_OPTIONS,
      maxPayload: deps.maxFrameBytes,
    });
    this.#http.on("connection", (socket) => this.#connected(socket));
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    this.#http.on("request", (_, response) => {
      response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" });
      response.end("This is a WebSocket endpoint.\n");
    });
    this.#http.on("clientError", (_, socket) => refuse(socket, "400 Bad Request"));
  }

  /** The address that is listened at, once it is. */
  get address(): AddressInfo | undefined {
    return this.#address;
  }

  /** Rejects with a typed error when the address can't be had. */
  async start(): Promise<void> {
    const { host, port, logger } = this.#deps;
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: Error) => reject(listenError({ host, port, cause }));
      this.#http.once("error", failed);
      this.#http.listen({ host, port }, () => {
        this.#http.off("error", failed);
        resolve();
      });
    });
    this.#http.on("error", (error) => logger.error("the listening socket failed", { reason: error.message }));
    this.#address = this.#http.address() as AddressInfo;
  }

  /** Accepts no more; resolves when all sockets are gone, those of open connections included. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    for (const socket of this.#handshaking.keys()) socket.destroy();
    await closed;
  }

  #connected(socket: Socket): void {
    const { clock, logger, maxConnections, handshakeTimeoutMs } = this.#deps;
    if (this.#handshaking.size >= maxConnections) {
      logger.debug("refused a socket: too many are shaking hands", { maxConnections });
      socket.destroy();
      return;
    }
    this.#handshaking.set(
      socket,
      clock.setTimeout(() => {
        logger.debug("closed a socket that did not become a WebSocket in time", { handshakeTimeoutMs });
        socket.destroy();
      }, handshakeTimeoutMs),
    );
    socket.once("close", () => this.#handshakeOver(socket));
  }

  #handshakeOver(socket: Socket): void {
    this.#handshaking.get(socket)?.dispose();
    this.#handshaking.delete(socket);
  }

  /** The status with which an upgrade is refused, if it is. */
  #refusal({ headers, url }: IncomingMessage): string | undefined {
    const { path, logger, maxConnections } = this.#deps;
    // Peers send no origin; a browser does, and no web page has any business here.
    if (headers.origin !== undefined) return "403 Forbidden";
    if (url?.split("?", 1)[0] !== path) return "404 Not Found";
    if (this.#connections < maxConnections) return undefined;
    logger.warn("refused a connection: too many are open", { maxConnections });
    return "503 Service Unavailable";
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const refusal = this.#refusal(request);
    if (refusal !== undefined) {
      refuse(socket, refusal);
      return;
    }
    this.#upgrader.handleUpgrade(request, socket, head, (ws) => {
      this.#handshakeOver(socket);
      this.#connections++;
      socket.once("close", () => this.#connections--);
      const address = socketUrl({ host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 });
      this.#deps.onOpen({ ws, socket, address });
    });
  }
}

/** Answers and hangs up. A client that keeps its side open runs into the handshake time-out. */
function refuse(socket: Duplex, status: string): void {
  // What a refused client does to its socket is nobody's concern.
  socket.on("error", () => {});
  if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  else socket.destroy();
}
