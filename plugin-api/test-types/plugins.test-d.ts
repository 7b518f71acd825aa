// What a plugin is given is typed by its manifest and by the tokens it uses. Compiled, never run.

import {
  type AnyPlugin,
  API_VERSION,
  createServiceToken,
  definePlugin,
  type StandardSchema,
} from "@tidemark/plugin-api";
import { z } from "zod";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Equal<A, B>): void {}

interface Limits {
  readonly most: number;
}
const limits = createServiceToken<Limits>("limiter.limits");
const configuration = z.object({ most: z.number().default(5), label: z.string().optional() });

export const withSettings = definePlugin({
  manifest: { id: "limiter", version: "1.0.0", apiVersion: API_VERSION, provides: [limits.id], configuration },
  activate({ config, services, events, entities, signal }) {
    // Defaults have been filled in: the output of the schema, not its input.
    same<typeof config, { most: number; label?: string | undefined }>(true);
    // @ts-expect-error The schema knows no such key.
    void config.least;

    services.provide(limits, { most: config.most });
    // @ts-expect-error A service has the type of its token.
    services.provide(limits, { most: "5" });
    same<ReturnType<typeof services.get<Limits>>, Limits>(true);
    same<ReturnType<typeof services.find<Limits>>, Limits | undefined>(true);
    const { most } = services.get(limits);
    same<typeof most, number>(true);
    // @ts-expect-error Nobody may be there to provide it.
    void services.find(limits).most;

    events.on("batchApplied", ({ counts }) => same<typeof counts.applied, number>(true));
    // @ts-expect-error There is no such event.
    events.on("batchLost", () => {});
    // @ts-expect-error Telling is the kernel's part.
    events.emit("batchApplied", {});

    class Note {}
    entities.register(Note, { ownership: { kind: "device", owner: "volume.device" } });
    entities.register("Note", { ownership: { kind: "shared" } });
    // @ts-expect-error What a device owns, it owns by a path.
    entities.register(Note, { ownership: { kind: "device" } });
    same<typeof signal, AbortSignal>(true);
  },
});

export const withoutSettings = definePlugin({
  manifest: { id: "plain", version: "1.0.0", apiVersion: API_VERSION },
  activate({ config }) {
    same<typeof config, unknown>(true);
  },
});

// @ts-expect-error A manifest says which version of the API it was written against.
export const withoutVersion = definePlugin({ manifest: { id: "plain", version: "1.0.0" }, activate() {} });

/** Plugins of any settings fit into one list, and zod's schemas are Standard Schemas. */
export const list: readonly AnyPlugin[] = [withSettings, withoutSettings];
export const schema: StandardSchema<{ most?: number | undefined }, { most: number }> = z.object({
  most: z.number().default(5),
});

/** Tokens of different services can't be mistaken for each other. */
const names = createServiceToken<readonly string[]>("names");
// @ts-expect-error Another type of service.
export const mistaken: typeof names = limits;
