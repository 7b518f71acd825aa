// Stands where the kernel stands and writes down what a transport does to it, so that a test can await it.

import type { CloseReason, ConnectionReceiver, TransportConnection, TransportHost } from "@tidemark/plugin-api";

/** A host that opens every connection and records what comes. */
export class TransportProbe implements TransportHost {
  readonly maxFrameBytes: number;
  /** Every connection that was handed over, oldest first. */
  readonly connections: ConnectionProbe[] = [];
  /** False: connections are taken and then ignored, as a faulty host would. */
  openConnections = true;
  #taken = 0;
  readonly #waiting: ((connection: ConnectionProbe) => void)[] = [];

  constructor({ maxFrameBytes }: { readonly maxFrameBytes: number }) {
    this.maxFrameBytes = maxFrameBytes;
  }

  accept(connection: TransportConnection): void {
    if (!this.openConnections) return;
    const probe = new ConnectionProbe(connection);
    connection.open(probe);
    this.connections.push(probe);
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return;
    this.#taken++;
    waiting(probe);
  }

  /** The oldest connection that no call has returned yet; waits for it. */
  nextConnection(): Promise<ConnectionProbe> {
    const next = this.connections[this.#taken];
    if (next === undefined) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#taken++;
    return Promise.resolve(next);
  }
}

/** One connection and all that it has told its receiver. */
export class ConnectionProbe implements ConnectionReceiver {
  readonly connection: TransportConnection;
  readonly frames: Uint8Array[] = [];
  readonly ends: CloseReason[] = [];
  drains = 0;
  readonly #waiting = new Set<() => void>();
  #respond: ((frame: Uint8Array) => void) | undefined;

  constructor(connection: TransportConnection) {
    this.connection = connection;
  }

  /** Called for every frame after it is recorded. */
  respond(callback: (frame: Uint8Array) => void): void {
    this.#respond = callback;
  }

  onFrame(frame: Uint8Array): void {
    this.frames.push(frame);
    this.#respond?.(frame);
    this.#notify();
  }

  onDrain(): void {
    this.drains++;
    this.#notify();
  }

  onClose(reason: CloseReason): void {
    this.ends.push(reason);
    this.#notify();
  }

  /** Waits until `condition` holds. Throws when the connection ends first, unless that is waited for. */
  until(what: string, condition: (probe: ConnectionProbe) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (condition(this)) resolve();
        else if (this.ends.length > 0)
          reject(new Error(`waited for ${what}, and the connection ended: ${this.ends[0]?.reason}`));
        else return;
        this.#waiting.delete(check);
      };
      this.#waiting.add(check);
      check();
    });
  }

  #notify(): void {
    for (const check of this.#waiting) check();
  }
}
