import type { AnyPlugin, StandardSchema } from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { pluginOf } from "../testing/kernel-fixture.test-support.js";
import { resolveConfig } from "./resolve-config.js";
import type { ResolvedSettings } from "./resolved-settings.js";
import type { PluginSetting } from "./settings.js";

const FILE = "/etc/tidemark.json";

const server = pluginOf({
  id: "server",
  configuration: z.object({
    port: z.number().int().default(4711),
    hosts: z.array(z.string()).default([]),
    tls: z.object({ cert: z.string(), key: z.string() }).optional(),
  }),
});
const plain = pluginOf({ id: "plain" });

function resolve({
  plugins = [server, plain],
  said = {},
  overlay,
  env = {},
}: {
  readonly plugins?: readonly AnyPlugin[];
  readonly said?: Readonly<Record<string, PluginSetting>>;
  /** The text of the file; an object is written as JSON; a string is the text itself. */
  readonly overlay?: object | string;
  readonly env?: Readonly<Record<string, string>>;
}): Promise<ResolvedSettings> {
  return resolveConfig({
    settings: {
      library: { id: "library", secret: "0123456789abcdef", role: "found" },
      device: { id: "device", name: "Device" },
      plugins: said,
      overlayFile: FILE,
    },
    plugins,
    env,
    async readFile(path) {
      expect(path).toBe(FILE);
      if (overlay === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" });
      return typeof overlay === "string" ? overlay : JSON.stringify(overlay);
    },
  });
}

describe("whether a plugin is on", () => {
  it("is yes for one that nobody mentions, and otherwise as it was said last; who said it is remembered", async () => {
    const on = async (given: Parameters<typeof resolve>[0]) => {
      const { enabled, enabledBy } = (await resolve(given)).plugins.get("plain")!;
      return [enabled, enabledBy];
    };
    expect(await on({})).toEqual([true, "default"]);
    expect(await on({ said: { plain: true } })).toEqual([true, "config"]);
    expect(await on({ said: { plain: { onActivationFailure: "continue" } } })).toEqual([true, "default"]);
    expect(await on({ said: { plain: false } })).toEqual([false, "config"]);
    expect(await on({ said: { plain: false }, overlay: { plugins: { plain: { enabled: true } } } })).toEqual([
      true,
      "overlay",
    ]);
    expect(await on({ said: { plain: true }, overlay: { plugins: { plain: false } } })).toEqual([false, "overlay"]);
    expect(await on({ overlay: {} })).toEqual([true, "default"]);
    expect(
      await on({ overlay: { plugins: { plain: true } }, env: { TIDEMARK_PLUGINS_DISABLE: " server, plain ," } }),
    ).toEqual([false, "env"]);
  });

  it("does not change its settings when another layer turns it on", async () => {
    const { plugins } = await resolve({
      said: { server: { enabled: false, settings: { port: 1 } } },
      overlay: { plugins: { server: true } },
    });
    expect(plugins.get("server")).toEqual({
      id: "server",
      enabled: true,
      enabledBy: "overlay",
      onActivationFailure: "abort",
      settings: { port: 1, hosts: [] },
    });
  });
});

describe("the order of plugins", () => {
  it("is that of the settings, then that in which they were passed", async () => {
    const plugins = ["a", "b", "c"].map((id) => pluginOf({ id }));
    const resolved = await resolve({ plugins, said: { c: true } });
    expect([...resolved.plugins.keys()]).toEqual(["c", "a", "b"]);
  });
});

describe("a plugin's settings", () => {
  it("get the defaults of its schema, also when nothing was said", async () => {
    expect((await resolve({})).plugins.get("server")?.settings).toEqual({ port: 4711, hosts: [] });
    expect((await resolve({})).plugins.get("plain")?.settings).toBeUndefined();
  });

  it("are laid over each other key by key; lists are replaced", async () => {
    const { plugins } = await resolve({
      said: { server: { settings: { port: 1, hosts: ["a", "b"], tls: { cert: "c", key: "k" } } } },
      overlay: { plugins: { server: { settings: { hosts: ["z"], tls: { key: "other" } } } } },
    });
    expect(plugins.get("server")?.settings).toEqual({ port: 1, hosts: ["z"], tls: { cert: "c", key: "other" } });
  });

  it("may be judged asynchronously", async () => {
    const configuration = z.object({ port: z.number().refine(async (port) => port > 1_000, "is taken") });
    const plugins = [pluginOf({ id: "late", configuration })];
    const run = (port: number) => resolve({ plugins, said: { late: { settings: { port } } } });
    expect((await run(2_000)).plugins.get("late")?.settings).toEqual({ port: 2_000 });
    await expect(run(80)).rejects.toMatchObject({ why: '"plugins.late.settings.port" is not valid: is taken' });
  });

  it.each([
    ["a schema that would drop it", server],
    ["a strict schema", pluginOf({ id: "server", configuration: z.strictObject({ port: z.number().default(1) }) })],
    [
      "a schema that can't say its keys, by what it leaves",
      pluginOf({ id: "server", configuration: withoutJsonSchema(z.object({ port: z.number().default(1) })) }),
    ],
    [
      "a schema of something that JSON can't say",
      pluginOf({ id: "server", configuration: z.object({ port: z.number().default(1), since: z.date().optional() }) }),
    ],
  ])("with an unknown key name the nearest: %s", async (_, plugin) => {
    await expect(resolve({ plugins: [plugin], said: { server: { settings: { prot: 1 } } } })).rejects.toMatchObject({
      code: "TIDEMARK_CONFIG_UNKNOWN_KEY",
      why: '"plugins.server.settings.prot" is not a known setting (did you mean "port"?)',
    });
  });

  it("are looked into for unknown keys at any depth, and not where any key is allowed", async () => {
    const tls = { cert: "c", key: "k", keys: 1 };
    await expect(resolve({ said: { server: { settings: { tls } } } })).rejects.toMatchObject({
      details: { problems: [{ path: "plugins.server.settings.tls.keys", nearest: "key" }] },
    });
    const open = pluginOf({ id: "open", configuration: z.looseObject({ headers: z.record(z.string(), z.string()) }) });
    const settings = { headers: { any: "thing" }, more: 1 };
    expect((await resolve({ plugins: [open], said: { open: { settings } } })).plugins.get("open")?.settings).toEqual(
      settings,
    );
  });

  it("with invalid values name all of them", async () => {
    await expect(resolve({ said: { server: { settings: { port: "x", hosts: [1] } } } })).rejects.toMatchObject({
      code: "TIDEMARK_CONFIG_INVALID_VALUE",
      details: { problems: [{ path: "plugins.server.settings.port" }, { path: "plugins.server.settings.hosts.0" }] },
    });
  });

  it("are refused for a plugin that has none", async () => {
    await expect(resolve({ said: { plain: { settings: { port: 1 } } } })).rejects.toMatchObject({
      why: '"plugins.plain.settings" is not valid: the plugin has no settings',
    });
    await expect(resolve({ said: { plain: { settings: {} } } })).resolves.toBeDefined();
  });

  it("are not looked at while the plugin is off", async () => {
    const { plugins } = await resolve({
      said: { server: { settings: { prot: 1 } } },
      env: { TIDEMARK_PLUGINS_DISABLE: "server" },
    });
    expect(plugins.get("server")).toMatchObject({ enabled: false, settings: undefined });
  });

  it("say so when the schema itself throws", async () => {
    const configuration: StandardSchema = {
      "~standard": {
        version: 1,
        vendor: "broken",
        validate() {
          throw new Error("oh");
        },
      },
    };
    await expect(resolve({ plugins: [pluginOf({ id: "server", configuration })] })).rejects.toMatchObject({
      why: expect.stringContaining("the plugin's schema has thrown: Error: oh"),
    });
  });
});

describe("an unknown plugin", () => {
  it.each([
    ["The settings", { said: { sever: true } }],
    [`The overlay file "${FILE}"`, { overlay: { plugins: { sever: false } } }],
    ["The environment variable TIDEMARK_PLUGINS_DISABLE", { env: { TIDEMARK_PLUGINS_DISABLE: "sever" } }],
  ])("is an error that says where it is named and which was meant: %s", async (source, given) => {
    await expect(resolve(given)).rejects.toMatchObject({
      code: "TIDEMARK_CONFIG_UNKNOWN_PLUGIN",
      what: `${source} can't be used`,
      why: 'it names the plugin "sever", which is not installed',
      advice: expect.stringMatching(/^Did you mean "server"\? Installed are "server", "plain"/),
    });
  });
});

describe("the overlay file", () => {
  it("may be missing, and may begin with a byte order mark", async () => {
    await expect(resolve({})).resolves.toBeDefined();
    const { plugins } = await resolve({ overlay: '\uFEFF{ "plugins": { "plain": false } }' });
    expect(plugins.get("plain")?.enabled).toBe(false);
  });

  it("is named with the position when it is not JSON", async () => {
    await expect(resolve({ overlay: '{\n  "plugins": {,}\n}' })).rejects.toMatchObject({
      code: "TIDEMARK_CONFIG_OVERLAY_NOT_JSON",
      what: `The overlay file "${FILE}" can't be used`,
      why: "it is not valid JSON at line 2, column 15",
    });
  });

  it.each([
    [{ plugin: {} }, "TIDEMARK_CONFIG_UNKNOWN_KEY", '"plugin" is not a known setting (did you mean "plugins"?)'],
    [
      { plugins: { plain: { enable: true } } },
      "TIDEMARK_CONFIG_UNKNOWN_KEY",
      '"plugins.plain.enable" is not a known setting (did you mean "enabled"?)',
    ],
    [
      { plugins: { plain: "off" } },
      "TIDEMARK_CONFIG_INVALID_VALUE",
      '"plugins.plain" is not valid: Invalid input: expected true, false or an object',
    ],
    [[], "TIDEMARK_CONFIG_INVALID_VALUE", expect.stringContaining("expected object")],
  ])("is refused when it says something else: %j", async (overlay, code, why) => {
    await expect(resolve({ overlay })).rejects.toMatchObject({ code, why });
  });

  it("is refused when it can't be read", async () => {
    const unreadable = resolveConfig({
      settings: {
        library: { id: "library", secret: "0123456789abcdef", role: "found" },
        device: { id: "device", name: "Device" },
        overlayFile: FILE,
      },
      plugins: [],
      env: {},
      readFile: async () => {
        throw Object.assign(new Error("permission denied"), { code: "EACCES" });
      },
    });
    await expect(unreadable).rejects.toMatchObject({
      code: "TIDEMARK_CONFIG_OVERLAY_UNREADABLE",
      why: "permission denied",
      cause: { code: "EACCES" },
    });
  });

  it("can't reach a prototype by its keys", async () => {
    const open = pluginOf({ id: "open", configuration: z.looseObject({}) });
    await resolve({
      plugins: [open],
      said: { open: { settings: { nested: {} } } },
      overlay: '{"plugins":{"open":{"settings":{"nested":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}}}}}',
    }).catch(() => {});
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe("the environment", () => {
  it("sets the size of the pool over the settings", async () => {
    expect((await resolve({ env: { TIDEMARK_DB_POOL_SIZE: "12" } })).pool.size).toBe(12);
    expect((await resolve({ env: { TIDEMARK_DB_POOL_SIZE: "" } })).pool.size).toBe(30);
  });

  it.each(["1", "1001", "-5", "3.5", "many", "0x10"])("is refused when the size of the pool is %s", async (size) => {
    await expect(resolve({ env: { TIDEMARK_DB_POOL_SIZE: size } })).rejects.toMatchObject({
      code: "TIDEMARK_CONFIG_INVALID_ENV",
      why: `"${size}" is not a whole number from 2 to 1,000`,
      details: { name: "TIDEMARK_DB_POOL_SIZE" },
    });
  });
});

/** A schema of a library that knows Standard Schema and nothing more. */
function withoutJsonSchema({ "~standard": { version, vendor, validate } }: StandardSchema): StandardSchema {
  return { "~standard": { version, vendor, validate } };
}
