// A network within the process, for tests and for the simulator: connections between named addresses, carried by the
// injected clock, with faults made by method. Frames of a connection can be neither doubled nor reordered, because the
// transport contract promises an ordered, reliable connection; doubling and reordering happen across connections, when
// one is lost and another takes its place.

import type { Clock, CloseOutcome, Random, Subscription, Transport, TransportHost } from "@tidemark/plugin-api";
import { transportErrors } from "./errors.js";
import { InMemoryConnection } from "./in-memory-connection.js";
import { type Latency, Link, type LinkState } from "./in-memory-link.js";

/** What a network takes its delays and its chance from. */
export interface InMemoryNetworkOptions {
  readonly clock: Clock;
  /** Draws latencies that are given as a range. */
  readonly random: Random;
  /** Bytes on their way in one direction of a connection before `bufferedBytes` rises. Default 65,536. */
  readonly windowBytes?: number;
  /** When a dialler tries again after a failed attempt or a lost connection, in milliseconds. Default 1,000. */
  readonly redialMs?: number;
  /** Called with every frame that arrives, before the receiving end has it; for traces. */
  readonly onDelivery?: (delivery: Direction & { readonly frame: Uint8Array }) => void;
}

/** One direction between two addresses. */
export interface Direction {
  readonly from: string;
  readonly to: string;
}

/**
 * A network of addresses. Whatever happens in it, happens in the same order each time when clock and random are the
 * same.
 *
 * @example
 * const network = new InMemoryNetwork({ clock, random });
 * const server = network.transport("a");
 * const client = network.transport("b", { dial: ["a"] });
 * network.setLatency({ from: "a", to: "b" }, { minMs: 5, maxMs: 50 });
 * network.cut("a", "b");
 */
export class InMemoryNetwork {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #windowBytes: number;
  readonly #redialMs: number;
  readonly #onDelivery: NonNullable<InMemoryNetworkOptions["onDelivery"]>;
  /** The started transports, by address. */
  readonly #started = new Map<string, InMemoryTransport>();
  /** The transports that were made last, by address. */
  readonly #latest = new Map<string, InMemoryTransport>();
  readonly #links = new Map<string, Link>();
  readonly #wires = new Set<Wire>();

  constructor({
    clock,
    random,
    windowBytes = 65_536,
    redialMs = 1_000,
    onDelivery = () => {},
  }: InMemoryNetworkOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#windowBytes = windowBytes;
    this.#redialMs = redialMs;
    this.#onDelivery = onDelivery;
  }

