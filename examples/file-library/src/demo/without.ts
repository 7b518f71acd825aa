import { fileLibraryErrors } from "../errors.js";
import { PLUGIN_NAMES, type PluginName } from "./plugin-names.js";

/** The values of `--without`: names of plugins, or `all`. @throws FILE_LIBRARY_INVALID_ARGUMENT */
export function pluginsWithout(values: readonly string[]): readonly PluginName[] {
  const named = values.map((value) => {
    if (isChoice(value)) return value;
    const isTransport = value === "websocket";
    throw fileLibraryErrors.invalidArgument({
      option: "--without",
      value,
      why: isTransport ? "without a transport the two devices would never meet" : "there is no such plugin here",
      advice: isTransport
        ? `Any of these can be left out: ${CHOICES.join(", ")}`
        : `Did you mean ${nearestOf(value)}? There are ${CHOICES.join(", ")}`,
    });
  });
  return PLUGIN_NAMES.filter((name) => named.includes(name) || named.includes("all"));
}

const CHOICES = [...PLUGIN_NAMES, "all"] as const;

function isChoice(value: string): value is (typeof CHOICES)[number] {
  return CHOICES.some((choice) => choice === value);
}

/** The choice that has most pairs of neighbouring letters in common with what was written. */
function nearestOf(value: string): string {
  const likeness = (choice: string) => {
    const [a, b] = [pairsOf(value), pairsOf(choice)];
    return (2 * [...a].filter((pair) => b.has(pair)).length) / (a.size + b.size);
  };
  return [...CHOICES].sort((a, b) => likeness(b) - likeness(a))[0]!;
}

function pairsOf(word: string): ReadonlySet<string> {
  // With a blank at either end, so that beginnings and ends count.
  const letters = ` ${word.toLowerCase()} `;
  return new Set(Array.from({ length: letters.length - 1 }, (_, index) => letters.slice(index, index + 2)));
}
