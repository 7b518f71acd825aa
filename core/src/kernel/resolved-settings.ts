// The settings that a kernel runs with: everything said, everything valid, nothing optional. Made by `resolveConfig` only.

/** Where it was said that a plugin is on or off; `default` when nobody said anything, and installed plugins run. */
export type SettingSource = "default" | "config" | "overlay" | "env";

export interface ResolvedPlugin {
  readonly id: string;
  readonly enabled: boolean;
  /** Where `enabled` was said last. */
  readonly enabledBy: SettingSource;
  readonly onActivationFailure: "abort" | "continue";
  /** What the plugin's schema made of its settings, defaults filled in; `undefined` for a disabled plugin. */
  readonly settings: unknown;
}

export interface ResolvedSettings {
  readonly library: { readonly id: string; readonly secret: string; readonly role: "found" | "join" };
  readonly device: { readonly id: string; readonly name: string };
  /** All installed plugins by id: those that the config names first, in its order, then the rest as they were passed. */
  readonly plugins: ReadonlyMap<string, ResolvedPlugin>;
  readonly pool: { readonly size: number; readonly acquireTimeoutMs: number };
  readonly replication: {
    readonly pageRecords: number;
    readonly windowBytes: number;
    readonly maxFrameBytes: number;
    readonly requestTimeoutMs: number;
    readonly retryDelayMs: number;
    readonly heartbeatMs: number;
  };
  readonly clock: { readonly maxDriftMs: number };
  readonly membership: { readonly maxOfflineMs: number; readonly onReturn: "reissue" | "journal" };
  readonly storage: { readonly sliceMs: number; readonly pollMs: number };
}
