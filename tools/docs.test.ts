import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

/** The documents keep pace with the code: every error code is explained, every example compiles, every link leads on. */
const root = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

function filesOf(folder: string, fits: (name: string) => boolean): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ["node_modules", "dist", ".git"].includes(entry.name) ? [] : filesOf(path, fits);
    return fits(entry.name) ? [path] : [];
  });
}

const documents = filesOf(".", (name) => name.endsWith(".md") && !name.endsWith(".api.md"));

describe("error codes", () => {
  const sources = ["plugin-api/src", "core/src", "plugins"].flatMap((folder) =>
    filesOf(folder, (name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !name.endsWith(".test-support.ts")),
  );
  // The test kit's own are not met by users.
  const product = sources.filter((path) => !path.startsWith("core/src/testing/"));
  const codes = new Set(
    product.flatMap((path) =>
      [...read(path).matchAll(/code: ?[^,\n]*?"(TIDEMARK_[A-Z0-9_]+)"/g)].map((match) => match[1]!),
    ),
  );
  const both = product.flatMap((path) =>
    [...read(path).matchAll(/\? "(TIDEMARK_[A-Z0-9_]+)" : "(TIDEMARK_[A-Z0-9_]+)"/g)].flatMap((match) => [
      match[1]!,
      match[2]!,
    ]),
  );
  for (const code of both) codes.add(code);
  const explained = new Set(
    [...read("docs/troubleshooting.md").matchAll(/^- (.*?):/gm)].flatMap(([, names]) =>
      [...names!.matchAll(/`(TIDEMARK_[A-Z0-9_]+)`/g)].map((match) => match[1]!),
    ),
  );

  it("are all explained in docs/troubleshooting.md", () => {
    expect(codes.size).toBeGreaterThan(100);
    expect([...codes].filter((code) => !explained.has(code))).toEqual([]);
  });

  it("that are explained all exist", () => {
    expect([...explained].filter((code) => !codes.has(code))).toEqual([]);
  });
});

describe("links", () => {
  const anchorOf = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");

  it.each(documents)("in %s lead somewhere", (path) => {
    const broken = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1]!)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [file, anchor] = target.split("#") as [string, string?];
        const to = file === "" ? path : relative(root, join(root, dirname(path), file));
        if (!existsSync(join(root, to))) return true;
        if (anchor === undefined) return false;
        const headings = [...read(to).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!));
        return !headings.includes(anchor);
      });
    expect(broken).toEqual([]);
  });
});

describe("examples", () => {
  // Against the built packages, as users have them: build first. Inside node_modules, so that packages resolve and nothing
  // else in the repository sees the files.
  const scratch = join(root, `node_modules/.tidemark-docs-${process.pid}`);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** Blocks marked `ts` are whole modules; `ts ignore` marks those that show only a part. */
  const blocks = documents.flatMap((path) =>
    [...read(path).matchAll(/^```ts\n(.*?)^```/gms)].map((match, index) => ({ path, index, code: match[1]! })),
  );

  const compile = (name: string, options: object) => {
    const folder = join(scratch, name);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: join(root, "tsconfig.base.json"),
        compilerOptions: {
          composite: false,
          declaration: false,
          declarationMap: false,
          sourceMap: false,
          noUnusedLocals: false,
          noUnusedParameters: false,
          typeRoots: [join(root, "node_modules/@types")],
          ...options,
        },
        include: ["."],
      }),
    );
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    return spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder], {
      encoding: "utf8",
    });
  };

  it("compile as they stand", () => {
    expect(blocks.length).toBeGreaterThan(5);
    mkdirSync(join(scratch, "all"), { recursive: true });
    const names = new Map<string, string>();
    for (const { path, index, code } of blocks) {
      const name = `${path.replaceAll(/[^a-z]/gi, "-")}-${index}.ts`;
      names.set(name, `${path}, example ${index + 1}`);
      writeFileSync(join(scratch, "all", name), `${code}export {};\n`);
    }
    const { stdout, status } = compile("all", { noEmit: true });
    let text = stdout;
    for (const [name, where] of names) text = text.replaceAll(name, `${name} (${where})`);
    expect(text).toBe("");
    expect(status).toBe(0);
  });

  it("run, as far as the first one of the README is concerned", () => {
    const folder = join(scratch, "first");
    mkdirSync(folder, { recursive: true });
    const { code } = blocks.find(({ path }) => path === "README.md")!;
    const end = `
await dataSource.getRepository(Note).save(Object.assign(new Note(), { text: "hello" }));
console.log((await tidemark.digest("Note")).rows, tidemark.report().transports[0]);
await tidemark.stop();
`;
    writeFileSync(join(folder, "example.ts"), code.replace("4711", "0") + end);
    expect(compile("first", {}).stdout).toBe("");
    const { stdout, stderr } = spawnSync(process.execPath, ["example.js"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NOTES_SECRET: "sixteen letters or more" },
    });
    expect(stderr).toBe("");
    expect(stdout).toBe("1 websocket\n");
  });
});