  /**
   * A transport that listens at `address` and dials the addresses of `dial`, once it is started. Starting it rejects
   * with `TIDEMARK_TRANSPORT_ADDRESS_IN_USE` while another transport is started there.
   */
  transport(address: string, { dial = [] }: { readonly dial?: readonly string[] } = {}): Transport {
    const transport = new InMemoryTransport({
      address,
      dial,
      clock: this.#clock,
      redialMs: this.#redialMs,
      attach: (transport) => {
        if (this.#started.has(address)) throw transportErrors.addressInUse({ address });
        this.#started.set(address, transport);
      },
      detach: () => this.#started.delete(address),
      connect: (dialler, to) => this.#connect(dialler, to),
    });
    this.#latest.set(address, transport);
    return transport;
  }

  /** Breaks everything between two addresses: connections are lost on both sides, and none can be made until `heal`. */
  cut(a: string, b: string): void {
    for (const direction of bothWays(a, b)) this.#setState(direction, "cut");
    for (const wire of [...this.#wires]) if (isBetween(wire, a, b)) wire.dialler.lose("the link was cut");
  }

  /**
   * Lets nothing pass in one direction; open connections stay, and what is sent waits until `heal`, the news of a close
   * included. No connection can be made meanwhile.
   */
  cutOneWay(direction: Direction): void {
    this.#setState(direction, "held");
  }

  /**
   * Undoes `cut` and `cutOneWay` in both directions, and takes back what `loseAfter` and `truncateNext` still hold in
   * store. Diallers notice at their next attempt.
   */
  heal(a: string, b: string): void {
    for (const direction of bothWays(a, b)) {
      this.#setState(direction, "open");
      this.#link(direction).forgetFaults();
    }
    for (const wire of this.#wires) {
      if (!isBetween(wire, a, b)) continue;
      wire.dialler.wake();
      wire.listener.wake();
    }
  }

  /** How long frames sent from now on take in one direction. Default 0: the next turn. Order is kept in any case. */
  setLatency(direction: Direction, latency: Latency): void {
    this.#link(direction).latency = latency;
  }

  /** How many bytes pass in one direction in a second, from now on. Default: any number. */
  setBandwidth(direction: Direction, { bytesPerSecond }: { readonly bytesPerSecond: number }): void {
    this.#link(direction).bytesPerSecond = bytesPerSecond;
  }

  /**
   * Connections between the two are lost at `at` alone; `other` believes in them for `noticeMs` more, as behind a router
   * that has forgotten them. What it sends meanwhile is lost, and what was on its way to it still arrives.
   */
  loseEnd({ at, other }: { readonly at: string; readonly other: string }, { noticeMs }: { readonly noticeMs: number }) {
    for (const wire of [...this.#wires]) {
      if (!isBetween(wire, at, other)) continue;
      (wire.from === at ? wire.dialler : wire.listener).loseHere("the connection was forgotten on the way", noticeMs);
    }
  }

  /**
   * The process at `address` ends without a word: its transport does nothing more and tells nobody, and the address is
   * free. Peers lose their connections to it `noticeMs` later.
   */
  crash(address: string, { noticeMs }: { readonly noticeMs: number }): void {
    // Also one that is stopped for a while: it must not start again.
    for (const transport of new Set([this.#started.get(address), this.#latest.get(address)]))
      transport?.vanish(noticeMs);
  }

  /** Lets `frames` more frames pass in one direction; the next one is lost together with its connection. Once. */
  loseAfter(direction: Direction, { frames }: { readonly frames: number }): void {
    this.#link(direction).loseAfter(frames);
  }

  /** Lets only the first `keepBytes` bytes of the next frame in one direction arrive. Once per call. */
  truncateNext(direction: Direction, { keepBytes }: { readonly keepBytes: number }): void {
    this.#link(direction).truncateNext(keepBytes);
  }

  /** Makes a connection, if there is a way and somebody at its end. */
  #connect(dialler: InMemoryTransport, to: string): boolean {
    const listener = this.#started.get(to);
    const outward = this.#link({ from: dialler.address, to });
    const inward = this.#link({ from: to, to: dialler.address });
    if (listener === undefined || outward.state !== "open" || inward.state !== "open") return false;

    const end = (self: InMemoryTransport, peer: InMemoryTransport, link: Link, other: () => InMemoryConnection) => {
      const connection = new InMemoryConnection({
        clock: this.#clock,
        address: `memory://${peer.address}`,
        dialled: self === dialler,
        link,
        windowBytes: this.#windowBytes,
        maxFrameBytes: self.maxFrameBytes,
        other,
        onDelivery: (frame) => this.#onDelivery({ from: peer.address, to: self.address, frame }),
        onEnd: (redial) => {
          if (wire.dialler.ended && wire.listener.ended) this.#wires.delete(wire);
          self.connectionEnded(connection, peer.address, redial);
        },
      });
      return connection;
    };
    const wire: Wire = {
      from: dialler.address,
      to,
      dialler: end(dialler, listener, outward, () => wire.listener),
      listener: end(listener, dialler, inward, () => wire.dialler),
    };
    this.#wires.add(wire);
    listener.connectionMade(wire.listener);
    dialler.connectionMade(wire.dialler);
    return true;
  }

  #link({ from, to }: Direction): Link {
    const key = JSON.stringify([from, to]);
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link({ random: this.#random });
      this.#links.set(key, link);
    }
    return link;
  }

  #setState(direction: Direction, state: LinkState): void {
    this.#link(direction).state = state;
  }
}

interface Wire extends Direction {
  readonly dialler: InMemoryConnection;
  readonly listener: InMemoryConnection;
}

function bothWays(a: string, b: string): readonly Direction[] {
  return [
    { from: a, to: b },
    { from: b, to: a },
  ];
}

function isBetween({ from, to }: Direction, a: string, b: string): boolean {
  return (from === a && to === b) || (from === b && to === a);
}

interface InMemoryTransportDeps {
  readonly address: string;
  readonly dial: readonly string[];
  readonly clock: Clock;
  readonly redialMs: number;
  readonly attach: (transport: InMemoryTransport) => void;
  readonly detach: () => void;
  readonly connect: (dialler: InMemoryTransport, to: string) => boolean;
}

class InMemoryTransport implements Transport {
  readonly name = "in-memory";
  readonly address: string;
  readonly #deps: InMemoryTransportDeps;
  readonly #open = new Set<InMemoryConnection>();
  readonly #dials = new Set<Subscription>();
  #host: TransportHost | undefined;
  #vanished = false;

  constructor(deps: InMemoryTransportDeps) {
    this.#deps = deps;
    this.address = deps.address;
  }

  get maxFrameBytes(): number {
    return this.#host?.maxFrameBytes ?? 0;
  }

  async start(host: TransportHost): Promise<void> {
    // What is left of a process that has ended waits for ever.
    if (this.#vanished) await new Promise<never>(() => {});
    if (this.#host !== undefined) return;
    this.#deps.attach(this);
    this.#host = host;
    for (const to of this.#deps.dial) this.#dial(to, 0);
  }

  async stop(): Promise<void> {
    if (this.#host === undefined) return;
    this.#host = undefined;
    this.#deps.detach();
    for (const dial of this.#dials) dial.dispose();
    this.#dials.clear();
    const reason = "the transport was stopped";
    for (const connection of this.#open) {
      connection.closeWith({ code: "closed-here", reason }, { code: "closed-there", reason });
    }
    // Behind the turns in which the ends are reported: after `stop` nobody hears of this transport any more.
    await new Promise<void>((resolve) => this.#deps.clock.setImmediate(resolve));
  }

  /** As `stop`, but nobody is told: neither the host nor, before `noticeMs` have passed, the peers. */
  vanish(noticeMs: number): void {
    this.#vanished = true;
    if (this.#host === undefined) return;
    this.#host = undefined;
    this.#deps.detach();
    for (const dial of this.#dials) dial.dispose();
    this.#dials.clear();
    for (const connection of this.#open) connection.vanish(noticeMs);
  }

  connectionMade(connection: InMemoryConnection): void {
    if (this.#host === undefined) {
      connection.close({ reason: "the transport was stopped", redial: "never" });
      return;
    }
    this.#open.add(connection);
    connection.offerTo(this.#host);
  }

  connectionEnded(connection: InMemoryConnection, peer: string, redial: CloseOutcome["redial"] | undefined): void {
    this.#open.delete(connection);
    if (!connection.dialled || redial === "never") return;
    this.#dial(peer, redial?.afterMs ?? this.#deps.redialMs);
  }

  #dial(to: string, delayMs: number): void {
    if (this.#host === undefined) return;
    const attempt = () => {
      this.#dials.delete(timer);
      if (!this.#deps.connect(this, to)) this.#dial(to, this.#deps.redialMs);
    };
    const { clock } = this.#deps;
    const timer = delayMs > 0 ? clock.setTimeout(attempt, delayMs) : clock.setImmediate(attempt);
    this.#dials.add(timer);
  }
}
