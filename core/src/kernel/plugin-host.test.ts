import {
  type AnyPlugin,
  createServiceToken,
  noopMeter,
  type PluginContext,
  type Transport,
  transports as transportsToken,
} from "@tidemark/plugin-api";
import { describe, expect, it } from "vitest";
import { kernelFixture, pluginOf, settingOf } from "../testing/kernel-fixture.test-support.js";
import { SeededRandom } from "../testing/seeded-random.js";
import { createKernelParts } from "./kernel-parts.js";

const greeter = createServiceToken<{ greet(): string }>("alpha.greeter");

/** Plugins that write their names down when they are activated. */
function noting(activated: string[], ...manifests: readonly Parameters<typeof pluginOf>[0][]): readonly AnyPlugin[] {
  return manifests.map((manifest) => pluginOf(manifest, () => void activated.push(manifest.id)));
}

describe("the order of activation", () => {
  it("is dependencies first, optional ones too where they run, then that of the settings", async () => {
    const activated: string[] = [];
    const fixture = kernelFixture(
      ...noting(
        activated,
        { id: "a", dependencies: ["d"] },
        { id: "b", optionalDependencies: ["c", "not-installed", "off"] },
        { id: "c" },
        { id: "d" },
        { id: "off" },
        { id: "e" },
      ),
    );
    await fixture.activate({ e: {}, off: { enabled: false, enabledBy: "config" } });
    expect(activated).toEqual(["e", "d", "a", "c", "b"]);
  });

  it("prints the path of a cycle, and runs nothing", async () => {
    const activated: string[] = [];
    const fixture = kernelFixture(
      ...noting(
        activated,
        { id: "outside", dependencies: ["a"] },
        { id: "a", dependencies: ["b"] },
        { id: "b", optionalDependencies: ["c"] },
        { id: "c", dependencies: ["a"] },
      ),
    );
    await expect(fixture.activate()).rejects.toMatchObject({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_CYCLE",
      why: "they wait for each other: a → b → c → a",
    });
    expect(activated).toEqual([]);
  });
});

describe("a plugin that can't run", () => {
  it("because of a missing dependency names it, and the nearest one there is, before any plugin runs", async () => {
    const activated: string[] = [];
    const fixture = kernelFixture(...noting(activated, { id: "metrics" }, { id: "lag", dependencies: ["metric"] }));
    await expect(fixture.activate()).rejects.toMatchObject({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_MISSING",
      why: 'it needs the plugin "metric", which is not installed',
      advice: expect.stringContaining('Did you mean "metrics"?'),
    });
    expect(activated).toEqual([]);
  });

  it.each([
    ["config", "the config"],
    ["overlay", "the overlay file"],
    ["env", "TIDEMARK_PLUGINS_DISABLE"],
  ] as const)("because of a dependency that is off by %s says what to enable, and where", async (enabledBy, where) => {
    const fixture = kernelFixture(pluginOf({ id: "metrics" }), pluginOf({ id: "lag", dependencies: ["metrics"] }));
    await expect(fixture.activate({ metrics: { enabled: false, enabledBy } })).rejects.toMatchObject({
      code: "TIDEMARK_PLUGIN_DEPENDENCY_DISABLED",
      why: `it needs the plugin "metrics", which is turned off by ${where}`,
      advice: expect.stringContaining('Enable "metrics"'),
    });
  });

  it("because of another API version says both versions", async () => {
    const fixture = kernelFixture(pluginOf({ id: "old", apiVersion: "0.9" }));
    await expect(fixture.activate()).rejects.toMatchObject({
      code: "TIDEMARK_PLUGIN_INCOMPATIBLE",
      why: expect.stringContaining("0.9"),
    });
  });

  it("takes those that need it along, if the kernel is to start without them", async () => {
    const activated: string[] = [];
    const fixture = kernelFixture(
      pluginOf({ id: "base" }, () => {
        throw new Error("no disk");
      }),
      ...noting(activated, { id: "top", dependencies: ["base"] }, { id: "other", optionalDependencies: ["base"] }),
    );
    const states = fixture.record("pluginStateChanged");
    await fixture.activate({ base: { onActivationFailure: "continue" }, top: { onActivationFailure: "continue" } });
    expect(activated).toEqual(["other"]);
    expect(states.map(({ pluginId, state }) => `${pluginId} ${state}`)).toEqual([
      "base failed",
      "top failed",
      "other active",
    ]);
    expect(fixture.host.report().find(({ id }) => id === "top")?.error).toContain("no disk");
    expect(fixture.logger.at("error").map(({ fields }) => fields.plugin)).toEqual(["base", "top"]);
  });
});

