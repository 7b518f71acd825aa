import { API_VERSION, createServiceToken, definePlugin } from "@tidemark/plugin-api";
import type { HookEntry, RecordedEntry } from "./entry.js";
import { type HookTimes, Recording } from "./recording.js";
import { RecordingFile } from "./recording-file.js";
import { settingsShape } from "./settings.js";

export type * from "./entry.js";
export type { HookTimes } from "./recording.js";
export type { FlightRecorderSettings } from "./settings.js";

/** What the plugin remembers, for applications and other plugins. */
export interface FlightRecording {
  /** Oldest first. */
  entries(): readonly RecordedEntry[];
  /** By plugin and hook, those that have taken most first. */
  hookTimes(): readonly HookTimes[];
}

/** The service by which it is read: `tidemark.services.get(flightRecording)`. */
export const flightRecording = createServiceToken<FlightRecording>("flight-recorder.recording");

/**
 * Remembers the last batches, failures, decisions, pressure on the pool and slow hooks, and adds up the time that each
 * plugin's hooks take. Writes it all down when a peer was given up or has to begin anew, when a hook was quarantined, and
 * when the kernel stops. It listens and advises nothing.
 */
export const flightRecorder = definePlugin({
  manifest: {
    id: "flight-recorder",
    version: "1.0.0",
    apiVersion: API_VERSION,
    provides: [flightRecording.id],
    configuration: settingsShape,
  },
  activate({ config: { file, keep, slowHookMs }, clock, events, hooks, logger, services, subscriptions }) {
    const recording = new Recording({ keep, clock });
    const recordingFile = file === undefined ? undefined : new RecordingFile({ file, recording, logger });
    const save = async (): Promise<void> => {
      await recordingFile?.save();
    };

    hooks.afterBatch.tap(({ peer, phase, counts, durationMs }) =>
      recording.add({ kind: "batch", peer, phase, counts, durationMs }),
    );
    events.on("catchUpFailed", (failure) => recording.add({ kind: "failure", ...failure }));
    events.on("catchUpDecided", ({ peer, decision, decidedBy }) => {
      recording.add({ kind: "decision", peer, decidedBy, ...decision });
      if (decision.action !== "retry") void save();
    });
    events.on("poolPressure", ({ active, limit, waiting, longestWaitMs, holders, advisedBy }) =>
      recording.add({ kind: "pressure", active, limit, waiting, longestWaitMs, holders, advisedBy }),
    );
    events.on("hookCompleted", ({ pluginId, hook, outcome, durationMs }) => {
      const call: HookEntry = { kind: "hook", plugin: pluginId, hook, outcome, durationMs };
      recording.addHookCall(call);
      if (outcome !== "ok" || durationMs >= slowHookMs) recording.add(call);
    });
    events.on("hookHandlerQuarantined", () => void save());

    services.provide(flightRecording, recording);
    // The kernel stops its plugins last, so this has all; it waits for the promise.
    subscriptions.push({ dispose: save });
  },
});

export default flightRecorder;
