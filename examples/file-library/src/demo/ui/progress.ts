/** What the demo shows while it runs. One implementation draws bars, the other writes lines. */
export interface ProgressDisplay {
  /** A new phase begins; the tasks of the one before are over. */
  phase(title: string): void;
  /** How far a task is. The first update of a task's name begins it. */
  update(task: TaskProgress): void;
  /** Something worth a line of its own. */
  note(text: string): void;
  /** Ends all drawing of tasks; notes may follow. */
  stop(): void;
}

export interface TaskProgress {
  readonly name: string;
  /** What is counted: files, records, changes. */
  readonly unit: string;
  readonly done: number;
  readonly total: number;
}
