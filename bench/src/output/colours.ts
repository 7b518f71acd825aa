import pico from "picocolors";

type Paint = (text: string) => string;

export interface Colours {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly green: Paint;
  readonly red: Paint;
}

/** Colours for a stream: none where it is not a terminal, or where NO_COLOR is set (see no-color.org). */
export function coloursFor({
  isTerminal,
  env,
}: {
  readonly isTerminal: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}): Colours {
  const { bold, dim, green, red } = pico.createColors(isTerminal && !env.NO_COLOR);
  return { bold, dim, green, red };
}
