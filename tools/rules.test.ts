import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

// The table in docs/reliability.md names, for each rule of the protocol, where it is in the code and which tests fail
// without it. A test that has been renamed or removed would leave a promise that nobody keeps.

const CORE = new URL("../core/src/", import.meta.url);
const text = readFileSync(new URL("../docs/reliability.md", import.meta.url), "utf8");
const section = text.slice(text.indexOf("## The rules and the tests"), text.indexOf("## What is not covered"));
const rows = [...section.matchAll(/^\| (?!rule |-)(.+?) +\| (.+?) +\| (.+?) +\|$/gm)].map(
  ([, rule, places, tests]) => [rule!, places!, tests!] as const,
);

it("finds the table", () => {
  expect(rows.length).toBeGreaterThan(25);
});

it.each(rows)("finds the code and the tests of: %s", (_, places, tests) => {
  const files = [...places.matchAll(/`([^`]+)`/g)].map(([, file]) => file!);
  expect(files.filter((file) => !existsSync(new URL(file, CORE)))).toEqual([]);
  const named = [...tests.matchAll(/`([^`]+)`: "([^"]+)"/g)].map(([, file, title]) => [file!, title!] as const);
  expect(named.length).toBeGreaterThan(0);
  const missing = named.filter(([file, title]) => !readFileSync(new URL(file, CORE), "utf8").includes(`"${title}"`));
  expect(missing).toEqual([]);
});
