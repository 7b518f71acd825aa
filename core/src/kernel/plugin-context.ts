// Makes what a plugin may touch. Whatever is registered through it is held by the plugin's scope and given back with it;
// after the plugin has stopped, every member that could leave something behind is an error.

import {
  type Clock,
  type Events,
  type HookName,
  type Hooks,
  type Logger,
  type Meter,
  type PluginContext,
  type PluginManifest,
  type Random,
  type Services,
  type ServiceToken,
  type Subscription,
  type TapOptions,
  type Transports,
  transports as transportsToken,
} from "@tidemark/plugin-api";
import { kernelErrors } from "./errors.js";
import type { EventBus } from "./event-bus.js";
import type { HookHandler } from "./handler-list.js";
import type { HookRunner } from "./hook-runner.js";
import type { PluginScope } from "./plugin-scope.js";
import type { ServiceContainer } from "./service-container.js";
import type { TransportCollection } from "./transport-collection.js";

/** The parts of the kernel that contexts are made of. */
interface ContextParts {
  readonly hooks: HookRunner;
  readonly events: EventBus;
  readonly services: ServiceContainer;
  readonly transports: TransportCollection;
  readonly clock: Clock;
  readonly random: Random;
  readonly meter: Meter;
}

export function createPluginContext({
  manifest,
  config,
  position,
  scope,
  logger,
  parts,
}: {
  readonly manifest: PluginManifest;
  readonly config: unknown;
  /** The plugin's place in the order of activation. */
  readonly position: number;
  readonly scope: PluginScope;
  readonly logger: Logger;
  readonly parts: ContextParts;
}): PluginContext {
  return Object.freeze({
    id: manifest.id,
    config,
    hooks: hooksOf({ scope, position, hooks: parts.hooks }),
    events: eventsOf({ scope, events: parts.events, logger }),
    services: servicesOf({ scope, manifest, services: parts.services, transports: parts.transports }),
    entities: Object.freeze({
      register(entity, options) {
        scope.assertRunning("context.entities");
        scope.assertActivating();
        scope.entities.push({ ...options, entity });
      },
    } satisfies PluginContext["entities"]),
    logger,
    meter: meterOf({ scope, meter: parts.meter }),
    clock: clockOf({ scope, clock: parts.clock }),
    random: parts.random,
    signal: scope.signal,
    subscriptions: Object.freeze({ push: (...items: Subscription[]) => scope.adopt(items) }),
  });
}

function hooksOf({
  scope,
  position,
  hooks,
}: {
  readonly scope: PluginScope;
  readonly position: number;
  readonly hooks: HookRunner;
}): Hooks {
  const owner = { pluginId: scope.pluginId, position };
  const tapOf =
    <Name extends HookName>(hook: Name) =>
    (handler: HookHandler<Name>, options?: TapOptions): Subscription => {
      scope.assertRunning(`context.hooks.${hook}`);
      return scope.hold(hooks.tap({ hook, owner, handler, options }));
    };
  return Object.freeze({
    beforeApplyBatch: Object.freeze({ kind: "transform", tap: tapOf("beforeApplyBatch") }),
    afterBatch: Object.freeze({ kind: "observe", tap: tapOf("afterBatch") }),
    onCatchUpFailure: Object.freeze({ kind: "decide", tap: tapOf("onCatchUpFailure") }),
    onPoolPressure: Object.freeze({ kind: "collect", tap: tapOf("onPoolPressure") }),
  } as const);
}

function eventsOf({
  scope,
  events,
  logger,
}: {
  readonly scope: PluginScope;
  readonly events: EventBus;
  readonly logger: Logger;
}): Events {
  return Object.freeze({
    on(name, listener) {
      scope.assertRunning("context.events");
      return scope.hold(events.listen({ name, listener, logger }));
    },
    once(name, listener) {
      scope.assertRunning("context.events");
      return scope.hold(events.listen({ name, listener, logger, once: true }));
    },
  } satisfies Events);
}

function servicesOf({
  scope,
  manifest,
  services,
  transports,
}: {
  readonly scope: PluginScope;
  readonly manifest: PluginManifest;
  readonly services: ServiceContainer;
  readonly transports: TransportCollection;
}): Services {
  // A kernel service that registers things is one per plugin, so that it knows whose they are.
  const ownTransports: Transports = Object.freeze({
    register(transport) {
      scope.assertRunning("the service kernel.transports");
      return scope.hold(transports.register({ transport, by: scope.pluginId }));
    },
  } satisfies Transports);
  const find = <T>(token: ServiceToken<T>): T | undefined => {
    scope.assertRunning("context.services");
    // The keys are equal, so T is Transports.
    if (token.key === transportsToken.key) return ownTransports as T;
    return services.find(token);
  };
  return Object.freeze({
    provide(token, service) {
      scope.assertRunning("context.services");
      if (!manifest.provides?.includes(token.id)) {
        throw kernelErrors.undeclaredService({ service: token.id, id: scope.pluginId });
      }
      return scope.hold(services.provide({ token, service, by: scope.pluginId }));
    },
    get: <T>(token: ServiceToken<T>): T => find(token) ?? services.get(token),
    find,
  } satisfies Services);
}

function meterOf({ scope, meter }: { readonly scope: PluginScope; readonly meter: Meter }): Meter {
  return Object.freeze({
    createCounter: (name, options) => meter.createCounter(name, options),
    createUpDownCounter: (name, options) => meter.createUpDownCounter(name, options),
    createHistogram: (name, options) => meter.createHistogram(name, options),
    // The only instrument that keeps calling into the plugin.
    createObservableGauge(name, options, observe) {
      scope.assertRunning("context.meter");
      return scope.hold(meter.createObservableGauge(name, options, observe));
    },
  } satisfies Meter);
}

function clockOf({ scope, clock }: { readonly scope: PluginScope; readonly clock: Clock }): Clock {
  const timer = (set: (callback: () => void) => Subscription, callback: () => void): Subscription => {
    scope.assertRunning("context.clock");
    const held = scope.hold(
      set(() => {
        held.dispose();
        callback();
      }),
    );
    return held;
  };
  return Object.freeze({
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    setTimeout: (callback, delayMs) => timer((fire) => clock.setTimeout(fire, delayMs), callback),
    setImmediate: (callback) => timer((fire) => clock.setImmediate(fire), callback),
  } satisfies Clock);
}
