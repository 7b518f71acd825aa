// `npm run third-party`: builds examples/third-party-plugin as an outsider would, in a folder that knows nothing of this
// repository, with the packages as they would be published, and runs its tests. `-- --keep` leaves the folder.
//
// Everything else comes from npm as it is configured, out of its cache where it can. Only better-sqlite3 is not built a
// second time, which takes minutes where there is no ready-made binary: the one that this repository has built is used.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const example = join(root, "examples/third-party-plugin");
/** What an outsider installs of Tidemark, and its folder here. */
const PACKAGES = { "@tidemark/plugin-api": "plugin-api", "@tidemark/core": "core" };
const BINARY = "node_modules/better-sqlite3/build/Release/better_sqlite3.node";
/** A registry that does not answer is no reason to wait for ever. */
const STEP_TIMEOUT_MS = 600_000;

const { keep } = parseArgs({ options: { keep: { type: "boolean", default: false } } }).values;
const home = realpathSync(mkdtempSync(join(tmpdir(), "tidemark-third-party-")));
const away = join(home, "plugin");
try {
  step("builds this repository", () => npm(root, "run", "build"));
  step(`packs ${Object.keys(PACKAGES).join(" and ")}`, () =>
    npm(root, "pack", ...Object.keys(PACKAGES).map((name) => `--workspace=${name}`), `--pack-destination=${home}`),
  );
  step("copies the plugin away from it", () =>
    cpSync(example, away, { recursive: true, filter: (path) => !/[\\/](node_modules|dist)$/.test(path) }),
  );
  step("installs what its package.json names, Tidemark from the packed files", () => {
    const tarballs = Object.entries(PACKAGES).map(([name, folder]) => join(home, tarballOf(name, folder)));
    npm(away, "install", "--ignore-scripts", "--no-package-lock", "--no-save", "--prefer-offline", ...tarballs);
    for (const name of Object.keys(PACKAGES)) assertOwn(join(away, "node_modules", name));
    borrowBinary();
  });
  step("compiles it", () => npm(away, "run", "build"));
  step("runs its tests", () => npm(away, "test"));
  say("The plugin works outside of this repository, with the packages as they would be published.");
} catch (error) {
  say(error.message);
  process.exitCode = 1;
} finally {
  if (keep) say(`It is in ${away}`);
  else rmSync(home, { recursive: true, force: true });
}

/** Says what is done, does it, and says how long it took. */
function step(what, work) {
  const startedMs = performance.now();
  try {
    work();
  } catch (error) {
    throw new Error(`Failed where it ${what}:\n${error.message}`);
  }
  say(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${what}`);
}

function npm(cwd, ...args) {
  const { status, signal, stdout, stderr, error } = spawnSync("npm", args, {
    cwd,
    encoding: "utf8",
    timeout: STEP_TIMEOUT_MS,
    shell: process.platform === "win32",
  });
  if (status === 0) return;
  const why = error?.message ?? (signal === null ? `exit code ${status}` : `ended by ${signal}`);
  throw new Error(`npm ${args[0]}: ${why}\n${stdout}${stderr}`);
}

/** As npm calls the file: the scope is a word like any other. */
function tarballOf(name, folder) {
  const { version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
  return `${name.replace(/^@/, "").replace("/", "-")}-${version}.tgz`;
}

/** A link into this repository would prove nothing. */
function assertOwn(folder) {
  if (!realpathSync(folder).startsWith(`${home}${sep}`)) throw new Error(`${folder} leads out of the folder`);
}

function borrowBinary() {
  const [theirs, ours] = [away, root].map((folder) => {
    const manifest = join(folder, "node_modules/better-sqlite3/package.json");
    return JSON.parse(readFileSync(manifest, "utf8")).version;
  });
  if (theirs !== ours) throw new Error(`the plugin wants better-sqlite3 ${theirs}, this repository has ${ours}`);
  if (!existsSync(join(root, BINARY)))
    throw new Error("this repository has no built better-sqlite3: run `npm ci` first");
  cpSync(join(root, BINARY), join(away, BINARY));
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
