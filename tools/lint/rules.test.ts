import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";

/**
 * Proves that the rules on imports, timers, time and chance bite: writes one small file per case into a scratch tree with
 * this repository's biome.json, and lints them all at once.
 */
const root = join(import.meta.dirname, "../..");

const IMPORT = "style/noRestrictedImports";
const GLOBAL = "style/noRestrictedGlobals";
const CONSOLE = "suspicious/noConsole";
const AMBIENT = "plugin";

/** Folder, what is written there, and the rule that it breaks. */
const cases: readonly (readonly [folder: string, code: string, rule: string | null, name?: string])[] = [
  ["plugin-api/src", `import "@tidemark/core";`, IMPORT],
  ["plugin-api/src", `import "zod";`, IMPORT],
  ["plugin-api/src", `import "node:fs";`, IMPORT],
  ["plugin-api/src", `import "../../core/src/index.js";`, IMPORT],
  ["plugin-api/src", `import "./clock.js";`, null],
  ["plugin-api/src", `import "vitest";`, null, "x.test.ts"],

  ["core/src/storage", `import "@tidemark/plugin-websocket";`, IMPORT],
  ["core/src/storage", `import "@tidemark/example-file-library";`, IMPORT],
  ["core/src/storage", `import "../../../plugins/websocket/src/index.js";`, IMPORT],
  ["core/src/storage", `import "tsyringe";`, IMPORT],
  ["core/src/storage", `import "node:timers/promises";`, IMPORT],
  ["core/src/storage", `import "@tidemark/plugin-api";`, null],
  ["core/src/kernel", `import "@tidemark/plugin-websocket";`, IMPORT],
  ["core/src/kernel", `import "tsyringe";`, null],

  ["plugins/websocket/src", `import "@tidemark/core";`, IMPORT],
  ["plugins/websocket/src", `import "@tidemark/core/testing";`, IMPORT],
  ["plugins/websocket/src", `import "../../../core/src/index.js";`, IMPORT],
  ["plugins/websocket/src", `import "tsyringe";`, IMPORT],
  ["plugins/websocket/src", `import "@tidemark/plugin-api";`, null],
  ["plugins/websocket/src", `import "@tidemark/core";`, IMPORT, "x.test.ts"],
  ["plugins/websocket/src", `import "@tidemark/core/testing";`, null, "x.test.ts"],
  ["examples/some-plugin/src", `import "@tidemark/core";`, IMPORT],
  ["examples/file-library/src", `import "tsyringe";`, IMPORT],
  ["examples/file-library/src", `import "@tidemark/core";`, null],
  ["examples/file-library/src", `import "@tidemark/core/dist/kernel/errors.js";`, IMPORT],

  ...["core/src/storage", "plugins/websocket/src", "examples/file-library/src/indexer"].flatMap((folder) => [
    [folder, "setTimeout(() => {}, 1);", GLOBAL] as const,
    [folder, "setInterval(() => {}, 1);", GLOBAL] as const,
    [folder, "setImmediate(() => {});", GLOBAL] as const,
    [folder, "globalThis.setTimeout(() => {}, 1);", AMBIENT] as const,
    [folder, "export const now = Date.now();", AMBIENT] as const,
    [folder, "export const now = new Date();", AMBIENT] as const,
    [folder, "export const clock = { now: Date.now };", AMBIENT] as const,
    [folder, "export const chance = Math.random();", AMBIENT] as const,
    [folder, "export const ms = performance.now();", AMBIENT] as const,
    [folder, `console.log("x");`, CONSOLE] as const,
    [folder, "export const epoch = new Date(0);", null] as const,
  ]),
  ["core/src/storage", "setTimeout(() => {}, Date.now());", null, "x.test.ts"],
  ["core/src/kernel", "setTimeout(() => {}, Date.now());", null, "system-clock.ts"],
  ["core/src/kernel", "export const chance = Math.random();", null, "system-random.ts"],
];

let scratch = "";
const found = new Map<string, string[]>();
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Where the file of a case is; a folder of its own keeps the names free for the rules that go by them. */
function pathOf(index: number): string {
  const [folder, , , name = "x.ts"] = cases[index]!;
  return name === "x.ts" || name === "x.test.ts"
    ? `${folder}/${name.replace("x", `case-${index}`)}`
    : `${folder}/${name}`;
}

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "tidemark-lint-"));
  const config = JSON.parse(readFileSync(join(root, "biome.json"), "utf8")) as Record<string, unknown>;
  delete config.vcs;
  delete config.$schema;
  writeFileSync(join(scratch, "biome.json"), JSON.stringify(config));
  cpSync(join(root, "tools/lint"), join(scratch, "tools/lint"), { recursive: true });
  cases.forEach(([, code], index) => {
    const file = join(scratch, pathOf(index));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${code}\n`);
  });
  const run = spawnSync(
    process.execPath,
    [join(root, "node_modules/@biomejs/biome/bin/biome"), "lint", "--reporter=json", "--max-diagnostics=none", "."],
    { cwd: scratch, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } },
  );
  const report = JSON.parse(run.stdout) as {
    readonly diagnostics: readonly { readonly category: string; readonly location: { readonly path: unknown } }[];
  };
  for (const { category, location } of report.diagnostics) {
    const path = typeof location.path === "string" ? location.path : (location.path as { file: string }).file;
    const rules = found.get(path) ?? [];
    rules.push(category.replace(/^lint\//, ""));
    found.set(path, rules);
  }
});

const checked = new Set<string>([IMPORT, GLOBAL, CONSOLE, AMBIENT]);

it.each(cases.map(([folder, code, rule, name], index) => ({ folder, code, rule, name: name ?? "x.ts", index })))(
  "in $folder/$name, `$code` breaks: $rule",
  ({ index, rule }) => {
    const rules = (found.get(pathOf(index)) ?? []).filter((category) => checked.has(category));
    expect([...new Set(rules)]).toEqual(rule === null ? [] : [rule]);
  },
);
