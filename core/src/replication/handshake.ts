import type { Authenticator } from "@tidemark/plugin-api";
import { readState } from "../storage/log-transaction.js";
import { type Member, outweighs, type RemovalFacts } from "../storage/members.js";
import { isWithinSilence } from "../storage/silences.js";
import { raiseVector, type Vector } from "../storage/vectors.js";
import { ownVector } from "./change-page.js";
import { replicationErrors } from "./errors.js";
import type { LocalLibrary } from "./local-library.js";
import { fromWireVector, toWireVector, wireMembers } from "./membership.js";
import { checkTimes } from "./message-times.js";
import { type Message, type MessageOf, PROTOCOL_VERSION, type WireRemoval } from "./messages.js";
import { loadPeer, updatePeer } from "./peer-store.js";
import { addRemovals, learnRemovals, tellRemovals, wireRemovals } from "./removals.js";
import { giveUpPoisonedOrigin } from "./repair-clock.js";
import { schemaFingerprints } from "./schema-fingerprint.js";

/**
 * The introduction of two ends: same protocol, same library, proof of the right to take part, then who they are and what
 * they have. Nothing of a device's state is told before the other end has proved itself.
 */
export interface Introduction {
  /** Null while it is not a member, and when it is none any more. */
  origin: string | null;
  /** What it said it is, or was. */
  readonly toldOrigin: string | null;
  readonly deviceId: string;
  readonly name: string;
  /** Whether it serves the library at present, as far as is known. */
  ready: boolean;
  /** Whether it has all of it. */
  hasLibrary: boolean;
  readonly logId: string;
  /** How far its clock is ahead of ours, in milliseconds; negative: behind. */
  readonly driftMs: number;
  /** Whether it was told that this device serves the library. */
  readonly toldReady: boolean;
  /** The removals that it was told. */
  readonly removals: readonly WireRemoval[];
}

export interface AuthenticateOptions {
  readonly library: LocalLibrary;
  readonly authenticator: Authenticator;
  readonly dialled: boolean;
  readonly send: (message: Message) => void;
  /** The next message of the peer. */
  readonly next: () => Promise<Message>;
}

const NONCE_BYTES = 32;

export async function authenticate(options: AuthenticateOptions): Promise<Introduction> {
  const { library, authenticator, dialled, send, next } = options;
  const { settings, random } = library.deps;
  const nonce = Buffer.from(random.bytes(NONCE_BYTES)).toString("base64");
  send({
    t: "challenge",
    version: PROTOCOL_VERSION,
    library: settings.library.id,
    method: authenticator.method,
    nonce,
  });
  const theirs = expect(await next(), "challenge");
  if (theirs.version !== PROTOCOL_VERSION) {
    throw replicationErrors.protocolVersion({ own: PROTOCOL_VERSION, peer: theirs.version });
  }
  if (theirs.library !== settings.library.id) {
    throw replicationErrors.otherLibrary({ own: settings.library.id, peer: theirs.library });
  }
  if (theirs.method !== authenticator.method) {
    throw replicationErrors.authenticationMethod({ own: authenticator.method, peer: theirs.method });
  }
  if (Buffer.from(theirs.nonce, "base64").length < 16 || theirs.nonce === nonce) {
    throw replicationErrors.malformed({ reason: "the challenge is no fresh random number" });
  }
  const challenges = dialled ? [nonce, theirs.nonce] : [theirs.nonce, nonce];
  // The role keeps an end from having its own proof played back to it.
  const transcript = (role: "dialled" | "accepted") =>
    Buffer.from(JSON.stringify(["tidemark", PROTOCOL_VERSION, settings.library.id, role, ...challenges]));
  // The peer writes its hello once it has this proof: all that is known of it now it must know of itself.
  const before = knownNow(library);
  const proof = await authenticator.prove(transcript(dialled ? "dialled" : "accepted"));
  send({ t: "proof", proof: Buffer.from(proof).toString("base64") });
  const answer = expect(await next(), "proof");
  const right = await authenticator.verify({
    transcript: transcript(dialled ? "accepted" : "dialled"),
    proof: Buffer.from(answer.proof, "base64"),
  });
  if (!right) throw replicationErrors.wrongSecret();
  return await sayHello(options, before);
}

