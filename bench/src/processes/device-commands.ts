/** What a device's process does: an application with TypeORM, and Tidemark with all its plugins. */
export interface DeviceCommands {
  /** Opens the application's database, creating it where it is missing. */
  readonly open: { readonly input: { readonly file: string }; readonly output: { readonly durationMs: number } };
  /** Starts Tidemark; resolves when the kernel runs. From here on the figures count. */
  readonly start: { readonly input: StartInput; readonly output: StartOutput };
  /** Resolves when a peer and this device have exchanged everything, with the time since the start. */
  readonly ready: { readonly input: null; readonly output: { readonly afterMs: number } };
  readonly pause: { readonly input: null; readonly output: null };
  /** Resolves with the machine's time at which it began. */
  readonly resume: { readonly input: null; readonly output: { readonly atMs: number } };
  /** What was measured since the start, or since figures were asked for last. */
  readonly figures: { readonly input: null; readonly output: DeviceFigures };
  readonly digest: { readonly input: null; readonly output: LibraryDigest };
  /** Acknowledges and prunes until the log is empty, and writes everything into the file. */
  readonly settle: { readonly input: null; readonly output: { readonly fileBytes: number } };
  /** Runs statements on the application's connection, and tells the machine's time after the last. */
  readonly write: {
    readonly input: { readonly statements: readonly string[] };
    readonly output: { readonly atMs: number };
  };
  /** Resolves when the peer's record of this identity is in its table, with the machine's time at which it was applied. */
  readonly arrival: {
    readonly input: { readonly table: string; readonly uuid: string };
    readonly output: { readonly atMs: number };
  };
  /** Inserts rows one by one at an even pace; resolves with the machine's time of each commit. */
  readonly writeEvenly: { readonly input: EvenChanges; readonly output: { readonly atMs: readonly number[] } };
  /** Begins to note when the rows of the peer's `writeEvenly` are applied. */
  readonly watchChanges: { readonly input: null; readonly output: null };
  /** The machine's time at which each of these rows was there; null for those that are not. */
  readonly watched: {
    readonly input: { readonly changes: number };
    readonly output: { readonly atMs: readonly (number | null)[] };
  };
  /** Waits until every member has so many log entries, then forgets them. */
  readonly prune: { readonly input: PruneInput; readonly output: PruneFigures };
  /** The application begins to read and write a little, all the time, through TypeORM. */
  readonly startLoad: { readonly input: { readonly entries: number; readonly seed: number }; readonly output: null };
  readonly stopLoad: { readonly input: null; readonly output: LoadFigures };
  /** Resident memory at this moment, and processor time since the process began. */
  readonly usage: { readonly input: null; readonly output: { readonly rssBytes: number; readonly cpuMs: number } };
  readonly stop: { readonly input: null; readonly output: null };
}

export interface StartInput {
  readonly deviceId: string;
  readonly role: "found" | "join";
  readonly listen: boolean;
  /** Addresses to dial. */
  readonly peers: readonly string[];
  /** Whether to watch the event loop, which costs a timer every millisecond. Default true. */
  readonly watchLoop?: boolean;
  /** Whether the log is kept until `prune` or `settle` is asked for. Default false. */
  readonly keepLog?: boolean;
  /** Plugins that are turned off. */
  readonly without?: readonly string[];
}

export interface StartOutput {
  readonly url: string | null;
  readonly durationMs: number;
}

export interface DeviceFigures {
  /** Of all threads of the process. */
  readonly cpuMs: number;
  /** How late the event loop was, in milliseconds. */
  readonly loopDelay: { readonly p99Ms: number; readonly maxMs: number };
  /** The most resident memory that the process ever had. */
  readonly peakRssBytes: number;
  /** Written to the sockets of peers. */
  readonly sentBytes: number;
  /** Queries for the targets of references: of the plugin fk-batching, and of the kernel itself. */
  readonly referenceQueries: number;
  /** Write transactions of the kernel that neither tell nor take in a heartbeat, by name. */
  readonly writes: Readonly<Record<string, number>>;
}

export interface EvenChanges {
  readonly changes: number;
  readonly perSecond: number;
}

export interface PruneInput {
  readonly entries: number;
  /** Whether a younger change stays in the log, so that it can't be emptied as a whole. */
  readonly besideYounger: boolean;
}

export interface PruneFigures {
  readonly stamps: number;
  readonly durationMs: number;
  /** For how long a transaction held the event loop, at most. */
  readonly longestSliceMs: number;
}

/** How long the application waited for what it asked of its database, from when it was due. */
export interface LoadFigures {
  readonly operations: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** By wire name of the model. */
export type LibraryDigest = Readonly<Record<string, { readonly rows: number; readonly digest: string }>>;
