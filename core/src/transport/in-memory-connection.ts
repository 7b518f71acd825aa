// One end of a connection of the in-memory network. It sends, closes and reports its end; who dials whom, and when
// again, is the network's business.

import type {
  Clock,
  CloseOutcome,
  CloseReason,
  ConnectionReceiver,
  TransportConnection,
  TransportHost,
} from "@tidemark/plugin-api";
import { transportErrors } from "./errors.js";
import type { Link } from "./in-memory-link.js";
import { type Parcel, Pipe } from "./in-memory-pipe.js";

interface EndDeps {
  readonly clock: Clock;
  readonly address: string;
  readonly dialled: boolean;
  /** The direction away from this end. */
  readonly link: Link;
  readonly windowBytes: number;
  readonly maxFrameBytes: number;
  readonly other: () => InMemoryConnection;
  /** A frame is about to be handed to this end. */
  readonly onDelivery: (frame: Uint8Array) => void;
  /** Called once, after `onClose`. `redial` is absent when neither kernel has said anything: the connection was lost. */
  readonly onEnd: (redial: CloseOutcome["redial"] | undefined) => void;
}

export class InMemoryConnection implements TransportConnection {
  readonly address: string;
  readonly dialled: boolean;
  readonly #deps: EndDeps;
  readonly #outward: Pipe;
  #receiver: ConnectionReceiver | undefined;
  #end: CloseReason | undefined;

  constructor(deps: EndDeps) {
    this.#deps = deps;
    this.address = deps.address;
    this.dialled = deps.dialled;
    this.#outward = new Pipe({
      clock: deps.clock,
      link: deps.link,
      windowBytes: deps.windowBytes,
      deliver: (parcel) => deps.other().#receive(parcel, deps.link),
      onDrain: () => {
        if (this.#end === undefined) this.#receiver?.onDrain();
      },
    });
  }

  get bufferedBytes(): number {
    return this.#outward.waitingBytes;
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  send(frame: Uint8Array): void {
    if (this.#end !== undefined) throw transportErrors.closed({ address: this.address, reason: this.#end.reason });
    // A copy, as a network would make: the ends must never see each other's memory.
    this.#outward.push({ kind: "frame", frame: frame.slice() });
  }

  open(receiver: ConnectionReceiver): void {
    this.#receiver = receiver;
  }

  close({ reason, redial }: CloseOutcome): void {
    this.closeWith({ code: "closed-here", reason }, { code: "closed-there", reason }, redial);
  }

  /** Ends this side at once, and the other when the news gets there, behind all frames that were sent before. */
  closeWith(here: CloseReason, there: CloseReason, redial?: CloseOutcome["redial"]): void {
    if (this.#end !== undefined) return;
    this.#outward.push({ kind: "close", reason: there, redial });
    this.#finish(here, redial);
  }

  /** Ends both sides without a word, with all that was on its way. */
  lose(reason: string): void {
    for (const side of [this, this.#deps.other()]) {
      side.#outward.discard();
      side.#finish({ code: "lost", reason }, undefined);
    }
  }

  /** Ends this side; the other believes in the connection for `noticeMs` more, and what it sends is lost. */
  loseHere(reason: string, noticeMs: number): void {
    if (this.#end !== undefined) return;
    this.#finish({ code: "lost", reason }, undefined);
    this.#deps.clock.setTimeout(() => {
      const other = this.#deps.other();
      other.#outward.discard();
      other.#finish({ code: "lost", reason }, undefined);
    }, noticeMs);
  }

  /** The process behind this end is gone, and hears of nothing any more. */
  vanish(noticeMs: number): void {
    this.#receiver = undefined;
    this.loseHere("the peer's process has ended", noticeMs);
  }

  /** Hands this end to its host. One that is neither opened nor closed in this turn has nobody behind it. */
  offerTo(host: TransportHost): void {
    host.accept(this);
    if (this.#receiver !== undefined) return;
    this.close({ reason: "nobody opened the connection", redial: "never" });
  }

  /** Sets out again what waits while the link was held. */
  wake(): void {
    this.#outward.wake();
  }

  #receive(parcel: Parcel, link: Link): void {
    if (this.#end !== undefined) return;
    if (parcel.kind === "close") {
      this.#outward.discard();
      this.#finish(parcel.reason, parcel.redial);
      return;
    }
    const { maxFrameBytes } = this.#deps;
    if (parcel.frame.byteLength > maxFrameBytes) {
      const reason = `a frame of ${parcel.frame.byteLength} bytes exceeds the limit of ${maxFrameBytes}`;
      this.#outward.discard();
      this.closeWith({ code: "frame-too-large", reason }, { code: "frame-too-large", reason });
      return;
    }
    const frame = link.carry(parcel.frame);
    if (frame === undefined) this.lose("the network dropped the connection");
    else {
      this.#deps.onDelivery(frame);
      this.#receiver?.onFrame(frame);
    }
  }

  #finish(reason: CloseReason, redial: CloseOutcome["redial"] | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    // In a later turn, so that nobody is called back from within their own call.
    this.#deps.clock.setImmediate(() => {
      this.#receiver?.onClose(reason);
      this.#deps.onEnd(redial);
    });
  }
}