/** What is known of all members: their session tokens, and how far their changes are here. */
interface KnownBefore {
  readonly tokens: ReadonlyMap<number, number>;
  readonly vector: Vector;
}

function knownNow({ deps: { members, connection } }: LocalLibrary): KnownBefore {
  return {
    tokens: new Map(members.all().map(({ num }) => [num, loadPeer(connection, num).token])),
    vector: ownVector(connection),
  };
}

async function sayHello({ library, send, next }: AuthenticateOptions, before: KnownBefore): Promise<Introduction> {
  const { settings, members, fence, clock, connection, registry, events, logger } = library.deps;
  // The token is stored by both sides before data flows; a device that tells an old one has gone back in time.
  await library.write("session token", ({ db }) => db.prepare("UPDATE tidemark_state SET token = token + 1").run());
  await fence.cover();
  const state = readState(connection);
  const ownMember = () => (state.self === null ? null : members.byNumber(state.self));
  const removals = wireRemovals(members);
  const toldReady = state.ready === 1;
  // What a removed device says it has counts for nobody; times that none would take need not keep it from coming back.
  const most = ownMember()?.removal == null ? Number.POSITIVE_INFINITY : library.maxHlc;
  const vector = toWireVector(ownVector(connection), members);
  for (const origin in vector) vector[origin] = Math.min(vector[origin]!, most);
  send({
    t: "hello",
    deviceId: settings.device.id,
    name: settings.device.name,
    origin: ownMember()?.origin ?? null,
    now: clock.now(),
    ready: toldReady,
    members: wireMembers(members).filter(({ joinHlc }) => joinHlc <= most),
    removals,
    vector,
    floor: Math.min(state.floor, most),
    logId: state.log_id,
    token: state.token,
    schema: schemaFingerprints(registry),
  });
  const hello = expect(await next(), "hello");
  if (hello.deviceId === settings.device.id) throw replicationErrors.sameDevice({ device: hello.deviceId });
  const driftMs = hello.now - clock.now();
  if (Math.abs(driftMs) > settings.clock.maxDriftMs) {
    events.emit("clockDrift", { peer: hello.origin ?? hello.deviceId, driftMs, limitMs: settings.clock.maxDriftMs });
    throw replicationErrors.clockDrift({ driftMs, limitMs: settings.clock.maxDriftMs });
  }
  checkTimes(hello, library.maxHlc);
  // The peer's clock agrees, and nothing that it has is from the future.
  const isToldByMember = hello.origin !== null || members.counted().length === 1;
  if (isToldByMember && (await giveUpPoisonedOrigin(library))) {
    throw replicationErrors.sessionLost({ reason: "this device's clock was far ahead; it introduces itself anew" });
  }
  // Two members of one library both know its founder at least; where they share nobody, each has founded its own.
  const shared = hello.members.some(({ origin }) => {
    const member = members.byOrigin(origin);
    return member !== undefined && (member.joinHlc !== null || member.removal !== null);
  });
  if (state.self !== null && hello.origin !== null && hello.members.length > 0 && !shared) {
    throw replicationErrors.foundedApart({ library: settings.library.id });
  }
  // Before anything that the peer says of itself: it may be the one who has been removed, or this device.
  await learnRemovals(library, hello.removals);
  const own = ownMember();
  const known = schemaFingerprints(registry);
  for (const [model, fingerprint] of Object.entries(hello.schema)) {
    const here = Object.hasOwn(known, model) ? known[model] : undefined;
    if (here !== fingerprint) {
      logger.info("A peer has another version of a model; what is unknown here is kept and relayed", {
        peer: hello.deviceId,
        model,
        known: here !== undefined,
      });
    }
  }
  const peer = hello.origin === null ? undefined : members.byOrigin(hello.origin);
  if (peer !== undefined && peer.deviceId !== hello.deviceId) {
    throw replicationErrors.malformed({ reason: `it says that it is ${peer.origin}, which is another device` });
  }
  let removed = peer?.removal != null;
  if (own !== null) {
    // A removed device, too, may know that this one has gone back in time; of itself it gives nothing away any more. And
    // this one has to know it even if it was removed before: where all have lapsed, it leaves it to the others to go on.
    const here = foundOutHere(library, hello, own);
    // Who has shown it is there to return through, also if this device can't know it as a member.
    if (here !== null) await declareRemoved(library, here, hello.origin ?? own.origin);
    else if (own.removal === null && !removed) {
      const there = foundOutThere({ library, hello, own, before });
      if (there !== null) await declareRemoved(library, there, own.origin);
      removed = there !== null;
    }
  }
  if (peer !== undefined && peer.joinHlc !== null && !removed) {
    await library.write(`hello of ${peer.origin}`, ({ db }) => {
      updatePeer(db, peer.num, { token: Math.max(hello.token, loadPeer(db, peer.num).token) });
      // A vector from the authenticated channel is an acknowledgement.
      raiseVector(db, peer.num, fromWireVector(hello.vector, members));
    });
    await fence.cover();
  }
  return {
    origin: removed ? null : hello.origin,
    toldOrigin: hello.origin,
    deviceId: hello.deviceId,
    name: hello.name,
    ready: hello.ready,
    hasLibrary: hello.ready,
    logId: hello.logId,
    driftMs,
    toldReady,
    removals,
  };
}

