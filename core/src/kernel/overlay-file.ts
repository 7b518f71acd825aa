// The JSON file by which operators turn plugins on and off and tune them. It says nothing of anything else.

import { z } from "zod";
import { kernelErrors } from "./errors.js";
import { findJsonError } from "./json-position.js";
import { problemsOf } from "./settings-problems.js";
import { pluginsShape, type WrittenPluginSetting } from "./settings-shape.js";

const overlayShape = z.strictObject({ plugins: pluginsShape.optional() });

/** What the overlay says of each plugin, in its order. Empty when there is no such file. */
export async function readOverlay({
  file,
  readFile,
}: {
  readonly file: string;
  readonly readFile: (path: string) => Promise<string>;
}): Promise<ReadonlyMap<string, WrittenPluginSetting>> {
  let text: string;
  try {
    text = await readFile(file);
  } catch (cause) {
    if ((cause as { readonly code?: unknown } | null)?.code === "ENOENT") return new Map();
    throw kernelErrors.overlayUnreadable({ file, cause });
  }
  const value = parse(file, text);
  const result = overlayShape.safeParse(value);
  const problems = problemsOf({
    schema: overlayShape,
    input: value,
    result: result.success ? { value: result.data } : { issues: result.error.issues },
  });
  if (!result.success) throw kernelErrors.invalidSettings({ source: sourceOf(file), problems });
  return new Map(Object.entries(result.data.plugins ?? {}));
}

/** How errors name the file. */
export function sourceOf(file: string): string {
  return `The overlay file "${file}"`;
}

function parse(file: string, text: string): unknown {
  // Some editors begin a file with a byte order mark, which JSON does not know.
  const marked = text.startsWith("\uFEFF");
  const json = marked ? text.slice(1) : text;
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw kernelErrors.overlayNotJson({ file, ...findJsonError(json), cause });
  }
}
