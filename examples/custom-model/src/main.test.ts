import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";

/** The script as a person runs it: the built one, in a process of its own. */
const temporary = mkdtempSync(join(tmpdir(), "tidemark-notes-test-"));
afterAll(() => rmSync(temporary, { recursive: true }));

function notes(env: Readonly<Record<string, string>>) {
  const { FORCE_COLOR: _, ...inherited } = process.env;
  return spawnSync(process.execPath, [join(import.meta.dirname, "../dist/main.js")], {
    cwd: temporary,
    encoding: "utf8",
    env: { ...inherited, TMPDIR: temporary, ...env },
  });
}

it("tells what happened without colours where there is no terminal, exits with 0, and leaves nothing behind", () => {
  const { stdout, stderr, status } = notes({});
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^The laptop founds the library.*\nThe phone joins.*\nThe phone goes offline/);
  expect(stdout).toMatch(/\nIn step: both devices hold exactly the same records\.\n$/);
  expect(stdout).not.toContain("\u001b");
  expect(status).toBe(0);
  expect(readdirSync(temporary)).toEqual([]);
});

it("exits with 1 and says why when it fails", () => {
  const { stdout, status } = notes({ TIDEMARK_PLUGINS_DISABLE: "websocket" });
  expect(stdout).toMatch(/The plugin websocket is turned off/);
  expect(status).toBe(1);
  expect(readdirSync(temporary)).toEqual([]);
});
