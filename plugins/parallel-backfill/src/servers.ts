// Which peer is asked next: the one that is likely to answer first, by how long each took for its last pages and how many
// it still has to send. It knows no ranges.

/** How much of the average the last page makes up. */
const NEWEST = 0.3;

interface Server {
  /** Pages that it was asked for and has not sent. */
  asked: number;
  /** Time for a page on average, in milliseconds; null until it is known. */
  pageMs: number | null;
  /** The first answer tells little: the peer says what it has before it. */
  answered: boolean;
}

export class Servers {
  readonly #most: number;
  readonly #servers = new Map<string, Server>();

  constructor({ concurrencyPerPeer }: { readonly concurrencyPerPeer: number }) {
    this.#most = concurrencyPerPeer;
  }

  /** Who of these is asked for a page next; null while all of them are busy. */
  next(peers: readonly string[]): string | null {
    return this.#best(peers.filter((peer) => this.#of(peer).asked < this.#most));
  }

  /** Who of these is asked something small, busy or not. */
  quickest(peers: readonly string[]): string | null {
    return this.#best(peers);
  }

  asked(peer: string): void {
    this.#of(peer).asked += 1;
  }

  answered(peer: string, durationMs: number): void {
    const server = this.#of(peer);
    server.asked -= 1;
    if (server.answered) {
      server.pageMs = server.pageMs === null ? durationMs : (1 - NEWEST) * server.pageMs + NEWEST * durationMs;
    }
    server.answered = true;
  }

  /** A request has failed; if the peer comes back, nothing is known of it. */
  failed(peer: string): void {
    const server = this.#of(peer);
    server.asked -= 1;
    server.pageMs = null;
    server.answered = false;
  }

  #best(peers: readonly string[]): string | null {
    let best: string | null = null;
    for (const peer of peers) if (best === null || this.#costOf(peer) < this.#costOf(best)) best = peer;
    return best;
  }

  /** When the page would be here. Of whom nothing is known, one page is asked for first, and more only if nobody else is free. */
  #costOf(peer: string): number {
    const { asked, pageMs } = this.#of(peer);
    if (pageMs !== null) return pageMs * (asked + 1);
    return asked === 0 ? -1 : Number.MAX_SAFE_INTEGER / 2 + asked;
  }

  #of(peer: string): Server {
    let server = this.#servers.get(peer);
    if (server === undefined) {
      server = { asked: 0, pageMs: null, answered: false };
      this.#servers.set(peer, server);
    }
    return server;
  }
}