/**
 * What a hello gives away of this device, if it is not known yet: whoever has gone back in time has less of itself than
 * others have heard of it.
 */
function foundOutHere({ deps: { connection } }: LocalLibrary, hello: MessageOf<"hello">, own: Member): Found | null {
  if (own.removal !== null && !outweighs({ ...own.removal, kind: "regressed" }, own.removal)) return null;
  const heard = hello.vector[own.origin] ?? 0;
  return heard > readState(connection).hlc || isWithinSilence(connection, heard) ? regressed(own) : null;
}

/**
 * What a hello gives away of the peer. Whose database has gone back in time, tells less of itself than others have of it,
 * or an old session token: every introduction takes a new one, so the same one again comes from a copy. And a member that
 * nobody here will ever hear of has lost its sponsor before.
 */
function foundOutThere({
  library,
  hello,
  own,
  before,
}: {
  readonly library: LocalLibrary;
  readonly hello: MessageOf<"hello">;
  readonly own: Member;
  readonly before: KnownBefore;
}): Found | null {
  const { members, connection } = library.deps;
  if (hello.origin === null) return null;
  const peer = members.byOrigin(hello.origin);
  if (peer !== undefined && peer.joinHlc !== null) {
    const lost = (before.vector.get(peer.num) ?? 0) > (hello.vector[peer.origin] ?? 0);
    return lost || hello.token <= (before.tokens.get(peer.num) ?? 0) ? regressed(peer) : null;
  }
  const told = hello.members.find(({ origin }) => origin === hello.origin);
  const sponsor = told?.sponsor == null ? undefined : members.byOrigin(told.sponsor);
  if (told === undefined || sponsor?.removal == null) return null;
  if (sponsor.joinHlc !== null && sponsor.settledHlc === null) return null;
  // Where neither knows the other, both may come to this: one of them has to stay, and that has to have the library.
  if (readState(connection).ready === 0) return null;
  const knowsThis = hello.members.some(({ origin }) => origin === own.origin);
  if (!knowsThis && hello.ready && own.origin < hello.origin) return null;
  return { origin: told.origin, deviceId: told.deviceId, name: told.name, kind: "orphaned" };
}

type Found = Pick<RemovalFacts, "origin" | "deviceId" | "name" | "kind">;

const regressed = ({ origin, deviceId, name }: Member): Found => ({ origin, deviceId, name, kind: "regressed" });

async function declareRemoved(library: LocalLibrary, found: Found, by: string): Promise<void> {
  const { members, fence, logger } = library.deps;
  const { origin, deviceId, kind } = found;
  logger.warn("A member can't go on as what it was, and has to come back under a new origin", { deviceId, kind });
  const fresh = await library.write(`removal of ${origin}`, (tx) => {
    const { hlc } = tx.tick();
    return addRemovals(tx.db, members, [{ ...found, hlc, by }]);
  });
  await fence.cover();
  tellRemovals(library, fresh);
}

function expect<T extends Message["t"]>(message: Message, type: T): MessageOf<T> {
  if (message.t !== type) throw replicationErrors.malformed({ reason: `a "${message.t}" instead of a "${type}"` });
  return message as MessageOf<T>;
}
