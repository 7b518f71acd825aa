import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AnyPlugin,
  createServiceToken,
  TidemarkError,
  type Transport,
  transports as transportsToken,
} from "@tidemark/plugin-api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeEngine } from "../testing/fake-engine.js";
import { appliedOf, generateBatch } from "../testing/generated-batches.js";
import { pluginOf } from "../testing/kernel-fixture.test-support.js";
import { RecordingLogger } from "../testing/recording-logger.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createTidemarkWith } from "./create-tidemark.js";
import type { TidemarkOptions } from "./options.js";
import type { TidemarkSettings } from "./settings.js";
import type { Tidemark } from "./tidemark.js";

const settings: TidemarkSettings = {
  library: { id: "library", secret: "0123456789abcdef", role: "found" },
  device: { id: "device", name: "Device" },
};
const dataSource = { initialize() {} } as never;

function kernel(options: Partial<TidemarkOptions> = {}): { readonly tidemark: Tidemark; readonly engine: FakeEngine } {
  const engine = new FakeEngine();
  const tidemark = createTidemarkWith(engine.factory)({ dataSource, settings, env: {}, ...options });
  return { tidemark, engine };
}

describe("a plugin that taps all four hooks", () => {
  let folder = "";
  let overlayFile = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tidemark-"));
    overlayFile = join(folder, "overlay.json");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const called: string[] = [];
  const tapper = pluginOf({ id: "tapper" }, ({ hooks }) => {
    hooks.beforeApplyBatch.tap(() => void called.push("beforeApplyBatch"));
    hooks.afterBatch.tap(() => void called.push("afterBatch"));
    hooks.onCatchUpFailure.tap(() => {
      called.push("onCatchUpFailure");
      return { action: "retry", delayMs: 1 };
    });
    hooks.onPoolPressure.tap(() => {
      called.push("onPoolPressure");
      return { pauseMs: 1 };
    });
  });
  const ALL = ["beforeApplyBatch", "afterBatch", "onCatchUpFailure", "onPoolPressure"];

  async function hooksCalled({
    config,
    overlay,
    env,
  }: {
    readonly config?: boolean;
    readonly overlay?: boolean;
    readonly env?: string;
  }): Promise<readonly string[]> {
    called.length = 0;
    if (overlay === undefined) rmSync(overlayFile, { force: true });
    else writeFileSync(overlayFile, JSON.stringify({ plugins: { tapper: overlay } }));
    const { tidemark, engine } = kernel({
      plugins: [tapper],
      settings: { ...settings, overlayFile, ...(config !== undefined && { plugins: { tapper: config } }) },
      env: { TIDEMARK_PLUGINS_DISABLE: env },
    });
    await tidemark.start();
    const { hooks } = engine.deps;
    const batch = generateBatch({ random: new SeededRandom(1), id: 1 });
    await hooks.observeBatch(appliedOf(await hooks.transformBatch(batch)));
    const error = new TidemarkError({ code: "TIDEMARK_X", what: "a", why: "b", advice: "c" });
    const decided = await hooks.decideCatchUp({ peer: "p", phase: "live", failures: 1, error, retryable: true });
    const collected = await hooks.collectPoolAdvice({
      active: 1,
      idle: 0,
      waiting: 1,
      limit: 2,
      longestWaitMs: 1,
      holders: [],
    });
    expect(decided === null).toBe(called.length === 0);
    expect(collected.advisedBy).toEqual(called.length === 0 ? [] : ["tapper"]);
    await tidemark.stop();
    return [...called];
  }

  it("is on when nobody says anything", async () => {
    expect(await hooksCalled({})).toEqual(ALL);
  });

  it("is turned off and on by the config", async () => {
    expect(await hooksCalled({ config: false })).toEqual([]);
    expect(await hooksCalled({ config: true })).toEqual(ALL);
  });

  it("is turned off and on by the overlay file, over the config", async () => {
    expect(await hooksCalled({ config: true, overlay: false })).toEqual([]);
    expect(await hooksCalled({ config: false, overlay: true })).toEqual(ALL);
  });

  it("is turned off by the environment, over both", async () => {
    expect(await hooksCalled({ config: true, overlay: true, env: "tapper" })).toEqual([]);
    expect(await hooksCalled({ config: true, overlay: true, env: "" })).toEqual(ALL);
  });
});

