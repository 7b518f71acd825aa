// Carries the kernel's events. A listener that throws or rejects harms nobody else; the raw emitter never leaves this
// file. Nothing is decided here: that is what hooks are for.

import { channel } from "node:diagnostics_channel";
import { type Events, type KernelEvents, type Logger, type Subscription, subscription } from "@tidemark/plugin-api";
import { EventEmitter } from "eventemitter3";
import { inject, injectable, kernelTokens } from "./injection.js";
import { isThenable } from "./time-limit.js";

/** Which kernel of the process speaks, for monitors that hear all of them. */
export interface KernelIdentity {
  readonly library: string;
  readonly device: string;
}

/** What is published on `tidemark:<event>`. */
export interface DiagnosticsMessage<Name extends keyof KernelEvents = keyof KernelEvents> {
  readonly kernel: KernelIdentity;
  readonly event: KernelEvents[Name];
}

/**
 * The events that also go to `node:diagnostics_channel`, as `tidemark:<event>`: those that tell of states and decisions.
 * The ones that come by the thousand (leases, single pages, hook calls) are for plugins.
 */
export const MIRRORED = [
  "kernelStateChanged",
  "pluginStateChanged",
  "hookHandlerQuarantined",
  "poolPressure",
  "captureGap",
  "changeRefused",
  "peerConnected",
  "peerDisconnected",
  "peerStateChanged",
  "peerRefused",
  "memberJoined",
  "memberRemoved",
  "removalSettled",
  "memberReturned",
  "unsentReissued",
  "batchApplied",
  "roundCompleted",
  "catchUpFailed",
  "catchUpDecided",
  "backfillStarted",
  "backfillCompleted",
  "clockDrift",
  "journalEntryAdded",
  "recordHealed",
] as const satisfies readonly (keyof KernelEvents)[];

const channels: ReadonlyMap<keyof KernelEvents, ReturnType<typeof channel>> = new Map(
  MIRRORED.map((name) => [name, channel(`tidemark:${name}`)]),
);

type EventName = keyof KernelEvents;

@injectable()
export class EventBus implements Events {
  readonly #emitter = new EventEmitter<EventName, unknown>();
  readonly #logger: Logger;
  readonly #identity: KernelIdentity;

  constructor(@inject(kernelTokens.logger) logger: Logger, @inject(kernelTokens.identity) identity: KernelIdentity) {
    this.#logger = logger;
    this.#identity = identity;
  }

  on<Name extends EventName>(name: Name, listener: (event: KernelEvents[Name]) => void): Subscription {
    return this.listen({ name, listener, logger: this.#logger });
  }

  once<Name extends EventName>(name: Name, listener: (event: KernelEvents[Name]) => void): Subscription {
    return this.listen({ name, listener, logger: this.#logger, once: true });
  }

  /** Like `on` and `once`; failures of the listener go to `logger`, which can say whose it is. */
  listen<Name extends EventName>({
    name,
    listener,
    logger,
    once = false,
  }: {
    readonly name: Name;
    readonly listener: (event: KernelEvents[Name]) => void;
    readonly logger: Logger;
    readonly once?: boolean;
  }): Subscription {
    const report = (error: unknown): void => logger.error("an event listener has failed", { event: name, error });
    const isolated = (event: KernelEvents[Name]): void => {
      if (once) held.dispose();
      try {
        // Typed as void, yet an async function fits; its rejection would otherwise end the process.
        const result: unknown = listener(event);
        if (isThenable(result)) result.then(undefined, report);
      } catch (error) {
        report(error);
      }
    };
    const held = subscription(() => this.#emitter.off(name, isolated));
    this.#emitter.on(name, isolated);
    return held;
  }

  /**
   * Tells all listeners, in the order of their subscription, before it returns. Never throws. The event is frozen: no
   * listener changes what the next one is told.
   */
  emit<Name extends EventName>(name: Name, event: KernelEvents[Name]): void {
    Object.freeze(event);
    this.#emitter.emit(name, event);
    const mirror = channels.get(name);
    // Subscribers of a channel are isolated by Node itself.
    if (mirror?.hasSubscribers) mirror.publish({ kernel: this.#identity, event } satisfies DiagnosticsMessage<Name>);
  }

  /** Whether an event would reach anybody; lets the sender of very frequent ones save the making of them. */
  hasListeners(name: EventName): boolean {
    return this.#emitter.listenerCount(name) > 0 || channels.get(name)?.hasSubscribers === true;
  }
}