describe("a failed activation", () => {
  const transport: Transport = { name: "wire", start: async () => {}, stop: async () => {} };

  it.each(["abort", "continue"] as const)("gives back all it had registered (%s)", async (onActivationFailure) => {
    const released: string[] = [];
    let signal: AbortSignal | undefined;
    const fixture = kernelFixture(
      pluginOf({ id: "faulty", provides: [greeter.id] }, async (context) => {
        signal = context.signal;
        context.hooks.afterBatch.tap(() => {});
        context.events.on("batchApplied", () => {});
        context.services.provide(greeter, { greet: () => "hello" });
        context.services.get(transportsToken).register(transport);
        context.entities.register("Entry", { ownership: { kind: "shared" } });
        context.clock.setTimeout(() => {}, 1_000);
        context.subscriptions.push({ dispose: () => released.push("own") });
        await Promise.resolve();
        throw new Error("port in use");
      }),
    );
    const activation = fixture.activate({ faulty: { onActivationFailure } });
    if (onActivationFailure === "continue") await activation;
    else {
      await expect(activation).rejects.toMatchObject({
        code: "TIDEMARK_PLUGIN_ACTIVATION_FAILED",
        what: 'The plugin "faulty" can\'t be activated',
        why: "port in use",
        cause: { message: "port in use" },
      });
    }
    expect(fixture.host.report()).toMatchObject([{ state: "failed", hooks: [], services: [] }]);
    expect(fixture.events.hasListeners("batchApplied")).toBe(false);
    expect(fixture.services.find(greeter)).toBeUndefined();
    expect(fixture.transports.list()).toEqual([]);
    expect(fixture.host.entities()).toEqual([]);
    expect(fixture.clock.pendingTimers).toBe(0);
    expect(released).toEqual(["own"]);
    expect(signal?.aborted).toBe(true);
  });

  it("is one that takes longer than ten seconds; the late end changes nothing", async () => {
    let context: PluginContext | undefined;
    let finish = (): void => {};
    const fixture = kernelFixture(
      pluginOf({ id: "slow" }, (given) => {
        context = given;
        return new Promise<void>((resolve) => {
          finish = resolve;
        });
      }),
    );
    const outcome = expect(fixture.activate()).rejects.toMatchObject({
      code: "TIDEMARK_PLUGIN_ACTIVATION_TIMED_OUT",
      what: 'The plugin "slow" can\'t be activated',
      details: { id: "slow", timeoutMs: 10_000 },
    });
    await fixture.clock.advance(9_999);
    expect(fixture.host.report()).toMatchObject([{ state: "registered" }]);
    await fixture.clock.advance(1);
    await outcome;
    finish();
    await fixture.clock.settle();
    expect(fixture.host.report()).toMatchObject([{ state: "failed", activationMs: 10_000 }]);
    expect(() => context?.hooks.afterBatch.tap(() => {})).toThrow(
      expect.objectContaining({ code: "TIDEMARK_PLUGIN_STOPPED" }),
    );
    expect(fixture.clock.pendingTimers).toBe(0);
  });

  it("measures how long activation took", async () => {
    const fixture = kernelFixture(
      pluginOf({ id: "slow" }, ({ clock }) => new Promise((resolve) => clock.setTimeout(resolve, 250))),
    );
    const activation = fixture.activate();
    await fixture.clock.advance(250);
    await activation;
    expect(fixture.host.report()).toMatchObject([{ state: "active", activationMs: 250 }]);
  });
});