describe("what createTidemark is called with", () => {
  it.each([
    [{ dataSource: undefined as never }, "TIDEMARK_OPTIONS_INVALID"],
    [{ settings: { ...settings, librry: 1 } as never }, "TIDEMARK_CONFIG_UNKNOWN_KEY"],
    [{ settings: undefined as never }, "TIDEMARK_CONFIG_INVALID_VALUE"],
    [{ plugins: [{}] as never }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "Big Name" })] }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "a", version: "" })] }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "a", apiVersion: "one" })] }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "a", dependencies: "b" as never })] }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "a", configuration: {} as never })] }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "a" }, null as never)] }, "TIDEMARK_PLUGIN_INVALID"],
    [{ plugins: [pluginOf({ id: "a" }), pluginOf({ id: "a" })] }, "TIDEMARK_PLUGIN_DOUBLED"],
    [{ entities: [{ entity: "Entry" }] as never }, "TIDEMARK_REGISTRY_OPTION"],
  ] as const)("is refused on the spot when it is wrong (%#)", (options, code) => {
    expect(() => kernel(options as Partial<TidemarkOptions>)).toThrow(expect.objectContaining({ code }));
  });
});

describe("the start", () => {
  it("gives the engine what the plugins have brought, after the application's own", async () => {
    const transport: Transport = { name: "wire", start: async () => {}, stop: async () => {} };
    const shared = { ownership: { kind: "shared" } } as const;
    const { tidemark, engine } = kernel({
      entities: [{ entity: "Entry", ...shared }],
      plugins: [
        pluginOf({ id: "bringer" }, ({ services, entities }) => {
          services.get(transportsToken).register(transport);
          entities.register("Note", shared);
        }),
      ],
    });
    await tidemark.start();
    expect(engine.deps.declarations.map(({ entity }) => entity)).toEqual(["Entry", "Note"]);
    expect(engine.deps.transports).toEqual([transport]);
    expect(engine.deps.settings.pool.size).toBe(30);
    expect(engine.deps.authenticator.method).toBe("shared-secret-hmac-sha256");
    expect(tidemark.report().transports).toEqual(["wire"]);
    await tidemark.stop();
  });

  it("names both when a plugin brings an entity that the application has registered", async () => {
    const shared = { ownership: { kind: "shared" } } as const;
    const { tidemark, engine } = kernel({
      entities: [{ entity: "Entry", ...shared }],
      plugins: [pluginOf({ id: "bringer" }, ({ entities }) => entities.register("Entry", shared))],
    });
    await expect(tidemark.start()).rejects.toMatchObject({
      code: "TIDEMARK_REGISTRY_DOUBLED",
      why: expect.stringContaining('the plugin "bringer"'),
    });
    expect(engine.wasMade).toBe(false);
    expect(tidemark.report().plugins).toMatchObject([{ state: "stopped" }]);
  });

  it("that fails in the engine stops the engine and the plugins, and says why", async () => {
    const released: string[] = [];
    const { tidemark, engine } = kernel({
      plugins: [
        pluginOf({ id: "a" }, (context) => void context.subscriptions.push({ dispose: () => released.push("a") })),
      ],
    });
    engine.behaviour.start = () => {
      throw new Error("the database is locked");
    };
    await expect(tidemark.start()).rejects.toThrow("the database is locked");
    expect(engine.calls).toEqual(["start", "stop"]);
    expect(released).toEqual(["a"]);
    expect(tidemark.report()).toMatchObject({ state: "failed", reason: "the database is locked" });
    await tidemark.stop();
    expect(tidemark.state).toBe("failed");
  });

  it("that fails in a plugin stops those that were active", async () => {
    const { tidemark, engine } = kernel({
      plugins: [
        pluginOf({ id: "good" }),
        pluginOf({ id: "bad" }, () => {
          throw new Error("no");
        }),
        pluginOf({ id: "never" }),
      ],
    });
    await expect(tidemark.start()).rejects.toMatchObject({ code: "TIDEMARK_PLUGIN_ACTIVATION_FAILED" });
    expect(engine.wasMade).toBe(false);
    expect(tidemark.report().plugins.map(({ state }) => state)).toEqual(["stopped", "failed", "registered"]);
  });
});

