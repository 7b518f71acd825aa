// Which faults a run meets. Each profile says what may happen; the seed says what does, and when.

/** A family of faults. */
export type FaultFamily = "network" | "clock" | "crash" | "disk" | "plugins" | "schema" | "members";

/** The families of each profile. */
export const PROFILES = {
  /** Nothing fails: work, transactions, pruning, devices that come late, pause, or are switched off for a while. */
  calm: [],
  /** Partitions of every kind, slow and thin lines, connections that break in the middle of a frame or at one end only. */
  network: ["network"],
  /** Clocks that are wrong by minutes or hours, step back, stand still, or are set far into the future for a while. */
  clock: ["clock", "network"],
  /** Processes that end at any statement, also while they recover, and power that goes. */
  crash: ["crash", "network"],
  /** Disks that are full or read-only, locks of other processes, errors at commits, other processes that write. */
  disk: ["disk", "network"],
  /** Plugins that throw, hang, return rubbish, defer, reject. */
  plugins: ["plugins", "network"],
  /** Devices that run a later version of the application than others. */
  schema: ["schema", "network"],
  /** Members that are removed, lapse, return, are reset, restored from a backup or copied; in some runs processes end, too. */
  members: ["members", "network"],
  /** Everything at once, a part of it in each run. */
  all: ["network", "clock", "crash", "disk", "plugins", "schema"],
} as const satisfies Readonly<Record<string, readonly FaultFamily[]>>;

/** The name of a profile. */
export type ProfileName = keyof typeof PROFILES;

/** All profiles. */
export const PROFILE_NAMES = Object.keys(PROFILES) as readonly ProfileName[];

/** The profile of a seed where none is named: in turn, so that a range of seeds meets all of them. */
export function profileOfSeed(seed: number): ProfileName {
  return PROFILE_NAMES[seed % PROFILE_NAMES.length]!;
}