describe("stopping", () => {
  it("goes from the last activated to the first, and in each from the last registered to the first", async () => {
    const order: string[] = [];
    const leaving = (id: string) =>
      pluginOf({ id }, ({ subscriptions }) => {
        subscriptions.push({ dispose: () => order.push(`${id} 1`) }, { dispose: () => order.push(`${id} 2`) });
      });
    const fixture = kernelFixture(leaving("a"), leaving("b"));
    await fixture.activate();
    await fixture.host.stop("done");
    await fixture.host.stop("again");
    expect(order).toEqual(["b 2", "b 1", "a 2", "a 1"]);
    expect(fixture.host.report().map(({ state }) => state)).toEqual(["stopped", "stopped"]);
  });

  it("goes on after steps that throw, reject or hang, waits for asynchronous ones, and logs whose they were", async () => {
    const order: string[] = [];
    const fixture = kernelFixture(
      pluginOf({ id: "a" }, ({ subscriptions }) => {
        const step = (name: string, release: () => unknown) => ({
          dispose() {
            order.push(name);
            return release();
          },
        });
        subscriptions.push(
          step("last", () => {}),
          step("throws", () => {
            throw new Error("stuck");
          }),
          step("rejects", async () => {
            throw new Error("stuck too");
          }),
          step("hangs", () => new Promise(() => {})),
          {
            async dispose() {
              await Promise.resolve();
              order.push("waited for");
            },
          } as never,
        );
      }),
    );
    await fixture.activate();
    const stopped = fixture.host.stop("done");
    await fixture.clock.advance(5_000);
    await stopped;
    expect(order).toEqual(["waited for", "hangs", "rejects", "throws", "last"]);
    expect(fixture.logger.at("error")).toMatchObject([
      { fields: { plugin: "a" } },
      { fields: { plugin: "a", error: { message: "stuck too" } } },
      { fields: { plugin: "a", error: { message: "stuck" } } },
    ]);
  });

  it("does not give back again what the plugin has given back itself", async () => {
    let released = 0;
    const meter = {
      ...noopMeter,
      createObservableGauge: () => ({ dispose: () => void released++ }),
    };
    const plugin = pluginOf({ id: "a" }, (context) => {
      context.meter.createObservableGauge("x", { unit: "s", description: "x" }, () => {}).dispose();
    });
    const fixture = kernelFixture();
    const parts = createKernelParts({
      identity: { library: "l", device: "d" },
      plugins: [plugin],
      clock: fixture.clock,
      random: new SeededRandom(1),
      logger: fixture.logger,
      meter,
    });
    await parts.host.activate(new Map([["a", settingOf("a")]]));
    await parts.host.stop("done");
    expect(released).toBe(1);
  });
});

describe("a context", () => {
  it("is frozen, all through", async () => {
    let frozen: boolean[] = [];
    await kernelFixture(
      pluginOf({ id: "a" }, (context) => {
        frozen = [
          context,
          context.hooks,
          context.hooks.afterBatch,
          context.events,
          context.services,
          context.clock,
        ].map((part) => Object.isFrozen(part));
      }),
    ).activate();
    expect(frozen).toEqual([true, true, true, true, true, true]);
  });

  it("is of no use once the plugin has stopped, and says so", async () => {
    let context: PluginContext | undefined;
    const fixture = kernelFixture(
      pluginOf({ id: "a", provides: [greeter.id] }, (given) => {
        context = given;
      }),
    );
    await fixture.activate();
    await fixture.host.stop("done");
    const { hooks, events, services, entities, clock, meter, subscriptions } = context!;
    let released = 0;
    const uses = [
      () => hooks.beforeApplyBatch.tap(() => {}),
      () => events.on("batchApplied", () => {}),
      () => events.once("batchApplied", () => {}),
      () => services.provide(greeter, { greet: () => "" }),
      () => services.get(greeter),
      () => services.find(greeter),
      () => entities.register("Entry", { ownership: { kind: "shared" } }),
      () => clock.setTimeout(() => {}, 1),
      () => clock.setImmediate(() => {}),
      () => meter.createObservableGauge("x", { unit: "s", description: "x" }, () => {}),
      () => subscriptions.push({ dispose: () => void released++ }),
    ];
    for (const use of uses) expect(use).toThrow(expect.objectContaining({ code: "TIDEMARK_PLUGIN_STOPPED" }));
    expect(released).toBe(1);
  });

  it("takes entities during activate only", async () => {
    let context: PluginContext | undefined;
    const fixture = kernelFixture(
      pluginOf({ id: "a" }, async (given) => {
        await Promise.resolve();
        given.entities.register("Entry", { ownership: { kind: "shared" } });
        context = given;
      }),
    );
    await fixture.activate();
    expect(fixture.host.entities()).toEqual([
      { pluginId: "a", declaration: { entity: "Entry", ownership: { kind: "shared" } } },
    ]);
    expect(() => context?.entities.register("Other", { ownership: { kind: "shared" } })).toThrow(
      expect.objectContaining({ code: "TIDEMARK_PLUGIN_ENTITIES_CLOSED" }),
    );
  });

  it("provides only services that the manifest names", async () => {
    const fixture = kernelFixture(
      pluginOf({ id: "a" }, ({ services }) => void services.provide(greeter, { greet: () => "" })),
    );
    await expect(fixture.activate()).rejects.toMatchObject({ cause: { code: "TIDEMARK_SERVICE_UNDECLARED" } });
  });

  it("takes transports during activate only, each name once", async () => {
    const wire = (): Transport => ({ name: "wire", start: async () => {}, stop: async () => {} });
    let late: (() => void) | undefined;
    const fixture = kernelFixture(
      pluginOf({ id: "a" }, ({ services }) => {
        const own = services.get(transportsToken);
        own.register(wire());
        late = () => own.register({ ...wire(), name: "another" });
      }),
      pluginOf({ id: "b" }, ({ services }) => void services.find(transportsToken)?.register(wire())),
    );
    await fixture.activate({ a: {}, b: { onActivationFailure: "continue" } });
    expect(fixture.host.report()[1]?.error).toContain('the plugin "a" has registered one of that name');
    expect(fixture.transports.close().map(({ name }) => name)).toEqual(["wire"]);
    expect(late).toThrow(expect.objectContaining({ code: "TIDEMARK_TRANSPORT_TOO_LATE" }));
  });

  it("says in the log whose listener has failed", async () => {
    const fixture = kernelFixture(
      pluginOf(
        { id: "a" },
        ({ events }) =>
          void events.on("peerConnected", () => {
            throw new Error("no");
          }),
      ),
    );
    await fixture.activate();
    fixture.events.emit("peerConnected", { peer: "p", deviceId: "d", address: "x", clockDriftMs: 0 });
    expect(fixture.logger.at("error")).toMatchObject([{ fields: { plugin: "a", event: "peerConnected" } }]);
  });
});

