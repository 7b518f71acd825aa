import type { Subscription } from "./disposable.js";
import { createServiceToken } from "./services.js";

/**
 * One open, ordered, reliable connection to a peer, whatever carries it. Frames arrive whole and in order, or the
 * connection closes. A connection knows nothing of Tidemark's messages.
 */
export interface TransportConnection {
  /** Where the other end is, for people: `ws://127.0.0.1:4711`. */
  readonly address: string;
  /** True on the side that dialled. */
  readonly dialled: boolean;
  /**
   * Takes a frame for sending; its bytes must not be changed afterwards. Returns at once; `bufferedBytes` says how much
   * is still on its way. Throws `TIDEMARK_TRANSPORT_CLOSED` when the connection is closed.
   */
  send(frame: Uint8Array): void;
  /** Bytes taken by `send` and not yet handed to the network. The kernel stops sending above its limit. */
  readonly bufferedBytes: number;
  /** Closes the connection; the transport acts on `outcome.redial`. Closing twice does nothing. */
  close(outcome: CloseOutcome): void;
  /** Sets the receiver of frames and of the end; called once by the kernel, before any frame is delivered. */
  open(receiver: ConnectionReceiver): void;
}

/** What the kernel hands to a connection to be called back with. */
export interface ConnectionReceiver {
  /** A frame; no larger than the host's `maxFrameBytes`: a larger one closes the connection before it is assembled. */
  onFrame(frame: Uint8Array): void;
  /** The send buffer has emptied. */
  onDrain(): void;
  /** The connection is over. Called exactly once, also after `close`. */
  onClose(reason: CloseReason): void;
}

/** How a connection ended, and why, for people. */
export interface CloseReason {
  readonly code: "closed-here" | "closed-there" | "lost" | "frame-too-large";
  readonly reason: string;
}

/**
 * Why the kernel closes, and when the side that dials may try again. The transport carries it there when the other side
 * closes; what the dialling side's own kernel said comes first. Without a word of either, the transport decides.
 */
export interface CloseOutcome {
  readonly reason: string;
  readonly redial: { readonly afterMs: number } | "never";
}

/** What the kernel offers to a transport. */
export interface TransportHost {
  /** The largest frame that may be received, in bytes. */
  readonly maxFrameBytes: number;
  /** Hands over a connection, dialled or accepted. The kernel answers with `open` in the same turn. */
  accept(connection: TransportConnection): void;
}

/** A way to reach peers. Registered by a plugin with {@link transports}, started and stopped by the kernel. */
export interface Transport {
  readonly name: string;
  /** Listens and dials as configured. Rejects with a typed error when it can't (a port in use). */
  start(host: TransportHost): Promise<void>;
  /** Stops listening and dialling; open connections are closed by the kernel before. */
  stop(): Promise<void>;
}

/** Takes transports; only possible during `activate`. */
export interface Transports {
  register(transport: Transport): Subscription;
}

/** The kernel service by which a plugin brings a transport. */
export const transports = createServiceToken<Transports>("kernel.transports");

/**
 * Proves to the other end that this one may take part, and checks its proof. The kernel sends each side's challenge in
 * its first frame and its proof in the second. The default knows a shared secret; device keys fit the same contract.
 */
export interface Authenticator {
  /** Names the method, so that two ends with different ones part with a clear error. */
  readonly method: string;
  /** A proof for the peer's challenge. `transcript` binds it to this session: library, both challenges, both roles. */
  prove(transcript: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Whether the peer's proof over its own transcript is right. Must take the same time for right and wrong proofs. */
  verify(input: { readonly transcript: Uint8Array; readonly proof: Uint8Array }): boolean | Promise<boolean>;
}
