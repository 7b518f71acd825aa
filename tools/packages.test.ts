import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dirname, normalize } from "node:path/posix";
import { describe, expect, it } from "vitest";

/**
 * What `npm pack` puts into each package: the modules that can be reached from what it exports, with their sources, and
 * no leftovers. That the packages work once they are installed, `npm run third-party` shows.
 */
const root = join(import.meta.dirname, "..");
const read = (...path: readonly string[]) => readFileSync(join(root, ...path), "utf8");

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const folders = ["plugin-api", "core", ...readdirSync(join(root, "plugins")).map((name) => `plugins/${name}`)].filter(
  (folder) => existsSync(join(root, folder, "src")),
);

/** The modules of a package, without their endings, that lead from its exports to anything, types included. */
function reachable(folder: string, manifest: Manifest): ReadonlySet<string> {
  const found = new Set<string>();
  const queue = Object.values(manifest.exports).map((conditions) => conditions["tidemark-source"]!);
  for (const path of queue) {
    const source = normalize(path);
    const name = source.replace(/^src\//, "").replace(/\.ts$/, "");
    if (found.has(name)) continue;
    found.add(name);
    for (const [, target] of read(folder, source).matchAll(/(?:from|import\(|import|URL\() ?"(\.[^"]+)\.js"/g)) {
      queue.push(`${dirname(source)}/${target}.ts`);
    }
  }
  return found;
}

function sourceOf(built: string): string {
  return built.replace(/^dist\/(.*?)\.(js|d\.ts)(\.map)?$/, "src/$1.ts");
}

describe.each(folders)("the package of %s", (folder) => {
  const manifest = JSON.parse(read(folder, "package.json")) as Manifest;
  // Makes nothing: the files of `dist` are those of the last build.
  const { stdout } = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: join(root, folder),
    encoding: "utf8",
  });
  const packed = (JSON.parse(stdout) as { files: { path: string }[] }[])
    .flatMap(({ files }) => files.map(({ path }) => path))
    // A module that was removed or renamed stays in `dist` until somebody deletes it; a release is built in a clean clone.
    .filter((path) => !path.startsWith("dist/") || existsSync(join(root, folder, sourceOf(path))));

  it("holds the modules that its exports lead to, their sources, and nothing else", () => {
    const expected = [...reachable(folder, manifest)].flatMap((name) => [
      `src/${name}.ts`,
      ...["js", "js.map", "d.ts", "d.ts.map"].map((ending) => `dist/${name}.${ending}`),
    ]);
    expect([...packed].sort()).toEqual([...expected, "LICENSE", "README.md", "package.json"].sort());
  });

  it("holds every file that its exports name, the types before what is run", () => {
    for (const conditions of Object.values(manifest.exports)) {
      expect(Object.keys(conditions)).toEqual(["tidemark-source", "types", "default"]);
      for (const path of Object.values(conditions)) expect(packed).toContain(path.replace(/^\.\//, ""));
    }
  });

  it("is under the licence of the repository", () => {
    expect(read(folder, "LICENSE")).toBe(read("LICENSE"));
  });
});
