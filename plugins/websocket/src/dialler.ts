// Keeps one peer dialled: one attempt at a time, then the connection, then the wait for the next attempt.

import type { Socket } from "node:net";
import type { Clock, CloseOutcome, Logger, Random, Subscription } from "@tidemark/plugin-api";
import { WebSocket } from "ws";
import { delayWithinLimits } from "./close-code.js";
import { displayUrl } from "./peer-url.js";
import type { ResolvedWebsocketSettings } from "./settings.js";
import { SOCKET_OPTIONS } from "./socket-options.js";

export interface DiallerDeps {
  readonly url: URL;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly maxFrameBytes: number;
  readonly reconnect: ResolvedWebsocketSettings["reconnect"];
  readonly handshakeTimeoutMs: number;
  /** Every socket, from its first attempt on. */
  readonly onSocket: (ws: WebSocket) => void;
  /** An open connection; `onEnd` is to be called once when it is over. */
  readonly onOpen: (opened: {
    readonly ws: WebSocket;
    readonly socket: Socket;
    readonly address: string;
    readonly onEnd: (redial: CloseOutcome["redial"] | undefined) => void;
  }) => void;
}

export class Dialler {
  readonly #deps: DiallerDeps;
  readonly #address: string;
  readonly #logger: Logger;
  /** Attempts and short connections since the last good one. */
  #failures = 0;
  #timer: Subscription | undefined;
  #connecting: WebSocket | undefined;
  #stopped = false;

  constructor(deps: DiallerDeps) {
    this.#deps = deps;
    this.#address = displayUrl(deps.url);
    this.#logger = deps.logger.child({ peer: this.#address });
  }

  dial(): void {
    const { url, clock, maxFrameBytes, handshakeTimeoutMs } = this.#deps;
    this.#timer = undefined;
    const ws = new WebSocket(url, { ...SOCKET_OPTIONS, maxPayload: maxFrameBytes });
    this.#connecting = ws;
    this.#deps.onSocket(ws);
    let reason = "the peer hung up during the handshake";
    let socket: Socket | undefined;
    const timeout = clock.setTimeout(() => {
      reason = `no answer within ${handshakeTimeoutMs} ms`;
      ws.terminate();
    }, handshakeTimeoutMs);
    const failed = () => {
      timeout.dispose();
      this.#connecting = undefined;
      this.#failed(reason);
    };
    const refused = (error: Error) => {
      if (reason.startsWith("the peer hung up")) reason = error.message;
    };
    ws.once("upgrade", (response) => {
      socket = response.socket;
    });
    ws.on("error", refused);
    ws.once("close", failed);
    ws.once("open", () => {
      timeout.dispose();
      ws.off("close", failed);
      ws.off("error", refused);
      this.#connecting = undefined;
      this.#opened(ws, socket!);
    });
  }

  /** Dials no more and gives up an attempt that is under way; an open connection is the transport's business. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.dispose();
    this.#connecting?.terminate();
  }

  #opened(ws: WebSocket, socket: Socket): void {
    const { clock, reconnect } = this.#deps;
    this.#logger.debug("connected");
    const openedMs = clock.monotonicMs();
    this.#deps.onOpen({
      ws,
      socket,
      address: this.#address,
      onEnd: (redial) => {
        // A peer that accepts and hangs up at once is to be dialled as seldom as one that is not there.
        if (clock.monotonicMs() - openedMs >= reconnect.maxMs) this.#failures = 0;
        if (redial === "never") {
          this.#logger.info("the connection is over, and a kernel said not to dial again");
          return;
        }
        if (redial !== undefined) this.#failures = 0;
        const delayMs = redial?.afterMs ?? this.#nextDelayMs();
        this.#logger.debug("the connection is over; dialling again", { delayMs });
        this.#redialAfter(delayMs);
      },
    });
  }

  #failed(reason: string): void {
    if (this.#stopped) return;
    const delayMs = this.#nextDelayMs();
    // A peer that is away for a day is worth one line, not thousands.
    const level = this.#failures === 1 ? "warn" : "debug";
    this.#logger[level]("can't reach the peer; trying again", { reason, attempt: this.#failures, delayMs });
    this.#redialAfter(delayMs);
  }

  #nextDelayMs(): number {
    const { random, reconnect } = this.#deps;
    const { minMs, maxMs, factor, jitter } = reconnect;
    const delayMs = Math.min(maxMs, minMs * factor ** this.#failures);
    this.#failures++;
    return delayWithinLimits(delayMs * (1 + jitter * (2 * random.next() - 1)));
  }

  #redialAfter(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#deps.clock.setTimeout(() => this.dial(), delayWithinLimits(delayMs));
  }
}
