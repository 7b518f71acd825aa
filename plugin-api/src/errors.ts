/**
 * The base of every error that Tidemark throws or reports. It says what failed, why, and what to do about it, and it
 * carries a `code` that stays the same across releases: test for the code, never for the message and never with
 * `instanceof`, because two copies of a package may be loaded.
 */
export class TidemarkError extends Error {
  /** Marks an error of this family across package copies; see {@link isTidemarkError}. */
  readonly $$type = "tidemark.error" as const;
  /** A stable, upper-case identifier such as `TIDEMARK_CONFIG_UNKNOWN_PLUGIN`. */
  readonly code: string;
  /** What failed, in plain words, without the reason. */
  readonly what: string;
  /** Why it failed. */
  readonly why: string;
  /** What the reader can do. */
  readonly advice: string;
  /** Facts for programs: ids, keys, limits. Never secrets. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor({ code, what, why, advice, details = {}, cause }: TidemarkErrorArguments) {
    super(`${what}: ${why}. ${advice}`, cause === undefined ? undefined : { cause });
    this.name = "TidemarkError";
    this.code = code;
    this.what = what;
    this.why = why;
    this.advice = advice;
    this.details = details;
  }
}

/** What a {@link TidemarkError} is made of. */
export interface TidemarkErrorArguments {
  readonly code: string;
  readonly what: string;
  readonly why: string;
  readonly advice: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Whether `value` is a Tidemark error, whichever copy of the package made it; with `code`, whether it is that one. */
export function isTidemarkError(value: unknown, code?: string): value is TidemarkError {
  return (
    value instanceof Error &&
    (value as Partial<TidemarkError>).$$type === "tidemark.error" &&
    (code === undefined || (value as TidemarkError).code === code)
  );
}
