import { styleText } from "node:util";

/** How a text is set off, where that is wanted. */
export type Paint = (style: "bold" | "dim" | "green" | "red", text: string) => string;

/** Sets texts off for a stream: not where it is no terminal, and not where NO_COLOR is set (see no-color.org). */
export function paintFor(stream: NodeJS.WritableStream): Paint {
  return (style, text) => styleText(style, text, { stream });
}
