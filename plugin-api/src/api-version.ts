/**
 * The version of this contract, `major.minor`. A plugin states in its manifest the version it was written against;
 * the kernel runs it when the major number is equal and its own minor number is at least the plugin's.
 * (The rule is OpenTelemetry's: an API may gain members within a major version, never lose or change one.)
 */
export const API_VERSION = "1.0";

/** Whether a kernel that implements `kernelApi` can run a plugin written against `pluginApi`; both `major.minor`. */
export function isApiCompatible({
  pluginApi,
  kernelApi,
}: {
  readonly pluginApi: string;
  readonly kernelApi: string;
}): boolean {
  const plugin = parse(pluginApi);
  const kernel = parse(kernelApi);
  return plugin !== undefined && kernel !== undefined && plugin.major === kernel.major && plugin.minor <= kernel.minor;
}

function parse(version: string): { major: number; minor: number } | undefined {
  const match = /^(\d+)\.(\d+)$/.exec(version);
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined;
}
