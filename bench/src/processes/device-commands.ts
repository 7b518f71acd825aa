/** What a device's process does: an application with TypeORM, and Tidemark with all its plugins. */
export interface DeviceCommands {
  /** Opens the application's database, creating it where it is missing. */
  readonly open: { readonly input: { readonly file: string }; readonly output: null };
  /** Starts Tidemark; resolves when the kernel runs. From here on the figures count. */
  readonly start: { readonly input: StartInput; readonly output: { readonly url: string | null } };
  /** Resolves when a peer and this device have exchanged everything, with the time since the start. */
  readonly ready: { readonly input: null; readonly output: { readonly afterMs: number } };
  /** What was measured since the start, or since figures were asked for last. */
  readonly figures: { readonly input: null; readonly output: DeviceFigures };
  readonly digest: { readonly input: null; readonly output: LibraryDigest };
  /** Acknowledges and prunes until the log is empty, and writes everything into the file. */
  readonly settle: {
    readonly input: null;
    readonly output: { readonly fileBytes: number; readonly logEntries: number };
  };
  /** The application begins to read and write a little, all the time, through TypeORM. */
  readonly startLoad: { readonly input: { readonly entries: number; readonly seed: number }; readonly output: null };
  readonly stopLoad: { readonly input: null; readonly output: LoadFigures };
  /** Changes rows of metadata through TypeORM, one after the other. */
  readonly edit: { readonly input: { readonly rows: number }; readonly output: null };
  /** Resident memory at this moment. */
  readonly memory: { readonly input: null; readonly output: { readonly rssBytes: number } };
  readonly stop: { readonly input: null; readonly output: null };
}

export interface StartInput {
  readonly deviceId: string;
  readonly role: "found" | "join";
  readonly listen: boolean;
  /** Addresses to dial. */
  readonly peers: readonly string[];
  /** Plugins that are left out. */
  readonly without?: readonly string[];
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
}

/** How long the application waited for what it asked of its database, from when it was due. */
export interface LoadFigures {
  readonly operations: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** By wire name of the model. */
export type LibraryDigest = Readonly<Record<string, { readonly rows: number; readonly digest: string }>>;
