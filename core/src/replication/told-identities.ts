import { replicationErrors } from "./errors.js";

/**
 * The identities that one end of a session has told the other in blocks of a backfill, counted from 1 in the order in which
 * they were told. What refers to one of them names its number, which takes two or three bytes where a uuid takes sixteen.
 * Messages of a session come in the order in which they were sent, so both ends count alike. Identities take memory, so
 * there is a bound, by which both ends abide, and they are kept for one backfill only.
 */
const MOST_IDENTITIES = 2 ** 18;
const MOST_CHARACTERS = 48 * MOST_IDENTITIES;

/** How a block says whether its identities are counted. */
export const NOTE = 1;
/** Those of blocks before this one are forgotten. */
export const NOTE_ANEW = 2;
export type Note = typeof NOTE | typeof NOTE_ANEW;

/** The end that tells. */
export class ToldIdentities {
  readonly #numbers = new Map<string, number>();
  #count = 0;
  #characters = 0;

  /** How a block with these identities is to be marked; null when there is no room for them. */
  markFor(identities: readonly string[]): Note | null {
    if (!fits(this.#count + identities.length, this.#characters + charactersOf(identities))) return null;
    return this.#count === 0 ? NOTE_ANEW : NOTE;
  }

  /** Call when the block is sent, and only then. */
  note(identities: readonly string[]): void {
    for (const identity of identities) {
      this.#count += 1;
      this.#numbers.set(identity, this.#count);
    }
    this.#characters += charactersOf(identities);
  }

  /** 0 for one that has not been told. */
  numberOf(identity: string): number {
    return this.#numbers.get(identity) ?? 0;
  }
}

/** The end that hears. */
export class HeardIdentities {
  #identities: string[] = [];
  #characters = 0;

  /** Throws `TIDEMARK_WIRE_MALFORMED` for more than the other end may tell. */
  note(identities: readonly string[], mark: Note): void {
    if (mark === NOTE_ANEW) this.forget();
    this.#characters += charactersOf(identities);
    if (!fits(this.#identities.length + identities.length, this.#characters)) {
      throw replicationErrors.malformed({ reason: "more identities to be counted than there may be" });
    }
    for (const identity of identities) this.#identities.push(identity);
  }

  /** Throws `TIDEMARK_WIRE_MALFORMED` for a number that no identity has. */
  at(number: number): string {
    const identity = this.#identities[number - 1];
    if (identity === undefined) throw replicationErrors.malformed({ reason: "an identity that was never told" });
    return identity;
  }

  forget(): void {
    this.#identities = [];
    this.#characters = 0;
  }
}

function fits(count: number, characters: number): boolean {
  return count <= MOST_IDENTITIES && characters <= MOST_CHARACTERS;
}

function charactersOf(identities: readonly string[]): number {
  let characters = 0;
  for (const identity of identities) characters += identity.length;
  return characters;
}
