// What the settings of the kernel must look like, with every default. Plugins' own settings are only passed through here.

import { z } from "zod";
import { isIdentity } from "../registry/identity-form.js";

const MIB = 1_048_576;
const DAY_MS = 24 * 3_600_000;
/** Heartbeats that a member may miss before it can lapse. */
const BEATS = 10;
const milliseconds = z.number().min(1).max(2_147_483_647);

export const POOL_SIZE = z.number().int().min(2).max(1_000);

const pluginSettingShape = z.union(
  [
    z.boolean(),
    z.strictObject({
      enabled: z.boolean().optional(),
      onActivationFailure: z.enum(["abort", "continue"]).optional(),
      settings: z.unknown().optional(),
    }),
  ],
  { error: "Invalid input: expected true, false or an object" },
);

export const pluginsShape = z.record(z.string(), pluginSettingShape);

export const settingsShape = z
  .strictObject({
    library: z.strictObject({
      id: z.string().min(1).max(512),
      // Code points, as the authenticator counts them.
      secret: z.string().refine((secret) => [...secret].length >= 16, "Too short: expected at least 16 characters"),
      role: z.enum(["found", "join"]),
    }),
    device: z.strictObject({
      id: z.string().refine(isIdentity, "Expected 1 to 512 characters, none of them white space"),
      name: z.string().min(1).max(512),
    }),
    plugins: pluginsShape.default({}),
    overlayFile: z.string().min(1).optional(),
    pool: z.strictObject({ size: POOL_SIZE.default(30), acquireTimeoutMs: milliseconds.default(30_000) }).prefault({}),
    replication: z
      .strictObject({
        pageRecords: z.number().int().min(1).max(10_000).default(2_000),
        windowBytes: z
          .number()
          .int()
          .min(65_536)
          .default(8 * MIB),
        maxFrameBytes: z
          .number()
          .int()
          .min(65_536)
          .default(16 * MIB),
        requestTimeoutMs: milliseconds.default(30_000),
        retryDelayMs: z.number().min(0).max(2_147_483_647).default(5_000),
        heartbeatMs: milliseconds.default(60_000),
      })
      .prefault({}),
    clock: z.strictObject({ maxDriftMs: milliseconds.default(300_000) }).prefault({}),
    membership: z
      .strictObject({
        // Longer than any timer: it is compared, never waited for.
        maxOfflineMs: z
          .number()
          .min(1)
          .max(Number.MAX_SAFE_INTEGER)
          .default(30 * DAY_MS),
        onReturn: z.enum(["reissue", "journal"]).default("reissue"),
      })
      .prefault({}),
    storage: z
      .strictObject({ sliceMs: z.number().min(1).max(1_000).default(5), pollMs: milliseconds.default(250) })
      .prefault({}),
  })
  .superRefine(({ membership, replication }, context) => {
    if (membership.maxOfflineMs >= BEATS * replication.heartbeatMs) return;
    const message = `expected at least ${BEATS} times replication.heartbeatMs, or members lapse that are there`;
    context.addIssue({ code: "custom", message, path: ["membership", "maxOfflineMs"] });
  });

/** The settings with the kernel's own defaults, the plugins as they were written. */
export type ShapedSettings = z.output<typeof settingsShape>;

/** How a plugin is set, as written. */
export type WrittenPluginSetting = z.output<typeof pluginSettingShape>;
