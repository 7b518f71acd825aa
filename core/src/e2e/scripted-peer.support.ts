// A peer that speaks the real handshake, with the real authenticator, and then says what a test tells it: for proving
// that nothing a peer can say does harm. It keeps no library of its own.

import type { Authenticator, CloseReason, Transport, TransportConnection } from "@tidemark/plugin-api";
import type { Message, MessageOf } from "../replication/messages.js";
import type { InMemoryNetwork } from "../transport/in-memory.js";
import { sharedSecretAuthenticator } from "../transport/shared-secret.js";

export interface ScriptedPeerOptions {
  readonly network: InMemoryNetwork;
  /** Its address, and its device id unless the hello says otherwise. */
  readonly address: string;
  /** Whom it dials; absent: it is dialled. */
  readonly dial?: string;
  readonly library?: string;
  readonly authenticator?: Authenticator;
  readonly now: () => number;
}

export const TEST_LIBRARY = "test-library";
export const TEST_SECRET = "a secret that only tests know";
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

export class ScriptedPeer {
  readonly options: ScriptedPeerOptions;
  readonly sessions: ScriptedSession[] = [];
  readonly #transport: Transport;
  readonly #waiting: ((session: ScriptedSession) => void)[] = [];

  constructor(options: ScriptedPeerOptions) {
    this.options = options;
    const { network, address, dial } = options;
    this.#transport = network.transport(address, { dial: dial === undefined ? [] : [dial] });
  }

  /** Starts to listen and to dial. */
  start(): Promise<void> {
    return this.#transport.start({
      maxFrameBytes: MAX_FRAME_BYTES,
      accept: (connection) => {
        const session = new ScriptedSession(this.options, connection);
        this.sessions.push(session);
        this.#waiting.shift()?.(session);
      },
    });
  }

  stop(): Promise<void> {
    return this.#transport.stop();
  }

  /** The next connection that is made. */
  nextSession(): Promise<ScriptedSession> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Starts, and resolves with the first connection. */
  async connect(): Promise<ScriptedSession> {
    const session = this.nextSession();
    await this.start();
    return session;
  }
}

export type Hello = Omit<MessageOf<"hello">, "t">;

export class ScriptedSession {
  readonly received: Message[] = [];
  /** The frames as they came. */
  readonly frames: Uint8Array[] = [];
  readonly closed: Promise<CloseReason>;
  readonly #options: ScriptedPeerOptions;
  readonly #connection: TransportConnection;
  #end: CloseReason | null = null;
  #read = 0;
  #wake: (() => void)[] = [];

  constructor(options: ScriptedPeerOptions, connection: TransportConnection) {
    this.#options = options;
    this.#connection = connection;
    this.closed = new Promise((resolve) => {
      connection.open({
        onFrame: (frame) => {
          this.frames.push(frame);
          this.received.push(JSON.parse(Buffer.from(frame).toString("utf8")) as Message);
          this.#tell();
        },
        onDrain() {},
        onClose: (reason) => {
          this.#end = reason;
          this.#tell();
          resolve(reason);
        },
      });
    });
  }

  /** Sends bytes as they are, and everything else as JSON. */
  send(what: unknown): void {
    this.#connection.send(what instanceof Uint8Array ? what : Buffer.from(JSON.stringify(what)));
  }

  close(): void {
    this.#connection.close({ reason: "the script is over", redial: "never" });
  }

  /** The next message of this type; those in between are passed over. Rejects when the session ends before. */
  async next<T extends Message["t"]>(type: T): Promise<MessageOf<T>> {
    for (;;) {
      while (this.#read < this.received.length) {
        const message = this.received[this.#read++]!;
        if (message.t === type) return message as MessageOf<T>;
      }
      if (this.#end !== null) throw new Error(`no "${type}" came: ${this.#end.reason} ${JSON.stringify(this.bye)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** How the connection ended; null while it lasts. */
  get end(): CloseReason | null {
    return this.#end;
  }

  /** Why the other side ended the session. */
  get bye(): MessageOf<"bye"> | undefined {
    return this.received.find((message) => message.t === "bye") as MessageOf<"bye"> | undefined;
  }

  /** Sends the challenge; resolves with that of the other side. */
  async challenge(said: Partial<MessageOf<"challenge">> = {}): Promise<void> {
    const { library = TEST_LIBRARY } = this.#options;
    this.#nonce = said.nonce ?? NONCE;
    this.send({
      t: "challenge",
      version: 1,
      library,
      method: this.#authenticator.method,
      nonce: this.#nonce,
      ...said,
    });
    const theirs = await this.next("challenge");
    this.#theirNonce = theirs.nonce;
  }

  /** Sends a true proof. */
  async prove(): Promise<void> {
    const { library = TEST_LIBRARY } = this.#options;
    const dialled = this.#connection.dialled;
    const nonces = dialled ? [this.#nonce, this.#theirNonce] : [this.#theirNonce, this.#nonce];
    const transcript = JSON.stringify(["tidemark", 1, library, dialled ? "dialled" : "accepted", ...nonces]);
    const proof = await this.#authenticator.prove(Buffer.from(transcript));
    this.send({ t: "proof", proof: Buffer.from(proof).toString("base64") });
  }

  /** Sends a hello; resolves with that of the other side. */
  async hello(said: Partial<Hello> & Record<string, unknown> = {}): Promise<MessageOf<"hello">> {
    const theirs = this.next("hello");
    theirs.catch(() => {}); // Awaited below; a bad hello may end the session before.
    this.sayHello(said);
    return theirs;
  }

  /** Sends a hello. */
  sayHello(said: Partial<Hello> & Record<string, unknown> = {}): void {
    const { address, now } = this.#options;
    this.send({
      t: "hello",
      deviceId: address,
      name: address,
      origin: null,
      now: now(),
      ready: true,
      members: [],
      removals: [],
      vector: {},
      floor: 0,
      logId: "scripted-log",
      token: 1,
      schema: {},
      ...said,
    });
  }

  /** The whole introduction. */
  async introduce(hello: Partial<Hello> = {}): Promise<MessageOf<"hello">> {
    await this.challenge();
    await this.prove();
    return await this.hello(hello);
  }

  /** Asks to become a member. */
  async join(said: Partial<MessageOf<"join">> = {}): Promise<MessageOf<"joined">> {
    const { address } = this.#options;
    const origin = `origin-of-${address}`;
    this.send({ t: "join", deviceId: address, name: address, origin, replaces: null, ...said });
    return await this.next("joined");
  }

  get #authenticator(): Authenticator {
    return this.#options.authenticator ?? sharedSecretAuthenticator({ secret: TEST_SECRET });
  }

  #nonce = NONCE;
  #theirNonce = "";

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

const NONCE = Buffer.alloc(32, 7).toString("base64");
