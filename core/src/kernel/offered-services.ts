import type { KernelServices } from "./engine.js";
import { kernelErrors } from "./errors.js";

/** Kernel services that plugins can hold before the engine exists; each call goes to the engine of that moment. */
export function offeredServices({
  current,
  maxOfflineMs,
}: {
  readonly current: () => KernelServices | undefined;
  readonly maxOfflineMs: () => number;
}): KernelServices {
  const running = (): KernelServices => {
    const services = current();
    if (services === undefined) throw kernelErrors.serviceNotRunning();
    return services;
  };
  return {
    recordKeys: {
      localKeysFor: async (request) => running().recordKeys.localKeysFor(request),
      identitiesFor: async (request) => running().recordKeys.identitiesFor(request),
      keyIsIdentity: (model) => running().recordKeys.keyIsIdentity(model),
    },
    logMaintenance: {
      acknowledge: async () => running().logMaintenance.acknowledge(),
      stablePoint: async () => running().logMaintenance.stablePoint(),
      prune: async (options) => running().logMaintenance.prune(options),
      dryRun: async (options) => running().logMaintenance.dryRun(options),
      compact: async () => running().logMaintenance.compact(),
      size: async () => running().logMaintenance.size(),
      get maxOfflineMs() {
        return maxOfflineMs();
      },
    },
    syncFigures: {
      peers: async () => running().syncFigures.peers(),
      parked: async () => running().syncFigures.parked(),
    },
  };
}
