// Puts the newest result of the benchmark (bench/results/<date>.json, written by `npm run bench -- --json <file>`) into
// docs/performance.md as a table. `node tools/performance-table.mjs` fails when the table is another one; with `--write` it
// brings it up to date.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "..");
const page = join(root, "docs/performance.md");
const BEGIN = "<!-- the table: node tools/performance-table.mjs --write -->";
const END = "<!-- the end of the table -->";

/** The page as it has to be. */
export function withTable(text, { file, results }) {
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`docs/performance.md has no place for the table: ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n\n${render(file, results)}\n\n${END}${after}`;
}

/** The newest committed result; their names begin with the date. */
export function newestResult() {
  const folder = join(root, "bench/results");
  const file = readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .at(-1);
  return { file, results: JSON.parse(readFileSync(join(folder, file), "utf8")) };
}

function render(file, { date, machine, cases }) {
  const { cpu, cores, memoryGiB, platform, node, sqlite } = machine;
  const rows = Object.entries(cases).flatMap(([name, { parts }]) =>
    Object.entries(parts).map(([part, it]) => [
      Object.keys(parts).length === 1 ? `\`${name}\`` : `\`${name}\`: ${part}`,
      `${number(it.value)} ${it.unit}`,
      `${number(it.baseline)} ${it.unit}`,
      number(it.ratio),
      it.target,
      it.met ? "yes" : "**no**",
    ]),
  );
  const head = ["name", "value", "baseline", "ratio", "target", "met"];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`;
  const table = [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)];
  const about = `Measured on ${date.slice(0, 10)} (${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}, Node ${node}, SQLite ${sqlite}); [every run](../bench/results/${file}).`;
  return `${about}\n\n${table.join("\n")}`;
}

/** Three digits that matter, as on the terminal. */
function number(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const text = readFileSync(page, "utf8");
  const right = withTable(text, newestResult());
  if (process.argv.includes("--write")) writeFileSync(page, right);
  else if (text !== right) {
    process.stderr.write(
      "docs/performance.md has another table than the newest result; --write brings it up to date\n",
    );
    process.exitCode = 1;
  }
}
