// One open WebSocket as the kernel sees a connection. It sends, watches for signs of life and reports the end; it does
// not know how the socket came about, or whether there will be another.

import type { Socket } from "node:net";
import type {
  Clock,
  CloseOutcome,
  CloseReason,
  ConnectionReceiver,
  Subscription,
  TransportConnection,
  TransportHost,
} from "@tidemark/plugin-api";
import { type RawData, WebSocket } from "ws";
import { type CloseFrame, decodeClose, encodeClose, GOING_AWAY, TEXT_FRAME_REFUSED } from "./close-code.js";
import { websocketErrors } from "./errors.js";

/**
 * A larger frame is sent as several WebSocket fragments, so that progress shows on a slow line: a peer to which one of
 * them gets through between two pings is alive.
 */
const FRAGMENT_BYTES = 256 * 1024;

/** How long the closing handshake may take before the socket is torn down. */
const CLOSE_GRACE_MS = 5_000;

export interface WebsocketConnectionDeps {
  readonly ws: WebSocket;
  /** What carries `ws`. */
  readonly socket: Socket;
  readonly address: string;
  readonly dialled: boolean;
  readonly clock: Clock;
  readonly pingIntervalMs: number;
  readonly maxBufferedBytes: number;
  /** Called once, after `onClose`. `redial` is absent when neither kernel has said anything. */
  readonly onEnd: (redial: CloseOutcome["redial"] | undefined) => void;
}

export class WebsocketConnection implements TransportConnection {
  readonly address: string;
  readonly dialled: boolean;
  readonly #deps: WebsocketConnectionDeps;
  readonly #ws: WebSocket;
  #receiver: ConnectionReceiver | undefined;
  #end: CloseReason | undefined;
  /** Set while something waits in the send buffer, so that its emptying is told once. */
  #waiting = false;
  #ping: Subscription | undefined;
  #grace: Subscription | undefined;
  /** Something was heard of the peer, or got through to it, since the last ping. */
  #signOfLife = true;
  #bytesRead: number;

  constructor(deps: WebsocketConnectionDeps) {
    this.#deps = deps;
    this.#ws = deps.ws;
    this.address = deps.address;
    this.dialled = deps.dialled;
    this.#bytesRead = deps.socket.bytesRead;
    this.#ws.on("message", (data, isBinary) => this.#message(data, isBinary));
    this.#ws.on("pong", () => {
      this.#signOfLife = true;
    });
    this.#ws.on("error", (error: Error & { readonly code?: string }) => this.#failed(error));
    this.#ws.once("close", (code, reason) => this.#closed({ code, reason: reason.toString("utf8") }));
    this.#schedulePing();
  }

  get bufferedBytes(): number {
    return this.#ws.bufferedAmount;
  }

  send(frame: Uint8Array): void {
    if (this.#end !== undefined) throw websocketErrors.closed({ address: this.address, reason: this.#end.reason });
    const buffered = this.#ws.bufferedAmount;
    const { maxBufferedBytes } = this.#deps;
    // One frame is always taken, whatever its size; the kernel limits that.
    if (buffered > 0 && buffered + frame.byteLength > maxBufferedBytes) {
      this.#finish({ code: "lost", reason: `the send buffer exceeds ${maxBufferedBytes} bytes` }, undefined);
      this.#ws.terminate();
      return;
    }
    for (let start = 0, last = false; !last; start += FRAGMENT_BYTES) {
      const end = start + FRAGMENT_BYTES;
      last = end >= frame.byteLength;
      this.#ws.send(frame.subarray(start, end), { binary: true, fin: last }, this.#flushed);
    }
    this.#waiting = this.#ws.bufferedAmount > 0;
  }

  open(receiver: ConnectionReceiver): void {
    this.#receiver = receiver;
  }

  close(outcome: CloseOutcome): void {
    if (this.#end !== undefined) return;
    this.#finish({ code: "closed-here", reason: outcome.reason }, outcome.redial);
    this.#closeSocket(encodeClose(outcome));
  }

  /** Ends the connection because the transport stops; the other side may dial again as it likes. */
  shutDown(): void {
    if (this.#end !== undefined) return;
    const reason = "the transport was stopped";
    this.#finish({ code: "closed-here", reason }, undefined);
    this.#closeSocket({ code: GOING_AWAY, reason });
  }

  /** Hands the connection to its host. One that is neither opened nor closed in this turn has nobody behind it. */
  offerTo(host: TransportHost): void {
    host.accept(this);
    if (this.#receiver === undefined) this.close({ reason: "nobody opened the connection", redial: "never" });
  }

  #message(data: RawData, isBinary: boolean): void {
    this.#signOfLife = true;
    // ws delivers what it had already read, even after `close`.
    if (this.#end !== undefined) return;
    if (!isBinary) {
      const reason = "the peer sent a text frame; only binary ones are allowed";
      this.#finish({ code: "lost", reason }, undefined);
      this.#closeSocket({ code: TEXT_FRAME_REFUSED, reason });
      return;
    }
    // With the binary type "nodebuffer", which is ws's default, a message is one buffer.
    this.#receiver?.onFrame(data as Buffer);
  }

  /** A protocol error, after which ws closes the socket by itself. */
  #failed(error: Error & { readonly code?: string }): void {
    const tooLarge =
      error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH" || error.code === "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH";
    this.#finish({ code: tooLarge ? "frame-too-large" : "lost", reason: error.message }, undefined);
    this.#limitClosing();
  }

  #closed(frame: CloseFrame): void {
    const { end, redial } = decodeClose(frame);
    this.#finish(end, redial);
    this.#grace?.dispose();
  }

  #finish(end: CloseReason, redial: CloseOutcome["redial"] | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#ping?.dispose();
    // Behind the running call, so that nobody is called back from within their own `close` or `send`.
    queueMicrotask(() => {
      this.#receiver?.onClose(end);
      this.#deps.onEnd(redial);
    });
  }

  #closeSocket({ code, reason }: CloseFrame): void {
    this.#ws.close(code, reason);
    this.#limitClosing();
  }

  /** A peer that doesn't answer a close, or doesn't read what goes before it, must not keep the socket. */
  #limitClosing(): void {
    if (this.#ws.readyState === WebSocket.CLOSED || this.#grace !== undefined) return;
    this.#grace = this.#deps.clock.setTimeout(() => this.#ws.terminate(), CLOSE_GRACE_MS);
  }

  readonly #flushed = (): void => {
    this.#signOfLife = true;
    if (!this.#waiting || this.#ws.bufferedAmount > 0 || this.#end !== undefined) return;
    this.#waiting = false;
    this.#receiver?.onDrain();
  };

  #schedulePing(): void {
    const { clock, pingIntervalMs, socket } = this.#deps;
    this.#ping = clock.setTimeout(() => {
      // Part of a large frame is a sign of life too.
      const bytesRead = socket.bytesRead;
      if (bytesRead === this.#bytesRead && !this.#signOfLife) {
        this.#finish({ code: "lost", reason: `no sign of life for ${pingIntervalMs} ms` }, undefined);
        this.#ws.terminate();
        return;
      }
      this.#bytesRead = bytesRead;
      this.#signOfLife = false;
      // While data waits, its getting through is the answer; a ping would only wait behind it.
      if (this.#ws.bufferedAmount === 0) this.#ws.ping();
      this.#schedulePing();
    }, pingIntervalMs);
  }
}
