import { TidemarkError } from "@tidemark/plugin-api";

/** Every error of the example, with its stable code. */
export const fileLibraryErrors = {
  directoryMissing: ({ path, cause }: { readonly path: string; readonly cause: unknown }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_DIRECTORY_MISSING",
      what: `${path} can't be indexed`,
      why: "there is no such directory",
      advice: "Check the path, or give another one with --dir",
      details: { path },
      cause,
    }),
  notADirectory: ({ path }: { readonly path: string }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_NOT_A_DIRECTORY",
      what: `${path} can't be indexed`,
      why: "it is not a directory",
      advice: "Give the directory that holds it with --dir",
      details: { path },
    }),
  directoryUnreadable: ({
    path,
    reason,
    cause,
  }: {
    readonly path: string;
    readonly reason: string;
    readonly cause: unknown;
  }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_DIRECTORY_UNREADABLE",
      what: `${path} can't be indexed`,
      why: `it can't be read (${reason})`,
      advice: "Check its permissions, or give another directory with --dir",
      details: { path, reason },
      cause,
    }),
  invalidMessage: ({ from, message }: { readonly from: string; readonly message: string }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_INVALID_MESSAGE",
      what: `A message from ${from} makes no sense`,
      why: message,
      advice: "Build again (npm run build), so that both processes run the same version",
      details: { from },
    }),
  deviceFailed: ({
    device,
    command,
    message,
    code,
  }: {
    readonly device: string;
    readonly command: string;
    readonly message: string;
    readonly code: string;
  }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_DEVICE_FAILED",
      what: `Device ${device} could not ${command}`,
      why: message.replace(/[.\s]+$/, ""),
      advice: "What the device wrote before it failed is shown above, if there was anything",
      details: { device, command, cause: code },
    }),
  deviceEnded: ({ device, how, output }: { readonly device: string; readonly how: string; readonly output: string }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_DEVICE_ENDED",
      what: `The process of device ${device} ended unexpectedly`,
      why: output === "" ? how : `${how}; its last words were:\n${output}\n`,
      advice: "Run the demo again with --keep to look at its database afterwards",
      details: { device, how },
    }),
  notInStep: ({ waitedMs, state }: { readonly waitedMs: number; readonly state: string }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_NOT_IN_STEP",
      what: "The two devices did not come into step",
      why: `nothing has moved for ${Math.round(waitedMs / 1000)} s (${state})`,
      advice: "Run again with --keep and look at both databases; on a very slow disk raise --settle-timeout",
      details: { waitedMs, state },
    }),
  invalidArgument: ({
    option,
    value,
    why,
    advice,
  }: {
    readonly option: string;
    readonly value: string;
    readonly why: string;
    readonly advice: string;
  }) =>
    new TidemarkError({
      code: "FILE_LIBRARY_INVALID_ARGUMENT",
      what: `${option} ${value} can't be used`,
      why,
      advice,
      details: { option, value },
    }),
};
