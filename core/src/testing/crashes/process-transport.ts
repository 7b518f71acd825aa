// A transport over the channel between a process and one that it has forked: for crash tests, in which one end of a
// connection is killed. The forked side dials; the other accepts whatever process is attached at the moment.

import {
  type CloseOutcome,
  type CloseReason,
  type ConnectionReceiver,
  TidemarkError,
  type Transport,
  type TransportConnection,
  type TransportHost,
} from "@tidemark/plugin-api";

/** What crosses the channel. `id` numbers the connections of one process. */
export type ChannelMessage =
  | { readonly kind: "dial"; readonly id: number }
  | { readonly kind: "frame"; readonly id: number; readonly frame: Uint8Array }
  | { readonly kind: "close"; readonly id: number; readonly outcome: CloseOutcome };

/** One end of the channel. */
export interface Channel {
  send(message: ChannelMessage): void;
}

const REDIAL_MS = 50;

/** The side that dials, in the forked process. Timers are those of the process, as in any transport of the real world. */
export class DiallingEnd implements Transport {
  readonly name = "process";
  readonly #channel: Channel;
  #host: TransportHost | null = null;
  #connection: Connection | null = null;
  #timer: NodeJS.Timeout | null = null;
  #id = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async start(host: TransportHost): Promise<void> {
    this.#host = host;
    this.#dial();
  }

  async stop(): Promise<void> {
    this.#host = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#connection?.end({ code: "closed-here", reason: "the transport was stopped" });
  }

  /** A message from the other process. */
  take(message: ChannelMessage): void {
    if (this.#connection?.id === message.id) this.#connection.take(message);
  }

  #dial(): void {
    if (this.#host === null) return;
    this.#id += 1;
    this.#channel.send({ kind: "dial", id: this.#id });
    const connection = new Connection({
      id: this.#id,
      dialled: true,
      channel: this.#channel,
      onEnd: (outcome) => this.#again(outcome),
    });
    this.#connection = connection;
    this.#host.accept(connection);
  }

  #again(outcome: CloseOutcome | null): void {
    this.#connection = null;
    if (outcome?.redial === "never") return;
    this.#timer = setTimeout(() => this.#dial(), outcome?.redial.afterMs ?? REDIAL_MS);
  }
}

/** The side that accepts. A process that ends takes its connection with it. */
export class AcceptingEnd implements Transport {
  readonly name = "process";
  #host: TransportHost | null = null;
  #channel: Channel | null = null;
  #connection: Connection | null = null;

  async start(host: TransportHost): Promise<void> {
    this.#host = host;
  }

  async stop(): Promise<void> {
    this.#host = null;
    this.#connection?.end({ code: "closed-here", reason: "the transport was stopped" });
  }

  /** The process at the other end from now on; null when it has ended. */
  attach(channel: Channel | null): void {
    this.#channel = channel;
    this.#connection?.end({ code: "lost", reason: "the process has ended" });
  }

  /** A message from the process that is attached. */
  take(message: ChannelMessage): void {
    if (message.kind !== "dial") {
      if (this.#connection?.id === message.id) this.#connection.take(message);
      return;
    }
    this.#connection?.end({ code: "lost", reason: "the process has dialled anew" });
    const channel = this.#channel;
    if (this.#host === null || channel === null) return;
    const connection = new Connection({
      id: message.id,
      dialled: false,
      channel,
      onEnd: () => {
        if (this.#connection === connection) this.#connection = null;
      },
    });
    this.#connection = connection;
    this.#host.accept(connection);
  }
}

class Connection implements TransportConnection {
  readonly address = "process://peer";
  readonly bufferedBytes = 0;
  readonly dialled: boolean;
  readonly id: number;
  readonly #channel: Channel;
  readonly #onEnd: (outcome: CloseOutcome | null) => void;
  #receiver: ConnectionReceiver | null = null;
  #ended = false;

  constructor(options: {
    readonly id: number;
    readonly dialled: boolean;
    readonly channel: Channel;
    readonly onEnd: (outcome: CloseOutcome | null) => void;
  }) {
    this.id = options.id;
    this.dialled = options.dialled;
    this.#channel = options.channel;
    this.#onEnd = options.onEnd;
  }

  open(receiver: ConnectionReceiver): void {
    this.#receiver = receiver;
  }

  send(frame: Uint8Array): void {
    if (this.#ended) {
      throw new TidemarkError({
        code: "TIDEMARK_TRANSPORT_CLOSED",
        what: "A frame was not sent",
        why: "the connection is closed",
        advice: "Wait for the next connection",
      });
    }
    this.#channel.send({ kind: "frame", id: this.id, frame });
  }

  close(outcome: CloseOutcome): void {
    if (this.#ended) return;
    this.#channel.send({ kind: "close", id: this.id, outcome });
    this.end({ code: "closed-here", reason: outcome.reason }, outcome);
  }

  take(message: ChannelMessage): void {
    if (this.#ended) return;
    if (message.kind === "frame") this.#receiver?.onFrame(message.frame);
    else if (message.kind === "close")
      this.end({ code: "closed-there", reason: message.outcome.reason }, message.outcome);
  }

  end(reason: CloseReason, outcome: CloseOutcome | null = null): void {
    if (this.#ended) return;
    this.#ended = true;
    // In a later turn, so that nobody is called back from within their own call.
    setImmediate(() => {
      this.#receiver?.onClose(reason);
      this.#onEnd(outcome);
    });
  }
}
