// Writes down the public API of each package as text (docs/api/*.api.md), so that a change of it shows in review.
// `npm run api` fails when a report is out of date or a public symbol has no documentation; `npm run api -- --write`
// brings the reports up to date. Reads the built declarations: build first.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";

const root = join(import.meta.dirname, "..");
const write = process.argv.includes("--write");

const entries = [
  { name: "plugin-api", folder: "plugin-api", declarations: "dist/index.d.ts" },
  { name: "core", folder: "core", declarations: "dist/index.d.ts" },
  { name: "core-testing", folder: "core", declarations: "dist/testing/index.d.ts" },
  ...readdirSync(join(root, "plugins")).map((plugin) => ({
    name: `plugin-${plugin}`,
    folder: `plugins/${plugin}`,
    declarations: "dist/index.d.ts",
  })),
];

/** An exported symbol, as a report marks it. Members of documented types may speak for themselves. */
const UNDOCUMENTED = /^\/\/ @\w+ \(undocumented\)\nexport (.*?)[;{=<(]/gm;

mkdirSync(join(root, "docs/api"), { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), "tidemark-api-"));
let failed = false;
try {
  for (const { name, folder, declarations } of entries) {
    const config = ExtractorConfig.prepare({
      configObject: configOf({ name, folder: join(root, folder), declarations }),
      configObjectFullPath: undefined,
      packageJsonFullPath: join(root, folder, "package.json"),
    });
    const problems = [];
    const result = Extractor.invoke(config, {
      localBuild: write,
      messageCallback: (message) => {
        if (message.messageId.startsWith("console-api-report")) {
          // Said below, in our own words.
        } else if (message.logLevel === ExtractorLogLevel.Error || message.logLevel === ExtractorLogLevel.Warning) {
          problems.push(message.text);
        }
        message.handled = true;
      },
    });
    for (const [, symbol] of readFileSync(join(scratch, `${name}.api.md`), "utf8").matchAll(UNDOCUMENTED)) {
      problems.push(`${symbol} has no doc comment`);
    }
    if (result.apiReportChanged && !write) problems.push("the API is another one than the report says");
    say(
      `${name}: ${result.apiReportChanged && write ? "written" : problems.length === 0 ? "as reported" : "not as it should be"}`,
    );
    for (const problem of problems) say(`  ${problem}`);
    failed ||= problems.length > 0;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
if (failed) {
  say("If a change of the API is meant, run `npm run api -- --write` and commit docs/api.");
  process.exitCode = 1;
}

function configOf({ name, folder, declarations }) {
  return {
    projectFolder: folder,
    newlineKind: "lf",
    mainEntryPointFilePath: join(folder, declarations),
    apiReport: {
      enabled: true,
      reportFileName: `${name}.api.md`,
      reportFolder: join(root, "docs/api"),
      reportTempFolder: scratch,
    },
    docModel: { enabled: false },
    dtsRollup: { enabled: false },
    tsdocMetadata: { enabled: false },
    // api-extractor brings its own TypeScript, which reads these declarations like any other program.
    compiler: {
      overrideTsconfig: {
        compilerOptions: {
          target: "ES2022",
          lib: ["ES2023", "ESNext.Disposable"],
          types: ["node"],
          typeRoots: [join(root, "node_modules/@types")],
          module: "NodeNext",
          moduleResolution: "NodeNext",
          strict: true,
          skipLibCheck: true,
          experimentalDecorators: true,
        },
        include: ["dist"],
      },
    },
    messages: {
      compilerMessageReporting: { default: { logLevel: "warning" } },
      extractorMessageReporting: {
        default: { logLevel: "warning" },
        // Releases are told apart by version, not by tags.
        "ae-missing-release-tag": { logLevel: "none" },
        // Types of what an exported function takes may stay unnamed.
        "ae-forgotten-export": { logLevel: "none" },
        "ae-unresolved-link": { logLevel: "none" },
        "ae-undocumented": { logLevel: "none" },
      },
      // Examples in comments hold code, whose braces TSDoc takes for tags.
      tsdocMessageReporting: { default: { logLevel: "none" } },
    },
  };
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