describe("services between plugins", () => {
  const provider = pluginOf({ id: "alpha", provides: [greeter.id] }, ({ services }) => {
    services.provide(greeter, { greet: () => "hello" });
  });
  const asking = (manifest: Partial<Parameters<typeof pluginOf>[0]> = {}) =>
    pluginOf({ id: "beta", ...manifest }, ({ services }) => void services.get(greeter));

  it("reach those that depend on them", async () => {
    await expect(kernelFixture(asking({ dependencies: ["alpha"] }), provider).activate()).resolves.toBeUndefined();
  });

  it.each([
    ["is not active yet", {}, 'the plugin "alpha" would provide it, and is not active yet', [asking(), provider]],
    [
      "is turned off",
      { alpha: { enabled: false, enabledBy: "env" } },
      'the plugin "alpha" would provide it, and is turned off by TIDEMARK_PLUGINS_DISABLE',
      [asking(), provider],
    ],
    [
      "has failed",
      { alpha: { onActivationFailure: "continue" } },
      expect.stringMatching(/^the plugin "alpha" would provide it, and has failed: .*no$|no\. /),
      [
        pluginOf({ id: "alpha", provides: [greeter.id] }, () => {
          throw new Error("no");
        }),
        asking(),
      ],
    ],
    [
      "has not provided it",
      {},
      'the plugin "alpha" would provide it, and has not done so',
      [pluginOf({ id: "alpha", provides: [greeter.id] }), asking()],
    ],
    ["is not installed", {}, "no installed plugin provides it", [asking()]],
  ] as const)("say who would provide them when that plugin %s", async (_, said, why, plugins) => {
    await expect(kernelFixture(...plugins).activate(said)).rejects.toMatchObject({
      cause: { code: "TIDEMARK_SERVICE_MISSING", why, details: { service: greeter.id } },
    });
  });

  it("are gone when their plugin has stopped", async () => {
    const fixture = kernelFixture(provider);
    await fixture.activate();
    expect(fixture.services.get(greeter).greet()).toBe("hello");
    await fixture.host.stop("done");
    expect(() => fixture.services.get(greeter)).toThrow(
      expect.objectContaining({ why: 'the plugin "alpha" would provide it, and has stopped' }),
    );
  });

  it("have one provider", async () => {
    const second = pluginOf({ id: "gamma", provides: [greeter.id] }, ({ services }) => {
      services.provide(greeter, { greet: () => "hi" });
    });
    await expect(kernelFixture(provider, second).activate()).rejects.toMatchObject({
      cause: { code: "TIDEMARK_SERVICE_DOUBLED", why: 'the plugin "alpha" provides it already' },
    });
  });
});
