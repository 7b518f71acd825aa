import type { PluginSettings } from "@tidemark/plugin-api";

/** How one plugin is run. `true` and `false` turn it on and off with its default settings. */
export type PluginSetting<Settings = unknown> =
  | boolean
  | {
      /** Default true. */
      readonly enabled?: boolean;
      /** Whether the kernel starts without the plugin when its activation fails. Default `abort`. */
      readonly onActivationFailure?: "abort" | "continue";
      readonly settings?: Settings;
    };

/** The configuration of a kernel; made with {@link defineConfig}. Units stand in the names. */
export interface TidemarkSettings {
  readonly library: {
    /** Names the library; the same on all its devices. Not a secret. */
    readonly id: string;
    /** Shared by all devices of the library; never sent. At least 16 characters. */
    readonly secret: string;
    /** Whether this device starts the library, or joins it through a peer that is a member. Read once, before membership. */
    readonly role: "found" | "join";
  };
  readonly device: {
    /** This device in this library: the identity of its record in the device model, if there is one. */
    readonly id: string;
    /** For people. */
    readonly name: string;
  };
  /** Per plugin id. A plugin that is installed and not named here runs with its default settings. */
  readonly plugins?: { readonly [Id in keyof PluginSettings]?: PluginSetting<PluginSettings[Id]> } & {
    readonly [id: string]: PluginSetting;
  };
  /** A JSON file whose `plugins` are laid over those above; missing is fine, invalid is an error. For operators. */
  readonly overlayFile?: string;
  readonly pool?: {
    /** Most leases at once, 2–1000. Default 30; `TIDEMARK_DB_POOL_SIZE` wins. */
    readonly size?: number;
    /** Longest wait for a lease. Default 30,000. */
    readonly acquireTimeoutMs?: number;
  };
  readonly replication?: {
    /** Records per page at most, and changes of the application in a usual slice of the fold, 1–10,000. Default 2,000. */
    readonly pageRecords?: number;
    /** Bytes on their way to one peer and not yet acknowledged, at most. Default 8 MiB. */
    readonly windowBytes?: number;
    /** Largest frame that is received. Default 16 MiB. */
    readonly maxFrameBytes?: number;
    /** How long a peer may take to answer. Default 30,000. */
    readonly requestTimeoutMs?: number;
    /** The plain delay before a failed catch-up is tried again, when no plugin has an opinion. Default 5,000. */
    readonly retryDelayMs?: number;
    /** How often an otherwise silent device says that it is there. Default 60,000. */
    readonly heartbeatMs?: number;
  };
  readonly clock?: {
    /** A peer whose clock is further off than this is told so and not synced with. Default 300,000. */
    readonly maxDriftMs?: number;
  };
  readonly membership?: {
    /**
     * A member of which nothing was heard for longer is no member any more, until it comes back: then it takes everything
     * anew. At least ten times `replication.heartbeatMs`. Default 30 days.
     */
    readonly maxOfflineMs?: number;
    /**
     * What a device that comes back does with changes that it had not got out: issues them again (`reissue`), or writes
     * them to the journal (`journal`). Default `reissue`.
     */
    readonly onReturn?: "reissue" | "journal";
  };
  readonly storage?: {
    /** How long a write slice may hold the loop; slices adapt to it, and to half of it while the application uses its database. Default 5. */
    readonly sliceMs?: number;
    /**
     * How often changes of other processes are looked for while there are any. After a few looks in vain, at least every
     * four times as long. Those of this process are noticed at once. Default 250.
     */
    readonly pollMs?: number;
  };
}
