/**
 * The child's end of the talk between the benchmark and its processes: one command at a time over IPC, each answered
 * by its result or by what went wrong. A process ends when its parent does.
 */
export type CommandTable<T> = { readonly [Name in keyof T]: { readonly input: unknown; readonly output: unknown } };

export type Handlers<T extends CommandTable<T>> = {
  readonly [Name in keyof T]: (input: T[Name]["input"]) => T[Name]["output"] | Promise<T[Name]["output"]>;
};

export interface Request {
  readonly id: number;
  readonly command: string;
  readonly input: unknown;
}

export type Reply = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

export function serve<T extends CommandTable<T>>(handlers: Handlers<T>): void {
  if (process.send === undefined) {
    process.stderr.write(
      "This is a part of the benchmark. Run `npm run bench` in the root of the repository instead.\n",
    );
    process.exitCode = 2;
    return;
  }
  const reply = (message: Reply) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  process.on("message", async ({ id, command, input }: Request) => {
    try {
      const handler = handlers[command as keyof T] as (input: unknown) => unknown;
      reply({ id, result: (await handler(input)) ?? null });
    } catch (error) {
      reply({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
  // Ctrl-C reaches the whole group of processes; when to end is the parent's decision.
  process.on("SIGINT", () => undefined);
  process.on("disconnect", () => process.exit(0));
}