describe("a kernel", () => {
  const greeter = createServiceToken<{ readonly from: string }>("greeting.greeter");
  const greeting = (from: string): AnyPlugin =>
    pluginOf({ id: "greeting", provides: [greeter.id] }, ({ services }) => void services.provide(greeter, { from }));

  it("serves only while it runs or is paused", async () => {
    const { tidemark, engine } = kernel();
    await expect(tidemark.digest("Entry")).rejects.toMatchObject({ code: "TIDEMARK_KERNEL_STATE" });
    await tidemark.start();
    expect(await tidemark.status()).toMatchObject({ state: "running", device: "device" });
    await tidemark.pause();
    expect(await tidemark.status()).toMatchObject({ state: "paused" });
    expect(await tidemark.digest("Entry")).toMatchObject({ model: "Entry" });
    expect(await tidemark.journal()).toEqual([]);
    await tidemark.resume();
    await tidemark.resetSyncState();
    await tidemark.uninstall();
    expect(engine.calls).toEqual(["start", "pause", "resume", "resetSyncState", "uninstall", "stop"]);
    expect(tidemark.state).toBe("stopped");
    await expect(tidemark.status()).rejects.toMatchObject({ code: "TIDEMARK_KERNEL_STATE" });
  });

  it("is apart from another one in the same process", async () => {
    const one = kernel({ plugins: [greeting("one")] });
    const two = kernel({ plugins: [greeting("two")] });
    await Promise.all([one.tidemark.start(), two.tidemark.start()]);
    expect([one.tidemark.services.get(greeter).from, two.tidemark.services.get(greeter).from]).toEqual(["one", "two"]);
    expect(one.engine.deps.hooks).not.toBe(two.engine.deps.hooks);
    await one.tidemark.stop();
    expect(one.tidemark.services.find(greeter)).toBeUndefined();
    expect(two.tidemark.services.get(greeter).from).toBe("two");
    await two.tidemark.stop();
  });

  it("stops the engine before the plugins, and hooks before both", async () => {
    const order: string[] = [];
    const { tidemark, engine } = kernel({
      plugins: [
        pluginOf({ id: "a" }, ({ hooks, subscriptions }) => {
          hooks.afterBatch.tap((_, { signal }) => {
            signal.addEventListener("abort", () => order.push("hook aborted"));
            return new Promise(() => {});
          });
          subscriptions.push({ dispose: () => order.push("plugin stopped") });
        }),
      ],
    });
    engine.behaviour.stop = () => void order.push("engine stopped");
    await tidemark.start();
    const observed = engine.deps.hooks.observeBatch(appliedOf(generateBatch({ random: new SeededRandom(1), id: 1 })));
    await tidemark.stop();
    await observed;
    expect(order).toEqual(["hook aborted", "engine stopped", "plugin stopped"]);
  });

  it("stops its plugins even when the engine can't stop, and reports that", async () => {
    const { tidemark, engine } = kernel({ plugins: [pluginOf({ id: "a" })] });
    engine.behaviour.stop = () => {
      throw new Error("stuck");
    };
    await tidemark.start();
    await expect(tidemark.stop()).rejects.toThrow("stuck");
    expect(tidemark.report()).toMatchObject({ state: "failed", reason: "stuck", plugins: [{ state: "stopped" }] });
  });

  it("stops at the end of the scope that uses it", async () => {
    const { tidemark, engine } = kernel();
    {
      await using scoped = tidemark;
      await scoped.start();
    }
    expect(tidemark.state).toBe("stopped");
    expect(engine.calls).toEqual(["start", "stop"]);
  });

  it("tells of its states, from before the start", async () => {
    const { tidemark } = kernel();
    const states: string[] = [];
    tidemark.events.on("kernelStateChanged", ({ state }) => states.push(state));
    await tidemark.start();
    await tidemark.stop();
    expect(states).toEqual(["starting", "running", "stopping", "stopped"]);
  });

  it("keeps running, and logs, when a plugin may fail", async () => {
    const logger = new RecordingLogger();
    const { tidemark } = kernel({
      logger,
      plugins: [
        pluginOf({ id: "shaky" }, () => {
          throw new Error("no");
        }),
      ],
      settings: { ...settings, plugins: { shaky: { onActivationFailure: "continue" } } },
    });
    await tidemark.start();
    expect(tidemark.state).toBe("running");
    expect(logger.at("error")).toMatchObject([{ fields: { plugin: "shaky" } }]);
    expect(tidemark.renderReport()).toContain("shaky");
    await tidemark.stop();
  });
});
